//! The measurements. Each starts what it needs, checks every byte of text, and returns numbers; `report` writes them down.

pub mod crowd;
pub mod lambda;
pub mod latency;
pub mod paced;
pub mod page;
pub mod sessions;
pub mod stalled;
pub mod start;
pub mod throughput;

use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use crate::client::{Answer, Connection, Target};

/// How much is measured: the whole, or enough to see that it works.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of which the median is taken.
    pub rounds: usize,
    /// Seconds of a round.
    pub seconds: f64,
}

/// The text that the mock gives for some words, asked of the mock itself.
///
/// # Errors
/// The mock does not answer.
pub async fn reference(direct: Target, words: &str) -> Result<Arc<str>> {
    Ok(Connection::new(direct).chat(None, words).await?.text.into())
}

/// One chat whose text must be the expected one.
///
/// # Errors
/// The answer is not whole, or other text arrived.
pub async fn checked(connection: &mut Connection, words: &str, expected: &str) -> Result<Answer> {
    let answer = connection.chat(None, words).await?;
    ensure!(answer.text == expected, "other text arrived than the model sent");
    Ok(answer)
}

/// Fails where a load had failures: a figure with failures is not a figure.
pub(crate) fn no_failures(failures: &[String]) -> Result<()> {
    match failures.first() {
        None => Ok(()),
        Some(first) => bail!("{} requests failed; the first: {first}", failures.len()),
    }
}
