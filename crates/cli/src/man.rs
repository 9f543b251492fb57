//! `loquat man`, for those who pack releases.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::CommandFactory as _;

/// Write the manual pages into a folder.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The folder; it is made if there is none
    folder: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let place = || args.folder.display().to_string();
    std::fs::create_dir_all(&args.folder).with_context(place)?;
    clap_mangen::generate_to(crate::Cli::command(), &args.folder).with_context(place)
}
