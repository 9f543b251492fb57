//! `loquat model fetch`: brings the embedded model.

use clap::Subcommand;
use loquat_server::config::{Config, Flags};
use loquat_server::models::local::fetch::{self, Fetched, Progress};
use loquat_server::models::local::weights_file;

/// The built-in model.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Fetch the built-in model into your cache folder (98 MB, once)
    Fetch,
}

#[allow(clippy::print_stdout, clippy::print_stderr, clippy::needless_pass_by_value)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let Command::Fetch = args.command;
    let config = Config::load(&Flags::default())?;
    let target = weights_file(config.folders.models()?);
    let mut shown = 0;
    let fetched = fetch::fetch(&target, &mut |progress| match progress {
        Progress::Download(bytes, of) => {
            let percent = bytes * 100 / of.max(1);
            if percent >= shown + 10 {
                shown = percent;
                eprintln!("fetching the built-in model: {percent} %");
            }
        }
        Progress::Unpack => eprintln!("unpacking"),
        Progress::Verify => eprintln!("verifying the checksum"),
    })?;
    match fetched {
        Fetched::Present => println!("The built-in model is there: {}", target.display()),
        Fetched::New => println!("The built-in model is fetched: {}", target.display()),
    }
    Ok(())
}
