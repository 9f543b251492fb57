//! `cargo xtask shots`: screenshots of the page in its states, for the README and for looking at.

use anyhow::{Result, bail};

use crate::program::{built, program, root, run as run_program, step};
use crate::{node, web};

/// Lets the page's own script take the screenshots, of the program as it is built now.
pub(crate) fn run() -> Result<()> {
    if !root().join("web/package.json").is_file() {
        bail!("there is no web/ folder");
    }
    web::build()?;
    let chromium = node::chromium()?;
    step("the program");
    run_program(&mut program("cargo", ["build", "--package", "loquat"]))?;
    step("screenshots");
    run_program(
        program("npm", ["run", "--silent", "shots"])
            .current_dir(root().join("web"))
            .env("CHROMIUM", chromium)
            .env("LOQUAT_BIN", built("debug", "loquat")?),
    )?;
    println!("The pictures are in web/test-results/shots.");
    Ok(())
}
