//! `loquat-bench soak`: many hours of users in some minutes. Paced streams with random disconnects, watched for lost text,
//! memory and descriptors.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use crate::client::Connection;
use crate::measure::{checked, reference};
use crate::systems::{Places, System};

const WORDS: &str = "tokens=100 delay=20ms";

/// Arguments of `loquat-bench soak`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `loquat` binary (release).
    #[arg(long)]
    loquat: PathBuf,
    /// For how long.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Streams at once; 60 % of the most that RESULTS.md names is a good number.
    #[arg(long, default_value_t = 100)]
    streams: usize,
}

/// Soaks and prints a table; an answer with an error or with other text than the model's fails it.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let scratch = std::env::temp_dir().join(format!("loquat-soak-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let places = Places { loquat: args.loquat, python: None, bench: PathBuf::new(), scratch };
    let mock = System::Direct.start(&places, ([127, 0, 0, 1], 0).into()).await?;
    let running = System::LoquatSqlite.start(&places, mock.addr).await?;
    let target = System::LoquatSqlite.target(running.addr);
    let expected = reference(System::Direct.target(mock.addr), WORDS).await?;
    let (answers, left) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let mut tasks = JoinSet::new();
    for stream in 0..args.streams {
        let (expected, answers, left) = (Arc::clone(&expected), Arc::clone(&answers), Arc::clone(&left));
        tasks.spawn(async move {
            let mut random = stream as u64;
            while began.elapsed() < time {
                // A linear congruential generator: the same disconnects in every run.
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let mut connection = Connection::new(target);
                let chat = checked(&mut connection, WORDS, &expected);
                if (random >> 33).is_multiple_of(4) {
                    // Every fourth is left within its first second; dropping the request closes its connection.
                    let patience = Duration::from_millis((random >> 40) % 1000);
                    let _ = tokio::time::timeout(patience, chat).await;
                    left.fetch_add(1, Ordering::Relaxed);
                } else {
                    chat.await.map_err(|error| format!("{error:#}"))?;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<(), String>(())
        });
    }
    println!("seconds  resident MiB  descriptors  answers  left");
    while began.elapsed() < time {
        println!(
            "{:7.0}  {:12.1}  {:11}  {:7}  {:4}",
            began.elapsed().as_secs_f64(),
            running.resident_kib() / 1024.0,
            running.descriptors(),
            answers.load(Ordering::Relaxed),
            left.load(Ordering::Relaxed)
        );
        tokio::time::sleep((time / 30).max(Duration::from_secs(1))).await;
    }
    let failures: Vec<String> = tasks.join_all().await.into_iter().filter_map(Result::err).collect();
    drop(running);
    std::fs::remove_dir_all(&places.scratch)?;
    if let Some(first) = failures.first() {
        bail!("{} streams failed; the first: {first}", failures.len());
    }
    println!("no error, no lost text");
    Ok(())
}
