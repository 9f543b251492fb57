//! `cargo xtask deny`: `cargo deny` with the rules of `deny.toml`, for the workspace and for the fuzzers.
//!
//! What must hold on every machine is checked without it by `cargo xtask tidy`. The list of known weaknesses is fetched by
//! the tool itself; where that is not possible they are left out, and that is said.

use std::path::PathBuf;

use anyhow::Result;

use crate::program::{find, program, run as run_program, step, target_folder};

/// Checks licences, bans and sources, and advisories where their list can be had.
pub(crate) fn run() -> Result<()> {
    let tool = tool()?;
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        step(&format!("cargo deny, {manifest}"));
        let check = |what: &[&str]| {
            let mut command =
                program(&tool.to_string_lossy(), ["--all-features", "--manifest-path", manifest]);
            command.args(["check", "--config", "deny.toml", "--hide-inclusion-graph"]).args(what);
            command
        };
        run_program(&mut check(&["licenses", "bans", "sources"]))?;
        let mut list = program(&tool.to_string_lossy(), ["--manifest-path", manifest, "fetch", "db"]);
        if run_program(&mut list).is_err() {
            println!("advisories: left out, their list cannot be fetched here");
            continue;
        }
        run_program(check(&["--disable-fetch", "advisories"]).env_remove("CARGO_NET_OFFLINE"))?;
    }
    Ok(())
}

/// The tool, installed under the target folder where it is nowhere else.
fn tool() -> Result<PathBuf> {
    if let Some(path) = find("cargo-deny") {
        return Ok(path);
    }
    let tools = target_folder()?.join("tools");
    let path = tools.join("bin/cargo-deny");
    if !path.is_file() {
        step("cargo-deny (this takes minutes, once)");
        run_program(
            program("cargo", ["install", "--quiet", "--locked", "cargo-deny", "--root"]).arg(&tools),
        )?;
    }
    Ok(path)
}
