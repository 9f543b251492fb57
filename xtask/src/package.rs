//! `cargo xtask package`: the Lambda package, through the command that users run.

use std::ffi::OsString;

use anyhow::Result;

use crate::program::{built, program, run as run_program, step};
use crate::web;

/// What `package` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `loquat package`, for example `--out agent.zip`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    package: Vec<OsString>,
}

/// Builds the page, the program that packs, and the Lambda binary, and packs.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    web::build()?;
    step("the program (release)");
    run_program(&mut program("cargo", ["build", "--release", "--package", "loquat", "--bin", "loquat"]))?;
    // By itself, because Lambda gets no embedded model.
    step("the Lambda binary (release)");
    let lambda = ["build", "--release", "--package", "loquat", "--bin", "bootstrap", "--no-default-features"];
    run_program(&mut program("cargo", lambda))?;
    run_program(program(&built("release", "loquat")?.to_string_lossy(), ["package"]).args(&arguments.package))
}
