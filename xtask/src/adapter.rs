//! The Lambda Web Adapter, as its layer has it, for the tests behind it.

use anyhow::Result;

use crate::program::{program, run as run_program, step, target_folder};

/// Pinned: the version is a release candidate, and its dependencies do not fit beside ours in one lock file.
const VERSION: &str = "1.0.0-rc1";

/// Installs it under the target folder, once.
pub(crate) fn install() -> Result<()> {
    let tools = target_folder()?.join("tools");
    let done = tools.join(format!("lambda-adapter-{VERSION}"));
    if done.is_file() {
        return Ok(());
    }
    step("the Lambda Web Adapter");
    run_program(
        program(
            "cargo",
            ["install", "--quiet", "--debug", "--locked", "--force", "lambda_web_adapter", "--version"],
        )
        .arg(VERSION)
        .arg("--root")
        .arg(&tools)
        // Not optimised and without symbols: it is started twice a run.
        .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )?;
    Ok(std::fs::write(done, "")?)
}
