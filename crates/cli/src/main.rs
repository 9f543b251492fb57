//! The `loquat` command line: a thin file a subcommand.

mod chat;
mod keys;
#[cfg(feature = "local-model")]
mod model;
mod serve;

use clap::{Parser, Subcommand};

/// A streaming chat agent: a system prompt, tools and a model.
#[derive(Parser)]
#[command(name = "loquat", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the agent and its web page
    Serve(serve::Args),
    /// Talk to the agent in the terminal
    Chat(chat::Args),
    /// Manage API keys
    Keys(keys::Args),
    /// Fetch the built-in model
    #[cfg(feature = "local-model")]
    Model(model::Args),
}

// The one place that prints an error and picks the exit code.
#[allow(clippy::print_stderr)]
fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Keys(args) => keys::run(args),
        #[cfg(feature = "local-model")]
        Command::Model(args) => model::run(args),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loquat: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
