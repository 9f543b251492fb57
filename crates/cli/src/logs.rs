//! `loquat logs`.

use std::{path::PathBuf, time::Duration};

use loquat_cloud::logs::{self, LogsOptions};

use crate::terminal::{Terminal, block_on};

/// Show the deployed agent's log lines.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// How many minutes back to begin
    #[arg(long, default_value_t = 10, value_name = "N")]
    minutes: u64,
    /// A filter pattern of CloudWatch Logs
    #[arg(long)]
    filter: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let options = LogsOptions {
        folder: args.folder,
        follow: args.follow,
        since: Duration::from_secs(args.minutes * 60),
        filter: args.filter,
    };
    block_on(async { Ok(logs::logs(&options, &mut Terminal).await?) })
}
