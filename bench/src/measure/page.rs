//! What the page costs its reader, as a browser sees it.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::systems::{Places, System};

/// 2 000 tokens, faster than any model.
const WORDS: &str = "tokens=2000 delay=2ms";

/// What `web/measure.mjs` tells.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Page {
    /// Over the wire until it can be used, with an empty cache.
    pub bytes: u64,
    /// Milliseconds from the navigation to the first contentful paint, median.
    pub first_paint_ms: f64,
    /// Characters of the answer that was streamed into it.
    pub characters: usize,
    /// Tasks of more than 50 ms while it streamed.
    pub long_tasks: usize,
    /// The longest of them, in milliseconds; 0 if there was none.
    pub longest_ms: f64,
}

/// Opens the page in a browser, and lets an answer stream into it. `script` is `web/measure.mjs`, which finds the
/// browser by `CHROMIUM`.
///
/// # Errors
/// Node or the browser fail, or the answer is not shown.
pub async fn measure(places: &Places, mock: SocketAddr, script: &Path) -> Result<Page> {
    let running = System::Loquat.start(places, mock).await?;
    let output = Command::new("node")
        .arg(script)
        .args([&format!("http://{}/", running.addr), WORDS])
        .output()
        .await
        .context("cannot start node")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {told}", script.display());
    serde_json::from_slice(&output.stdout).context("the script gave no figures")
}
