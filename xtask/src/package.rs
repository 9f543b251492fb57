//! `cargo xtask package`: the Lambda package, through the command that users run.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::dist::Binary;
use crate::program::{built, program, run as run_program, step, target_folder};
use crate::{dist, run, web};

/// What `package` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `loquat package`, for example `my-agent --out agent.zip`; without it `examples/hello` is packed for every
    /// processor that this machine can build for, into the folder `package` of Cargo's target folder.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    package: Vec<OsString>,
}

/// Builds the page, the program that packs, and the Lambda binaries, and packs.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    web::build()?;
    let loquat = run::loquat()?;
    lambda_binary()?;
    let host = dist::host()?;
    let own = host.split('-').next().unwrap_or_default();
    let mut words = Vec::new();
    for (word, triple) in dist::LAMBDA {
        if !triple.starts_with(own) {
            if !dist::can_build(triple) {
                println!("{}", dist::missing(word, triple));
                continue;
            }
            step(&format!("the Lambda binary for {word}"));
            dist::build(Binary::Lambda, Some(triple))?;
        }
        words.push(*word);
    }
    let pack = || program(&loquat.to_string_lossy(), ["package"]);
    if !arguments.package.is_empty() {
        return run_program(pack().args(&arguments.package));
    }
    let folder = target_folder()?.join("package");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for word in words {
        let out = folder.join(format!("hello-{word}.zip"));
        run_program(pack().args(["examples/hello", "--architecture", word, "--out"]).arg(out))?;
    }
    Ok(())
}

/// Builds `bootstrap` by itself, because Lambda gets no embedded model, and small.
pub(crate) fn lambda_binary() -> Result<PathBuf> {
    step("the Lambda binary");
    run_program(program("cargo", ["build", "--package", "loquat"]).args(Binary::Lambda.arguments()))?;
    built(Binary::Lambda.profile(), "bootstrap")
}
