//! Node packages: `npm ci` where the lock file changed, and the browser that the page's tests drive.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::program::{capture, check_version, find, need, program, root, run, step};
use crate::stamp;

/// Names under which Chromium is installed; the first is Debian's.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Runs `npm ci` in a folder if what its lock file names is not installed. `false`: there is no such folder.
pub(crate) fn install(folder: &str) -> Result<bool> {
    if !root().join(folder).join("package.json").is_file() {
        return Ok(false);
    }
    need(
        "npm",
        "Node 20.19 or newer is needed (Debian: apt-get install nodejs npm, or https://nodejs.org).",
    )?;
    let version = capture(&mut program("node", ["--version"]))?;
    check_version("Node", &version, (20, 19))?;
    let named = ["package.json", "package-lock.json"].map(|name| PathBuf::from(folder).join(name));
    let digest = stamp::digest(&named, &[&version])?;
    let mark = root().join(folder).join("node_modules/.loquat-installed");
    if stamp::is_current(&mark, &digest) {
        return Ok(true);
    }
    step(&format!("npm ci in {folder}/"));
    run(program("npm", ["ci", "--no-audit", "--no-fund"]).current_dir(root().join(folder)))?;
    stamp::write(&mark, &digest)?;
    Ok(true)
}

/// Where Chromium is; installed by apt-get where it is missing.
pub(crate) fn chromium() -> Result<PathBuf> {
    let installed = || BROWSERS.iter().find_map(|name| find(name));
    if let Some(path) = installed() {
        return Ok(path);
    }
    step("Chromium for the page's tests");
    need("apt-get", "Install Chromium by hand; the page's tests look for `chromium` and `google-chrome`.")?;
    let root_user = capture(&mut program("id", ["-u"]))?.trim() == "0";
    if !root_user {
        need("sudo", "Run `apt-get install chromium` as root, then try again.")?;
    }
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", "chromium"]] {
        let mut words = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"];
        words.extend(arguments);
        if !root_user {
            words.insert(0, "sudo");
        }
        let (first, rest) = words.split_first().context("an empty command")?;
        run(&mut program(first, rest))?;
    }
    match installed() {
        Some(path) => Ok(path),
        None => bail!("apt-get installed Chromium, but there is no `chromium` on the PATH"),
    }
}
