//! What a developer of Loquat runs: `cargo xtask COMMAND`. One file a command; this one is the table of contents.

// The output of these commands is their purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod adapter;
mod archive;
mod bench;
mod deny;
mod dist;
mod docs;
mod files;
mod fuzz;
mod model;
mod node;
mod order;
mod package;
mod program;
mod python;
mod run;
mod sbom;
mod shots;
mod stamp;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer's commands of Loquat.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch the model, build the page and the program (release), and serve on http://127.0.0.1:8080.
    Run(run::Arguments),
    /// Set up and run every test.
    Test(test::Arguments),
    /// Measure Loquat beside the Python peer and the limit; writes bench/RESULTS.md.
    Bench(bench::Arguments),
    /// Build the web page (web/dist), if its sources changed.
    Web,
    /// Fetch the embedded model's weights into the cache folder, unless they are there.
    Model,
    /// Build the Lambda package.
    Package(package::Arguments),
    /// Check the rules of this repository.
    Tidy,
    /// Check what we depend on with `cargo deny`: licences, bans, sources, and known weaknesses where their list can be had.
    Deny,
    /// Measure which functions a start runs, and write the linker script that puts them side by side (needs valgrind).
    Order,
    /// Take the screenshots of the page.
    Shots,
    /// Run the randomised tests with many more cases than `test` does.
    Fuzz(fuzz::Arguments),
    /// Build the guide (an mdBook) and the API documentation, and check every link.
    Docs,
    /// Make the release archives with checksums.
    Dist(dist::Arguments),
    /// Print the list of a release's parts (CycloneDX).
    Sbom {
        /// The platform, as Rust calls it.
        #[arg(long, default_value = "x86_64-unknown-linux-gnu")]
        target: String,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Web => web::build(),
        Command::Model => model::fetch(),
        Command::Package(arguments) => package::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Deny => deny::run(),
        Command::Order => order::run(),
        Command::Shots => shots::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Docs => docs::run(),
        Command::Dist(arguments) => dist::run(&arguments),
        Command::Sbom { target } => {
            sbom::text(&target).map(|text| print!("{}", String::from_utf8_lossy(&text)))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
