//! `cargo xtask docs`: the API documentation without a warning, and the guide with its links checked.

#[cfg(test)]
mod costs;
mod links;

use anyhow::{Result, bail};

use crate::files;
use crate::program::{find, program, root, run as run_program, step};

/// Checks, and builds the guide where mdbook is installed.
pub(crate) fn run() -> Result<()> {
    check()?;
    if !root().join("docs/book.toml").is_file() {
        return Ok(());
    }
    if find("mdbook").is_none() {
        println!(
            "mdbook is not installed (`cargo install mdbook --locked`, some minutes): the guide's links are checked, \
             it is not rendered. With it, this command renders; `mdbook serve docs` shows it while you write."
        );
        return Ok(());
    }
    let target = crate::program::target_folder()?.join("guide");
    run_program(program("mdbook", ["build", "docs", "--dest-dir"]).arg(&target))?;
    println!("The guide is in {}.", target.display());
    Ok(())
}

/// The API documentation and the links; renders no guide.
pub(crate) fn check() -> Result<()> {
    step("links between the documents");
    let mut broken = Vec::new();
    for path in files::under(".")? {
        if path.extension().is_some_and(|extension| extension == "md") {
            links::check(&path, &mut broken)?;
        }
        if path.ends_with("CONTRIBUTING.md") {
            links::check_paths(&path, &mut broken)?;
        }
    }
    links::check_summary(&mut broken)?;
    for line in &broken {
        println!("{line}");
    }
    if !broken.is_empty() {
        bail!("{} links lead nowhere", broken.len());
    }
    println!("Every link leads somewhere.");
    step("cargo doc");
    run_program(program("cargo", ["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}
