//! The `loquat` command line: a thin file a subcommand.

mod chat;
mod check;
mod completions;
mod deploy;
mod destroy;
mod doctor;
mod examples;
mod export;
mod init;
mod keys;
mod logs;
mod man;
#[cfg(feature = "local-model")]
mod model;
mod package;
mod runs;
mod serve;
mod synth;
mod terminal;

use clap::{Parser, Subcommand};

/// A streaming chat agent: a system prompt, tools and a model.
#[derive(Parser)]
#[command(name = "loquat", version, max_term_width = 100)]
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
    /// Look at the log of a run, or run it again
    Runs(runs::Args),
    /// Write conversations into files
    Export(export::Args),
    /// Make an agent folder
    Init(init::Args),
    /// Check an agent's settings
    Check(check::Args),
    /// Print the agent's CloudFormation template
    Synth(synth::Args),
    /// Write the zip that Lambda runs
    Package(package::Args),
    /// Put the agent on AWS
    Deploy(deploy::Args),
    /// Show the deployed agent's log lines
    Logs(logs::Args),
    /// Remove the agent from AWS
    Destroy(destroy::Args),
    /// Examine a deployed agent
    Doctor(doctor::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(man::Args),
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
        Command::Runs(args) => runs::run(args),
        Command::Export(args) => export::run(args),
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Package(args) => package::run(args),
        Command::Deploy(args) => deploy::run(args),
        Command::Logs(args) => logs::run(args),
        Command::Destroy(args) => destroy::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => {
            completions::run(&args);
            Ok(())
        }
        Command::Man(args) => man::run(&args),
        #[cfg(feature = "local-model")]
        Command::Model(args) => model::run(args),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loquat: {}", told(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each once: many say in their own words what they were caused by.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    #[test]
    fn a_cause_is_told_once() {
        let missing = || std::fs::read("/no/such/file").map_err(anyhow::Error::from);
        let plain = missing().context("the agent").unwrap_err();
        assert_eq!(super::told(&plain), "the agent: No such file or directory (os error 2)");
        let repeated = plain.context("x: No such file or directory (os error 2)");
        assert_eq!(super::told(&repeated), "x: No such file or directory (os error 2): the agent");
    }
}
