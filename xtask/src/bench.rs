//! `cargo xtask bench`: builds everything that is measured and runs the measurements of `bench/`.

use std::ffi::OsString;

use anyhow::Result;

use crate::program::{built, need, program, root, run as run_program, step};
use crate::{node, package, python, web};

/// What `bench` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Count instructions under callgrind instead (needs valgrind).
    #[arg(long)]
    profile: bool,
    /// Passed on to `loquat-bench report` (for example `--quick`) or `loquat-bench profile`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    report: Vec<OsString>,
}

/// Builds the program, the tools and the Python peer, and measures.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.profile {
        return profile(arguments);
    }
    web::build()?;
    let peer = python::install(std::path::Path::new("bench/peer/.venv"), "bench/peer/requirements.txt")?;
    step("the program and the tools (release)");
    let build = ["build", "--release", "--package", "loquat", "--package", "loquat-bench"];
    run_program(program("cargo", build).args(["--bin", "loquat", "--bin", "loquat-bench"]))?;
    let bootstrap = package::lambda_binary()?;
    let chromium = node::chromium()?;
    step("measuring");
    run_program(
        program(&built("release", "loquat-bench")?.to_string_lossy(), ["report", "--loquat"])
            .arg(built("release", "loquat")?)
            .arg("--bootstrap")
            .arg(bootstrap)
            .arg("--python")
            .arg(peer)
            .arg("--page")
            .arg(root().join("web/measure.mjs"))
            .arg("--out")
            .arg(root().join("bench"))
            .env("CHROMIUM", chromium)
            .args(&arguments.report),
    )
}

/// The same program with symbols, and without the embedded model, which no request here uses.
fn profile(arguments: &Arguments) -> Result<()> {
    need("valgrind", "Debian: apt-get install valgrind.")?;
    step("the program and the tools (release, with symbols)");
    let build =
        ["build", "--release", "--no-default-features", "--package", "loquat", "--package", "loquat-bench"];
    run_program(
        program("cargo", build)
            .args(["--bin", "loquat", "--bin", "loquat-bench"])
            .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none"),
    )?;
    step("counting instructions");
    run_program(
        program(&built("release", "loquat-bench")?.to_string_lossy(), ["profile", "--loquat"])
            .arg(built("release", "loquat")?)
            .args(&arguments.report),
    )
}
