//! `cargo xtask docs`: the guide as a book and the API documentation, without a warning and with every link checked, in
//! the sources and in the rendered pages.

#[cfg(test)]
mod costs;
mod links;

#[cfg(test)]
pub(crate) use self::links::links;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::files;
use crate::program::{capture, find, program, run as run_program, step};
use crate::python;

/// Checks everything, and says where the guide is.
pub(crate) fn run() -> Result<()> {
    check()?;
    println!("The guide is in {}; `mdbook serve docs` shows it while you write.", guide()?.display());
    Ok(())
}

/// Where the guide is rendered.
fn guide() -> Result<PathBuf> {
    Ok(crate::program::target_folder()?.join("guide"))
}

/// Renders the guide, and checks what came out: a page that mdBook leaves out, or a link that leads out of the book, is
/// only seen there.
fn render() -> Result<()> {
    step("the guide");
    let mdbook = match find("mdbook") {
        Some(installed) => installed,
        None => python::install(Path::new("xtask/.venv"), "xtask/requirements.txt")?.with_file_name("mdbook"),
    };
    let target = guide()?;
    if target.is_dir() {
        std::fs::remove_dir_all(&target).with_context(|| format!("cannot empty {}", target.display()))?;
    }
    let mdbook = mdbook.to_string_lossy();
    run_program(program(&mdbook, ["build", "docs", "--dest-dir"]).arg(&target))?;
    let mut broken = Vec::new();
    let pages = links::check_pages(&target, &mut broken)?;
    for line in &broken {
        println!("{line}");
    }
    if !broken.is_empty() || pages == 0 {
        bail!("{} links of {pages} rendered pages lead nowhere", broken.len());
    }
    println!("{pages} pages, by {}.", capture(&mut program(&mdbook, ["--version"]))?.trim());
    Ok(())
}

/// The links, the guide and the API documentation.
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
    render()?;
    step("cargo doc");
    run_program(program("cargo", ["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}
