//! `cargo xtask bench`: builds everything that is measured and runs the measurements of `bench/`.

use std::ffi::OsString;

use anyhow::Result;

use crate::program::{built, program, root, run as run_program, step};
use crate::{python, web};

/// What `bench` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `loquat-bench report`, for example `--quick`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    report: Vec<OsString>,
}

/// Builds the program, the tools and the Python peer, and measures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    web::build()?;
    let peer = python::install(std::path::Path::new("bench/peer/.venv"), "bench/peer/requirements.txt")?;
    step("the program and the tools (release)");
    run_program(&mut program(
        "cargo",
        ["build", "--release", "--package", "loquat", "--package", "loquat-bench"],
    ))?;
    step("measuring");
    run_program(
        program(&built("release", "loquat-bench")?.to_string_lossy(), ["report", "--loquat"])
            .arg(built("release", "loquat")?)
            .arg("--python")
            .arg(peer)
            .arg("--out")
            .arg(root().join("bench"))
            .args(&arguments.report),
    )
}
