//! Entry point: one subcommand a tool.

use clap::{Parser, Subcommand};
use loquat_bench::mock;

/// Tools for measuring Loquat.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers like Bedrock, Anthropic and OpenAI, and misbehaves on demand (see bench/README.md).
    Mock(mock::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Mock(args) => mock::run(args).await,
    }
}
