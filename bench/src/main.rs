//! Entry point: one subcommand a tool.

use clap::{Parser, Subcommand};
use loquat_bench::{lambda_emulator, mock};

/// Tools for measuring Loquat.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// API Gateway with response streaming in front of the Lambda Runtime API.
    Lambda(lambda_emulator::Args),
    /// Answers like Bedrock, Anthropic and OpenAI, and misbehaves on demand (see bench/README.md).
    Mock(mock::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Lambda(args) => lambda_emulator::run(args).await,
        Command::Mock(args) => mock::run(args).await,
    }
}
