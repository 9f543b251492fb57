//! `cargo xtask shots`: screenshots of the page in its states, for the README and for looking at.

use anyhow::{Result, bail};

use crate::node;
use crate::program::{program, root, run as run_program, step};

/// Lets the page's own script take the screenshots, of the page as it is built now, in front of its stand-in server.
pub(crate) fn run() -> Result<()> {
    if !node::install("web")? {
        bail!("there is no web/ folder");
    }
    let chromium = node::chromium()?;
    step("screenshots");
    let folder = root().join("web");
    run_program(program("npm", ["run", "--silent", "build"]).current_dir(&folder))?;
    run_program(program("npm", ["run", "--silent", "shots"]).current_dir(&folder).env("CHROMIUM", chromium))?;
    println!("The pictures are in web/test-results/shots.");
    Ok(())
}
