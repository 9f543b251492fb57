//! Entry point: one subcommand a tool.

use clap::{Parser, Subcommand};
use loquat_bench::{hostile, lambda_emulator, limit, load, mock, order, overhead, profile, report, soak};

/// Tools for measuring Loquat.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Healthy users beside clients that hold connections with half a request, and uploads that end in the middle.
    Hostile(hostile::Args),
    /// API Gateway with response streaming in front of the Lambda Runtime API.
    Lambda(lambda_emulator::Args),
    /// Answers like Bedrock, Anthropic and OpenAI, and misbehaves on demand (see bench/README.md).
    Mock(mock::Args),
    /// The least that can stand between a client and a model: a pass-through.
    Limit(limit::Args),
    /// Keeps a server busy that somebody else started, for a profiler.
    Load(load::Args),
    /// Finds the functions of a start and writes the linker script that puts them side by side.
    Order(order::Args),
    /// What telemetry costs: all of it on, against all of it off.
    Overhead(overhead::Args),
    /// Measures everything side by side and writes RESULTS.md (`cargo xtask bench` builds what it needs and calls it).
    Report(report::Args),
    /// Counts instructions under callgrind: what a request and a token cost, and where.
    Profile(profile::Args),
    /// Paced streams with random disconnects for a while, watching memory and descriptors.
    Soak(soak::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Ten thousand streams are ten thousand descriptors.
    rlimit::increase_nofile_limit(u64::MAX)?;
    match Args::parse().command {
        Command::Hostile(args) => hostile::run(args).await,
        Command::Lambda(args) => lambda_emulator::run(args).await,
        Command::Mock(args) => mock::run(args).await,
        Command::Limit(args) => limit::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Order(args) => order::run(args).await,
        Command::Overhead(args) => overhead::run(args).await,
        Command::Profile(args) => profile::run(args).await,
        Command::Report(args) => report::run(args).await,
        Command::Soak(args) => soak::run(args).await,
    }
}
