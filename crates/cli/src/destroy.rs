//! `loquat destroy`.

use std::path::PathBuf;

use loquat_cloud::destroy::{self, DestroyOptions};

use crate::terminal::{Terminal, block_on};

/// Remove the agent's stack from AWS, with what it stored.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let options = DestroyOptions { folder: args.folder, yes: args.yes };
    block_on(async { Ok(destroy::destroy(&options, &mut Terminal).await?) })
}
