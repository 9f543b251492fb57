//! `loquat package`.

use std::path::PathBuf;

use anyhow::Context as _;
use loquat_cloud::{agent::Agent, package, settings::Architecture};

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
    /// The processor, in place of what `[deploy]` says
    #[arg(long, alias = "arch", value_enum)]
    architecture: Option<Processor>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Processor {
    #[value(alias = "aarch64")]
    Arm64,
    #[value(name = "x86_64", alias = "amd64", alias = "x86-64")]
    X86_64,
}

#[allow(clippy::print_stdout, clippy::needless_pass_by_value)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let mut agent = Agent::read(&args.folder)?;
    if let Some(chosen) = args.architecture {
        agent.names_architecture = true;
        agent.deploy.architecture = match chosen {
            Processor::Arm64 => Architecture::Arm64,
            Processor::X86_64 => Architecture::X86_64,
        };
    }
    let (bootstrap, gave_way) = package::choose_bootstrap(&mut agent, args.bootstrap.as_deref())?;
    let architecture = agent.deploy.architecture;
    if gave_way {
        println!("{}", package::other_processor(architecture));
    }
    let package = package::build(&args.folder, &bootstrap, architecture)?;
    std::fs::write(&args.out, &package.bytes).with_context(|| args.out.display().to_string())?;
    let glibc = match package.binary.glibc {
        Some((major, minor)) => format!("glibc {major}.{minor}"),
        None => "static".to_owned(),
    };
    let bytes = package.bytes.len();
    #[allow(clippy::cast_precision_loss, reason = "a size for people")]
    let megabytes = bytes as f64 / 1e6;
    println!("{}  {bytes} bytes ({megabytes:.1} MB), {}, {glibc}", args.out.display(), architecture.as_str());
    println!("sha256 {}", package.digest);
    Ok(())
}
