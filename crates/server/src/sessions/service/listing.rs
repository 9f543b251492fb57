//! The entry of a session in its owner's list.

use std::time::Duration;

use super::{SessionKey, Sessions, summary_of};
use crate::sessions::document::Document;

/// When the list of sessions is updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Beside a turn's start and its end: the store is near.
    #[default]
    StartAndEnd,
    /// Beside a turn's end: each write costs.
    End,
    /// Before a turn's end is told: the process may be frozen after it (AWS Lambda).
    BeforeEnd,
}

/// How long a new session may be missing from its list.
pub(super) const UNLISTED: Duration = Duration::from_secs(1);

impl Sessions {
    /// Updates the list, beside the turn or before it goes on.
    pub(super) async fn list(&self, key: &SessionKey, document: &Document, text: Option<&str>) {
        match self.listing {
            Listing::BeforeEnd => self.upsert(key, document, text).await,
            // Off the way of the answer.
            Listing::StartAndEnd | Listing::End => {
                let (sessions, key, document) = (self.clone(), key.clone(), document.clone());
                let text = text.map(str::to_owned);
                tokio::spawn(async move { sessions.upsert(&key, &document, text.as_deref()).await });
            }
        }
    }

    /// Writes the list's entry. The list is derived, so a failure is only logged.
    pub(super) async fn upsert(&self, key: &SessionKey, document: &Document, text: Option<&str>) {
        let summary = summary_of(document);
        let owner = key.owner.segment().unwrap_or_default();
        if let Err(error) = self.index.upsert(owner, &summary, text).await {
            tracing::warn!(session_id = summary.session_id, %error, "the list of sessions was not updated");
        }
    }
}
