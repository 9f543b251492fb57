//! `loquat keys`.

use std::path::PathBuf;

use anyhow::bail;
use loquat_server::auth::{AuthType, KeyFile, NamedKey};
use loquat_server::config::{Config, Flags};

/// Add, list and revoke the keys of AUTH_TYPE=ApiKey.
///
/// Only hashes are kept, in the data folder. A running server takes up a change within a second.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Settings file [default: loquat.toml, if there is one; environment: LOQUAT_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Command {
    /// Make a key and print it; it cannot be had again
    Add {
        /// What to call it
        name: String,
        /// Whose conversations it opens [default: its name]
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// Let it use the /admin routes
        #[arg(long)]
        admin: bool,
        /// Store nothing; print the key and the setting to keep where there is no data folder
        #[arg(long, conflicts_with_all = ["user", "admin"])]
        print: bool,
    },
    /// Show the names of the keys
    List,
    /// Take a key away
    Revoke {
        /// Its name
        name: String,
    },
}

// What these commands print is what they are for.
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let flags = Flags { config: args.config, ..Flags::default() };
    let file = || Ok::<_, anyhow::Error>(KeyFile::within(Config::load(&flags)?.folders.data()?));
    match args.command {
        Command::Add { name, print: true, .. } => {
            let (stored, key) = NamedKey::generate(&name, None, false);
            println!("{key}\nLOQUAT_API_KEYS={name}={}", stored.sha256);
        }
        Command::Add { name, user, admin, print: false } => {
            println!("{}", file()?.add(&name, user.as_deref(), admin)?);
            if Config::load(&flags)?.auth.kind != AuthType::ApiKey {
                eprintln!("The key is good once AUTH_TYPE=ApiKey is set; now nobody is asked for one.");
            }
        }
        Command::List => {
            for key in file()?.read()? {
                let made = key.created_at.map(|made| made.strftime("%Y-%m-%d").to_string());
                let user = key.user.as_deref().unwrap_or(&key.name);
                let admin = if key.admin { "  admin" } else { "" };
                println!("{:<24} {:<10}  {user}{admin}", key.name, made.as_deref().unwrap_or("-"));
            }
        }
        Command::Revoke { name } => {
            if !file()?.revoke(&name)? {
                bail!("there is no key named `{name}`; `loquat keys list` shows them");
            }
        }
    }
    Ok(())
}
