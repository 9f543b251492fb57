//! `cargo xtask order`: measures which functions a start runs, and writes `crates/cli/start.ld`, by which the linker puts them
//! side by side.

use anyhow::Result;

use crate::program::{built, need, program, root, run as run_program, step, target_folder};

/// Builds the program with a map of where its functions lie, and has `loquat-bench order` look which of them run.
pub(crate) fn run() -> Result<()> {
    need("valgrind", "Debian: apt-get install valgrind.")?;
    step("the program and the tools (release)");
    let map = target_folder()?.join("loquat.map");
    run_program(
        program("cargo", ["build", "--release", "--package", "loquat", "--package", "loquat-bench"])
            .args(["--bin", "loquat", "--bin", "loquat-bench"])
            .env("LOQUAT_LINK_MAP", &map),
    )?;
    step("a start under valgrind");
    run_program(
        program(&built("release", "loquat-bench")?.to_string_lossy(), ["order", "--loquat"])
            .arg(built("release", "loquat")?)
            .arg("--map")
            .arg(map)
            .arg("--out")
            .arg(root().join("crates/cli/start.ld")),
    )
}
