//! `loquat-bench soak`: many hours of users in some minutes. Paced streams with random disconnects, resumes and stops,
//! watched for lost text, memory and descriptors.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::client::{Connection, Target, connect, post};
use crate::measure::reference;
use crate::stats::median;
use crate::systems::{Places, System};

/// What is noise between the second and the last third.
const MOST_GROWTH: f64 = 1.1;

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
    let counts = Arc::new(Counts::default());
    let began = Instant::now();
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let mut tasks = JoinSet::new();
    for stream in 0..args.streams {
        let user = User { target, stream, expected: Arc::clone(&expected), counts: Arc::clone(&counts) };
        tasks.spawn(async move { user.chat_until(began + time).await.map_err(|error| format!("{error:#}")) });
    }
    println!("seconds  resident MiB  descriptors  answers  resumed  stopped");
    let (mut memory, mut descriptors) = (Vec::new(), Vec::new());
    while began.elapsed() < time {
        memory.push(running.resident_kib() / 1024.0);
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        descriptors.push(running.descriptors() as f64);
        println!(
            "{:7.0}  {:12.1}  {:11}  {:7}  {:7}  {:7}",
            began.elapsed().as_secs_f64(),
            memory[memory.len() - 1],
            descriptors[descriptors.len() - 1],
            counts.whole.load(Ordering::Relaxed),
            counts.resumed.load(Ordering::Relaxed),
            counts.stopped.load(Ordering::Relaxed)
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
    flat("resident memory", "MiB", &memory)?;
    flat("descriptors", "open", &descriptors)
}

/// Compares the last third with the one before it; in the first one there is a beginning: ended runs are kept for a while.
#[allow(clippy::print_stdout)]
fn flat(what: &str, unit: &str, samples: &[f64]) -> Result<()> {
    let third = samples.len() / 3;
    if third == 0 {
        return Ok(());
    }
    let [middle, last] = [&samples[third..2 * third], &samples[samples.len() - third..]].map(median);
    println!("{what}: {middle:.1} {unit} in the second third, {last:.1} in the last one");
    ensure!(last <= middle * MOST_GROWTH, "{what} grows");
    Ok(())
}

/// How turns went.
#[derive(Default)]
struct Counts {
    /// Read in one go.
    whole: AtomicU64,
    /// Left within the first second, and read again from the start.
    resumed: AtomicU64,
    /// Left, stopped, and read again.
    stopped: AtomicU64,
}

/// Somebody who asks again and again, and sometimes loses the connection.
struct User {
    target: Target,
    stream: usize,
    expected: Arc<str>,
    counts: Arc<Counts>,
}

impl User {
    async fn chat_until(&self, end: Instant) -> Result<()> {
        let mut random = self.stream as u64;
        for turn in 0.. {
            if Instant::now() >= end {
                break;
            }
            // A linear congruential generator: the same disconnects in every run.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let run = format!("soak-{}-{turn}", self.stream);
            let question = post(self.target.addr, "/chat", &json!({"message": WORDS, "run_id": run}));
            let mut connection = Connection::new(self.target);
            // Dropping the request closes its connection.
            let patience = Duration::from_millis((random >> 40) % 1000);
            match (random >> 33) % 4 {
                0 => {
                    let _ = tokio::time::timeout(patience, connection.ask(&question)).await;
                    // The same request again reads the same run, or begins it if it never came that far.
                    self.read(&question, |text| text == &*self.expected).await.context("resumed")?;
                    self.counts.resumed.fetch_add(1, Ordering::Relaxed);
                }
                1 => {
                    let patience = patience + Duration::from_millis(200);
                    let _ = tokio::time::timeout(patience, connection.ask(&question)).await;
                    self.stop(&run).await.context("stopped")?;
                    self.read(&question, |text| self.expected.starts_with(text)).await.context("stopped")?;
                    self.counts.stopped.fetch_add(1, Ordering::Relaxed);
                }
                _ => {
                    self.read(&question, |text| text == &*self.expected).await?;
                    self.counts.whole.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    async fn read(&self, question: &[u8], is_right: impl Fn(&str) -> bool) -> Result<()> {
        let answer = Connection::new(self.target).ask(question).await?;
        ensure!(is_right(&answer.text), "other text arrived than the model sent: {:?}", answer.text);
        Ok(())
    }

    /// Stops a run and waits for the receipt. One that has not begun (a loaded machine) cannot be stopped.
    async fn stop(&self, run: &str) -> Result<()> {
        let mut socket = connect(self.target.addr).await?;
        let request = format!(
            "POST /runs/{run}/stop HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            self.target.addr
        );
        socket.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 404"), "{answer}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_fails_a_soak() {
        let level = [90.0, 10.0, 20.0, 40.0, 41.0, 40.0, 41.0, 40.0, 42.0];
        assert!(flat("memory", "MiB", &level).is_ok());
        let growing: Vec<f64> = (1..=30).map(f64::from).collect();
        assert!(flat("memory", "MiB", &growing).is_err());
        assert!(flat("memory", "MiB", &[1.0, 2.0]).is_ok());
    }
}
