//! `loquat-bench hostile`: healthy users beside clients that hold connections with half a request, and uploads that end
//! in the middle. The same run measures both, so the ratio says something on any machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Connection;
use crate::measure::{checked, reference};
use crate::stats::{ms, percentile};
use crate::systems::{Places, System};

const WORDS: &str = "tokens=20 delay=1ms";

/// Arguments of `loquat-bench hostile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `loquat` binary (release).
    #[arg(long)]
    loquat: PathBuf,
    /// Connections that never finish their request.
    #[arg(long, default_value_t = 2_000)]
    slow: usize,
    /// Uploads that end in the middle.
    #[arg(long, default_value_t = 500)]
    aborted: usize,
    /// Answers of healthy users in each half of the measurement.
    #[arg(long, default_value_t = 300)]
    answers: usize,
    /// How many times longer the slowest hundredth of answers may take beside hostile clients.
    #[arg(long, default_value_t = 3.0)]
    ratio: f64,
    /// Most MiB that may be kept of what hostile clients took, when they are gone.
    #[arg(long, default_value_t = 12.0)]
    kept: f64,
}

/// Measures and prints a table; too large a ratio, connections that are kept for ever, or memory that does not return,
/// fail it.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let scratch = std::env::temp_dir().join(format!("loquat-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let places = Places { loquat: args.loquat, python: None, bench: PathBuf::new(), scratch };
    let mock = System::Direct.start(&places, ([127, 0, 0, 1], 0).into()).await?;
    let running = System::LoquatSqlite.start(&places, mock.addr).await?;
    let target = System::LoquatSqlite.target(running.addr);
    let expected = reference(System::Direct.target(mock.addr), WORDS).await?;
    let p99 = async || -> Result<f64> {
        let mut connection = Connection::new(target);
        let mut times = Vec::with_capacity(args.answers);
        for _ in 0..args.answers {
            times.push(ms(checked(&mut connection, WORDS, &expected).await?.whole));
        }
        Ok(percentile(&times, 0.99))
    };
    // The first answers pay for what is set up once.
    p99().await?;
    let resident = || running.resident_kib() / 1_024.0;
    let begun = resident();
    let alone = p99().await?;
    // Answers stay in memory for a while, whoever is there; what the hostile clients took is what is above that.
    let (memory, descriptors) = (resident(), running.descriptors());
    let by_answers = (memory - begun).max(0.0);
    let mut held = Vec::with_capacity(args.slow);
    for n in 0..args.slow {
        held.push(half(running.addr, n).await.context("a slow client cannot connect")?);
    }
    for _ in 0..args.aborted {
        let mut upload = half(running.addr, 1).await?;
        upload.write_all(&[b' '; 65_536]).await?;
    }
    let peak = resident();
    let beside = p99().await?;
    // One byte now and then does not keep a connection open.
    let mut open = held.len();
    let mut waited = Duration::ZERO;
    while open > 0 && waited < Duration::from_secs(150) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        waited += Duration::from_secs(5);
        let mut kept = Vec::with_capacity(open);
        for mut stream in held {
            let is_open = stream.write_all(b"x").await.is_ok() && !is_closed(&mut stream).await;
            if is_open {
                kept.push(stream);
            }
        }
        held = kept;
        open = held.len();
    }
    // What was freed is given back within seconds.
    let kept = || (resident() - memory - by_answers).max(0.0);
    let mut patience = 20;
    while kept() > args.kept && patience > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        patience -= 1;
    }
    let (after, kept) = (resident(), kept());
    println!(
        "                      alone  beside {} slow clients and {} aborted uploads",
        args.slow, args.aborted
    );
    println!("p99 of an answer  {alone:6.1} ms  {beside:6.1} ms  (x {:.2})", beside / alone);
    println!("resident          {memory:6.1} MiB {peak:6.1} MiB, {after:.1} MiB when they were gone");
    println!("kept              {kept:6.1} MiB, beside {by_answers:.1} MiB by as many answers");
    println!("descriptors       {descriptors:6}     {:6} when they were gone", running.descriptors());
    println!("slow clients      all closed after {} s: {}", waited.as_secs(), open == 0);
    drop(running);
    std::fs::remove_dir_all(&places.scratch)?;
    if open > 0 {
        bail!("{open} slow clients still hold their connections");
    }
    if kept > args.kept {
        bail!("{kept:.1} MiB are kept of what hostile clients took");
    }
    if beside > alone * args.ratio {
        bail!("healthy users waited {:.2} times longer", beside / alone);
    }
    Ok(())
}

/// A connection with half a request: of its headers, or of its body.
async fn half(addr: SocketAddr, n: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    let part = if n.is_multiple_of(2) {
        "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-"
    } else {
        "POST /chat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{"
    };
    stream.write_all(part.as_bytes()).await?;
    Ok(stream)
}

/// Whether the server has closed its side, after whatever it said.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut said = [0; 1_024];
    loop {
        match tokio::time::timeout(Duration::from_micros(200), stream.read(&mut said)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
}
