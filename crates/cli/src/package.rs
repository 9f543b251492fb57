//! `loquat package`.

use std::path::PathBuf;

use anyhow::Context as _;
use loquat_cloud::{agent::Agent, package};

/// Write the zip that Lambda runs: the same inputs give the same bytes.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// The file to write
    #[arg(long, default_value = "agent.zip")]
    out: PathBuf,
    /// The `bootstrap` binary [default: the one beside this program]
    #[arg(long)]
    bootstrap: Option<PathBuf>,
}

#[allow(clippy::print_stdout, clippy::needless_pass_by_value)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let agent = Agent::read(&args.folder)?;
    let architecture = agent.deploy.architecture;
    let bootstrap = package::find_bootstrap(args.bootstrap.as_deref(), architecture)?;
    let package = package::build(&args.folder, &bootstrap, architecture)?;
    std::fs::write(&args.out, &package.bytes).with_context(|| args.out.display().to_string())?;
    let glibc = match package.binary.glibc {
        Some((major, minor)) => format!("glibc {major}.{minor}"),
        None => "static".to_owned(),
    };
    println!("{}  {} bytes, {}, {glibc}", args.out.display(), package.bytes.len(), architecture.as_str());
    println!("sha256 {}", package.digest);
    Ok(())
}
