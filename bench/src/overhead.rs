//! `loquat-bench overhead`: what telemetry costs. Two servers in one run, one with all of it on (JSON log lines, metrics
//! that are read, CloudWatch's lines, every span sent), one with all of it off; rounds of the one between rounds of the
//! other, so that whatever else the machine does meets both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::client;
use crate::measure::{Effort, throughput};
use crate::process::{Running, free_port};
use crate::stats::median;
use crate::systems::{Places, System, loquat_command};

/// Arguments of `loquat-bench overhead`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `loquat` binary (release).
    #[arg(long)]
    loquat: PathBuf,
    /// Tokens of an answer.
    #[arg(long, default_value_t = 200)]
    tokens: usize,
    /// Answers at a time.
    #[arg(long, default_value_t = 10)]
    streams: usize,
    /// Rounds of each.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of a round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many times more processor time 1 000 tokens may take with telemetry.
    #[arg(long, default_value_t = 1.15)]
    ratio: f64,
}

/// Measures and prints the two figures and their ratio; too large a ratio fails it.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let scratch = std::env::temp_dir().join(format!("loquat-overhead-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let places = Places { loquat: args.loquat, python: None, bench: PathBuf::new(), scratch };
    let mock = System::Direct.start(&places, ([127, 0, 0, 1], 0).into()).await?;
    let collector = collector().await?;
    let start = async |settings: &[(&str, &str)]| -> Result<Running> {
        let port = free_port()?;
        let mut command = loquat_command(&places, port, mock.addr, "none");
        // To nowhere, but written all the same.
        command.envs(settings.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        Running::start(command, port, "/health").await
    };
    let off = start(&[("RUST_LOG", "off")]).await?;
    let on = start(&[
        ("RUST_LOG", "info"),
        ("LOQUAT_LOG_FORMAT", "json"),
        ("LOQUAT_EMF", "true"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector),
        ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
    ])
    .await?;
    let scraping = tokio::spawn(scrape(on.addr));
    let effort = Effort { rounds: 1, seconds: args.seconds };
    let direct = System::Direct.target(mock.addr);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        for (running, figures) in [(&off, &mut without), (&on, &mut with)] {
            let target = System::Loquat.target(running.addr);
            let level =
                throughput::measure(running, target, direct, args.streams, args.tokens, effort).await?;
            figures.push(level.cpu_per_1000 * 1_000.0);
        }
    }
    scraping.abort();
    let (without, with) = (median(&without), median(&with));
    let ratio = with / without;
    println!("CPU ms per 1 000 tokens, answers of {} tokens, {} at a time", args.tokens, args.streams);
    println!("  telemetry off  {without:.2}");
    println!("  telemetry on   {with:.2}");
    println!("  ratio          {ratio:.3} (at most {})", args.ratio);
    std::fs::remove_dir_all(&places.scratch)?;
    if ratio > args.ratio {
        bail!("telemetry costs more than it may");
    }
    Ok(())
}

/// Takes spans and forgets them.
async fn collector() -> Result<String> {
    let router = axum::Router::new().fallback(async |_: bytes::Bytes| "");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// Reads the metrics as often as a scraper that is in a hurry.
async fn scrape(addr: SocketAddr) {
    loop {
        client::is_ready(addr, "/metrics").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
