//! `cargo xtask model`: brings the embedded model's weights to the cache folder.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

// The server's own module, compiled here again so that fetching needs no build of the server.
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/server/src/models/local/fetch.rs"]
mod fetch;

use fetch::{Fetched, Progress};

/// The model that is used where nothing else is configured.
const BUILT_IN: &str = "local/smollm2-135m-instruct";

/// The folder the weights go to: `LOQUAT_MODEL_DIR`, or the user's cache folder.
// The server's configuration has the same rule; this program has no configuration.
#[allow(clippy::disallowed_methods)]
fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("LOQUAT_MODEL_DIR").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let cache = fetch::cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))
        .context("no cache folder: set HOME, or LOQUAT_MODEL_DIR to the folder for the model")?;
    Ok(fetch::models_dir(&cache))
}

/// Fetches the weights if they are not there. Says what it does on standard error.
pub(crate) fn fetch() -> Result<()> {
    let target = fetch::weights_file(&folder()?);
    let mut display = Display::new();
    match fetch::fetch(&target, &mut |progress| display.show(progress))? {
        Fetched::Present => {}
        Fetched::New => display.line(&format!("the embedded model is in {}", target.display())),
    }
    Ok(())
}

/// Fetches the weights unless the environment names another model.
// As above.
#[allow(clippy::disallowed_methods)]
pub(crate) fn fetch_if_used() -> Result<()> {
    let other = std::env::var("MODEL_ID").is_ok_and(|id| !id.is_empty() && id != BUILT_IN);
    if other { Ok(()) } else { fetch() }
}

/// One line that changes on a terminal; a line for every quarter elsewhere.
struct Display {
    terminal: bool,
    shown: Option<String>,
}

impl Display {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    fn show(&mut self, progress: Progress) {
        let text = match progress {
            Progress::Download(done, total) => {
                let percent = done * 100 / total.max(1);
                let step = if self.terminal { percent } else { percent / 25 * 25 };
                format!("fetching the embedded model ({} MB): {step} %", total / 1_000_000)
            }
            Progress::Unpack => "unpacking the embedded model".to_owned(),
            Progress::Verify => "checking the embedded model".to_owned(),
        };
        if self.shown.as_deref() != Some(&text) {
            self.line(&text);
            self.shown = Some(text);
        }
    }

    fn line(&mut self, text: &str) {
        let mut out = std::io::stderr().lock();
        // Nothing to do about a closed standard error.
        let _ = if self.terminal && self.shown.is_some() {
            writeln!(out, "\x1b[1A\x1b[2K{text}")
        } else {
            writeln!(out, "{text}")
        };
    }
}
