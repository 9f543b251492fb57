//! The Python environment of the tests: `.venv` at the root, from requirements-test.txt.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::program::{capture, check_version, need, program, root, run, step};
use crate::stamp;

const REQUIREMENTS: &str = "requirements-test.txt";

/// The environment's interpreter; the environment is made or brought up to date where the requirements changed.
/// `None`: nothing needs Python.
pub(crate) fn environment() -> Result<Option<PathBuf>> {
    if !root().join(REQUIREMENTS).is_file() {
        return Ok(None);
    }
    install(Path::new(".venv"), REQUIREMENTS).map(Some)
}

/// Makes an environment in a folder (relative to the root) from a requirements file, if that changed.
pub(crate) fn install(folder: &Path, requirements: &str) -> Result<PathBuf> {
    need("python3", "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv).")?;
    let version = capture(&mut program("python3", ["--version"]))?;
    check_version("Python", &version, (3, 11))?;
    let folder = root().join(folder);
    let python = folder.join("bin/python");
    let digest = stamp::digest(&[PathBuf::from(requirements)], &[&version])?;
    let mark = folder.join("loquat-installed");
    if python.is_file() && stamp::is_current(&mark, &digest) {
        return Ok(python);
    }
    step(&format!("Python packages of {requirements}"));
    let place = folder.to_string_lossy().into_owned();
    run(&mut program("python3", ["-m", "venv", "--clear", &place]))
        .context("cannot make a Python environment (Debian: apt-get install python3-venv)")?;
    let quiet =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements];
    run(&mut program(&python.to_string_lossy(), quiet))?;
    stamp::write(&mark, &digest)?;
    Ok(python)
}
