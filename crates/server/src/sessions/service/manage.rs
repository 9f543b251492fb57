//! What an owner does with whole sessions: list, rename, comment, delete; and the sweep of those that expired.

use jiff::Timestamp;
use loquat_agent::message::Message;
use serde_json::Value;

use super::{Opened, SessionError, SessionKey, Sessions, summary_of};
use crate::auth::Owner;
use crate::ids::{RunId, SessionId};
use crate::sessions::blob::{BlobError, Durability};
use crate::sessions::document::{Branch, Document};
use crate::sessions::index::{Page, Query, Summary};

impl Sessions {
    /// A page of an owner's sessions.
    ///
    /// # Errors
    /// [`SessionError::Index`].
    pub async fn page(&self, owner: &Owner, query: &Query<'_>) -> Result<Page, SessionError> {
        Ok(self.index.list(owner.segment().unwrap_or_default(), query).await?)
    }

    /// Gives a session a title.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] if there is none.
    pub async fn rename(&self, key: &SessionKey, title: &str) -> Result<Summary, SessionError> {
        self.change_head(key, |document| document.head.title = Some(title.to_owned())).await
    }

    /// Notes on a run's last answer what the user thinks of it. Says whether the rating is another than before.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] if the session or the run's answer is not there.
    pub async fn note_feedback(
        &self,
        key: &SessionKey,
        run: &RunId,
        rating: &str,
        comment: Option<&str>,
    ) -> Result<bool, SessionError> {
        for _ in 0..8 {
            let Opened { mut document, version } = self.open(key).await?;
            let mut messages = document.last(document.count())?;
            let of_run = |m: &Message| m.metadata.get("run_id").and_then(Value::as_str) == Some(run.as_str());
            let Some(answer) = messages.iter_mut().rev().find(|m| of_run(m)) else {
                return Err(SessionError::NotFound);
            };
            let before = answer.metadata.get("feedback").and_then(|feedback| feedback.get("rating"));
            let is_new = before.is_none_or(|before| *before != rating);
            let mut feedback = serde_json::json!({"rating": rating});
            if let Some(comment) = comment {
                feedback["comment"] = comment.into();
            }
            answer.metadata.insert("feedback".into(), feedback);
            document.replace(&messages);
            match self.write(key, &document, version, Durability::Full).await {
                Err(SessionError::Store(BlobError::Conflict)) => {}
                outcome => return outcome.map(|_| is_new),
            }
        }
        Err(SessionError::Store(BlobError::Unavailable("the session changes too fast to be written".into())))
    }

    async fn change_head(
        &self,
        key: &SessionKey,
        change: impl Fn(&mut Document),
    ) -> Result<Summary, SessionError> {
        for _ in 0..8 {
            let Opened { mut document, version } = self.open(key).await?;
            if version.is_none() || document.count() == 0 {
                return Err(SessionError::NotFound);
            }
            change(&mut document);
            match self.write(key, &document, version, Durability::Full).await {
                Ok(_) => {
                    let summary = summary_of(&document);
                    let owner = key.owner.segment().unwrap_or_default();
                    self.index.upsert(owner, &summary, None).await?;
                    return Ok(summary);
                }
                Err(SessionError::Store(BlobError::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(SessionError::Store(BlobError::Unavailable("the session changes too fast to be written".into())))
    }

    /// Deletes a session with the logs of its runs.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] if there is none.
    pub async fn delete(&self, key: &SessionKey) -> Result<(), SessionError> {
        let owner = key.owner.segment().unwrap_or_default();
        let Some(blob) = self.store.get(&key.path()).await? else {
            self.index.remove(owner, key.id.as_str()).await?;
            return Err(SessionError::NotFound);
        };
        let expired_or_empty = self.open(key).await.is_ok_and(|opened| opened.document.count() == 0);
        self.store.delete(&key.path()).await?;
        self.index.remove(owner, key.id.as_str()).await?;
        // An unreadable file is deleted all the same; its logs cannot be found.
        if let Ok(document) = Document::parse(blob.bytes) {
            for run in runs_of(&document) {
                self.journals.delete(&key.owner, &run).await?;
            }
        }
        if expired_or_empty { Err(SessionError::NotFound) } else { Ok(()) }
    }

    /// Deletes the sessions that have not changed for `Times::ttl`; gives how many.
    ///
    /// # Errors
    /// [`SessionError::Store`], [`SessionError::Index`].
    pub async fn sweep(&self) -> Result<usize, SessionError> {
        let ttl = i64::try_from(self.times.ttl.as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now();
        let before =
            Timestamp::from_millisecond(now.as_millisecond().saturating_sub(ttl)).unwrap_or(Timestamp::MIN);
        let mut swept = 0;
        for (owner, id) in self.index.stale(before, 1000).await? {
            let Ok(id) = SessionId::parse(&id) else { continue };
            let key = SessionKey { owner: Owner::stored(&owner), id };
            match self.delete(&key).await {
                Ok(()) | Err(SessionError::NotFound) => swept += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(swept)
    }
}

/// The runs that a session's messages come from.
fn runs_of(document: &Document) -> Vec<RunId> {
    let mut runs: Vec<RunId> = Vec::new();
    let branches: Vec<Branch> = serde_json::from_str(&document.raw_branches()).unwrap_or_default();
    let messages = document.last(document.count()).unwrap_or_default();
    for message in messages.iter().chain(branches.iter().flat_map(|branch| &branch.messages)) {
        let run = message.metadata.get("run_id").and_then(Value::as_str).and_then(|id| RunId::parse(id).ok());
        if let Some(run) = run.filter(|run| runs.last() != Some(run)) {
            runs.push(run);
        }
    }
    runs
}
