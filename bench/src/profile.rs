//! `loquat-bench profile`: where the instructions of a request and of a token go, by callgrind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::client::Connection;
use crate::measure::{checked, reference};
use crate::process::{Running, free_port};
use crate::systems::{Places, System, loquat_command};

/// Arguments of `loquat-bench profile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `loquat` binary, with symbols.
    #[arg(long)]
    loquat: PathBuf,
    /// Requests in each run.
    #[arg(long, default_value_t = 50)]
    requests: u32,
    /// Where sessions are kept: `none` or `sqlite`.
    #[arg(long, default_value = "none")]
    store: String,
    /// How many functions are shown.
    #[arg(long, default_value_t = 40)]
    functions: usize,
}

/// Counts the instructions of a start, of requests of one token and of requests of 1 000 tokens, and prints what a
/// request and a token cost and the functions that cost most.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let scratch = std::env::temp_dir().join(format!("loquat-profile-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let places = Places { loquat: args.loquat.clone(), python: None, bench: PathBuf::new(), scratch };
    let mut counts = Vec::new();
    for (name, requests, tokens) in
        [("start", 0, 0), ("requests", args.requests, 1), ("tokens", args.requests, 1000)]
    {
        let out = places.scratch.join(format!("{name}.callgrind"));
        counts.push(counted(&places, &args.store, &out, requests, tokens).await.context(name)?);
    }
    let [start, requests, tokens] = counts.as_slice() else { bail!("three runs") };
    let per_request = (requests - start) / f64::from(args.requests);
    let per_token = (tokens - requests) / (f64::from(args.requests) * 999.0);
    println!(
        "instructions: start {start:.0}, a request of one token {per_request:.0}, one more token {per_token:.0}\n"
    );
    let shown = Command::new("callgrind_annotate").arg(places.scratch.join("tokens.callgrind")).output()?;
    for line in String::from_utf8_lossy(&shown.stdout)
        .lines()
        .skip_while(|line| !line.contains("PROGRAM TOTALS"))
        .take(args.functions)
    {
        println!("{line}");
    }
    println!("\nThe profiles are in {}.", places.scratch.display());
    Ok(())
}

/// Runs the server under callgrind, asks it, ends it, and gives the instructions it took.
async fn counted(places: &Places, store: &str, out: &Path, requests: u32, tokens: u32) -> Result<f64> {
    let mock = System::Direct.start(places, ([127, 0, 0, 1], 0).into()).await?;
    let port = free_port()?;
    let plain = loquat_command(places, port, mock.addr, store);
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(plain.get_program())
        .args(plain.get_args())
        .current_dir(&places.scratch)
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let running = Running::start(command, port, "/health").await?;
    let words = format!("tokens={tokens}");
    if requests > 0 {
        let expected = reference(System::Direct.target(mock.addr), &words).await?;
        let mut connection = Connection::new(System::Loquat.target(running.addr));
        for _ in 0..requests {
            checked(&mut connection, &words, &expected).await?;
        }
    }
    running.interrupt()?;
    let text = std::fs::read_to_string(out).with_context(|| out.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")));
    total.and_then(|total| total.trim().parse().ok()).context("callgrind wrote no total")
}
