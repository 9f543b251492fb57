//! A session in the hands of a run that is about to begin.

use loquat_agent::context::Memo;
use loquat_agent::message::Message;
use tokio::task::AbortHandle;

use super::{SessionError, SessionKey};
use crate::ids::RunId;
use crate::runs::journal::{Ending, Stored};
use crate::runs::run::RunInfo;
use crate::sessions::blob::Version;
use crate::sessions::document::Document;

/// A session that a run is about to hold: read, made ready, not yet written.
#[derive(Debug)]
pub struct Hold {
    pub(super) key: SessionKey,
    pub(super) run_id: RunId,
    /// The session without the new message.
    pub(super) document: Document,
    pub(super) version: Option<Version>,
    /// The user's new message.
    pub(super) message: Option<Message>,
    /// Logs of dead runs that end with the write of this one.
    pub(super) seal: Option<(RunInfo, Stored, Ending)>,
    /// Puts a new session on the list unless it is there before.
    pub(super) listing: Option<AbortHandle>,
    /// What the model may need of the history, without the new message.
    pub history: Vec<Message>,
    /// How many messages stand before `history`.
    pub skipped: usize,
    /// What the context strategy noted.
    pub memo: Memo,
}

impl Hold {
    /// How many messages stand before the new one.
    #[must_use]
    pub fn history_length(&self) -> usize {
        self.document.count()
    }

    /// What the session's earlier runs cost, in US dollars.
    #[must_use]
    pub fn cost_usd(&self) -> Option<f64> {
        self.document.head.cost_usd
    }

    /// All that was said up to the run, its own message included.
    ///
    /// # Errors
    /// [`SessionError::Unreadable`].
    pub fn conversation(&self) -> Result<Vec<Message>, SessionError> {
        let mut messages = self.document.last(usize::MAX)?;
        messages.extend(self.message.clone());
        Ok(messages)
    }
}
