//! `loquat export`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use loquat_server::assemble::open_sessions;
use loquat_server::http::sessions::{markdown, whole};
use loquat_server::ids::SessionId;
use loquat_server::sessions::index::{MAX_PAGE, Query};
use loquat_server::sessions::service::{SessionKey, Sessions};

use crate::runs::{self, Whose};

/// Write conversations into files, or the log of a run to standard output.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Which conversations [default: all of the user's]
    #[arg(value_name = "SESSION")]
    sessions: Vec<String>,
    /// The folder for the files
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    to: PathBuf,
    /// For programs or for people
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the log of this run to standard output instead: it holds all that was said, but not what the user wrote
    #[arg(long, value_name = "RUN", conflicts_with = "sessions")]
    run: Option<String>,
    #[command(flatten)]
    whose: Whose,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, Default)]
enum Format {
    /// The session as it is stored
    #[default]
    Json,
    /// Markdown
    Md,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(export(args))
}

// What this command prints is what it is for.
#[allow(clippy::print_stdout)]
async fn export(args: Args) -> anyhow::Result<()> {
    if let Some(run) = &args.run {
        let stored = runs::find(run, &args.whose).await?;
        print!("{}", String::from_utf8_lossy(&stored.to_lines()));
        return Ok(());
    }
    let Some(sessions) = open_sessions(&args.whose.config()?)? else { bail!("this agent keeps no sessions") };
    let owner = args.whose.principal().owner().clone();
    let ids = if args.sessions.is_empty() { all(&sessions, &owner).await? } else { args.sessions };
    std::fs::create_dir_all(&args.to).with_context(|| format!("cannot make {}", args.to.display()))?;
    for id in &ids {
        let Ok(id) = SessionId::parse(id) else { bail!("`{id}` is no session's id") };
        let path = write(&sessions, SessionKey { owner: owner.clone(), id }, args.format, &args.to).await?;
        println!("{}", path.display());
    }
    if ids.is_empty() {
        println!("There are no conversations; where people sign in, say whose with --user.");
    }
    Ok(())
}

async fn all(sessions: &Sessions, owner: &loquat_server::auth::Owner) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor = None;
    loop {
        let query = Query { cursor: cursor.as_deref(), limit: MAX_PAGE, search: None };
        let page = sessions.page(owner, &query).await?;
        ids.extend(page.sessions.into_iter().map(|session| session.session_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(ids);
        }
    }
}

async fn write(sessions: &Sessions, key: SessionKey, format: Format, to: &Path) -> anyhow::Result<PathBuf> {
    let document = sessions.view(&key).await.with_context(|| format!("session {}", key.id))?;
    let (ending, body) = match format {
        Format::Json => ("json", whole(&document)),
        Format::Md => ("md", markdown(&document)?),
    };
    // The id has only letters, digits, `_` and `-`.
    let path = to.join(format!("{}.{ending}", key.id));
    std::fs::write(&path, body).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
