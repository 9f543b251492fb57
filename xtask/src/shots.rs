//! `cargo xtask shots`: screenshots of the page in its states, for the README and for looking at.

use anyhow::{Result, bail};

use crate::program::{built, program, root, run as run_program, step};
use crate::{node, web};

/// Builds page and program, and lets the page's own script take the screenshots.
pub(crate) fn run() -> Result<()> {
    if !root().join("web/package.json").is_file() {
        bail!("there is no web/ folder yet");
    }
    web::build()?;
    let chromium = node::chromium()?;
    step("the program");
    run_program(&mut program("cargo", ["build", "--package", "loquat", "--package", "loquat-bench"]))?;
    step("screenshots");
    run_program(
        program("npm", ["run", "--silent", "shots"])
            .current_dir(root().join("web"))
            .env("CHROMIUM", chromium)
            .env("LOQUAT_BIN", built("debug", "loquat")?)
            .env("LOQUAT_BENCH_BIN", built("debug", "loquat-bench")?),
    )
}
