//! `cargo xtask run`: from a clean clone to a running agent.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::program::{become_program, built, program, run as run_program, step};
use crate::{model, web};

/// What `run` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `loquat serve`, for example `--port 9000`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    serve: Vec<OsString>,
}

/// Fetches the model, builds the page and the program, and becomes the program.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    model::fetch_if_used()?;
    web::build()?;
    let loquat = loquat()?;
    println!();
    become_program(program(&loquat.to_string_lossy(), ["serve"]).args(&arguments.serve))
}

/// Builds the program as whoever waits for it wants it: linking it as a whole, as for a release, takes as long again.
pub(crate) fn loquat() -> Result<PathBuf> {
    step("the program");
    run_program(&mut program(
        "cargo",
        ["build", "--profile", "quick", "--package", "loquat", "--bin", "loquat"],
    ))?;
    built("quick", "loquat")
}
