//! Commits, leases and repair, written once over [`BlobStore`].
//!
//! A turn reads its session once and writes it twice: at the start the user's message and the run's hold on the session,
//! at the end the answer. Both writes are conditional on the state that was read, so of two writers only one succeeds,
//! and a writer that lost its hold fails instead of overwriting.

mod error;
mod handover;
mod hold;
mod listing;
mod manage;
mod marks;
mod summary;
mod times;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use loquat_agent::context::{Memo, Reach};
use loquat_agent::event::{Event, Outcome};
use loquat_agent::message::{Content, Message, Role};
use loquat_agent::transcript::missing_result;
use serde_json::Value;

use super::blob::{BlobError, BlobStore, Condition, Durability, Version};
use super::document::{Document, Lease, Pending, Unreadable};
use super::index::SessionIndex;
use super::{ending, repair};
use crate::auth::Owner;
use crate::clock::{Clock, later};
use crate::ids::{Id, RunId, SessionId};
use crate::runs::journal::{Journals, Liveness, Stored};
use crate::runs::run::RunInfo;
use crate::telemetry::cost;

pub use error::SessionError;
pub use hold::Hold;
pub use listing::Listing;
use listing::UNLISTED;
use marks::{mentions, note_start};
pub use summary::summary_of;
use summary::title_of;
pub use times::Times;

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Whose it is.
    pub owner: Owner,
    /// Its id.
    pub id: SessionId,
}

impl SessionKey {
    /// The key in the store: `sessions/{id}.json` where nobody signs in, else `sessions/{owner}/{id}.json`.
    #[must_use]
    pub fn path(&self) -> String {
        match self.owner.segment() {
            Some(owner) => format!("sessions/{owner}/{}.json", self.id),
            None => format!("sessions/{}.json", self.id),
        }
    }
}

/// The sessions of a service.
#[derive(Clone)]
pub struct Sessions {
    /// Where they are.
    pub store: Arc<dyn BlobStore>,
    /// Their lists.
    pub index: Arc<dyn SessionIndex>,
    /// The logs of runs.
    pub journals: Arc<dyn Journals>,
    /// The time of day.
    pub clock: Clock,
    /// Time constants.
    pub times: Times,
    /// When the list is updated.
    pub listing: Listing,
}

/// A session as it was read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its content.
    pub document: Document,
    /// The state it was read in; `None` if there is none yet.
    pub version: Option<Version>,
}

/// What a run wants from its session.
#[derive(Clone, Debug)]
pub enum Wish {
    /// To answer a message.
    Message {
        /// The message.
        message: Message,
        /// Go on from the first so many messages; what stands after them becomes a branch.
        history_length: Option<usize>,
    },
    /// To answer the last message of a conversation that was held elsewhere; the session must be new.
    Begin {
        /// What was said before.
        history: Vec<Message>,
        /// The message.
        message: Message,
    },
    /// To go on with a turn that waits for decisions.
    Resume {
        /// The run that asked.
        asked_by: RunId,
    },
}

impl Sessions {
    /// Reads a session; an expired one is as good as none.
    ///
    /// # Errors
    /// [`SessionError::Store`], [`SessionError::Unreadable`].
    pub async fn open(&self, key: &SessionKey) -> Result<Opened, SessionError> {
        let now = self.clock.now();
        match self.store.get(&key.path()).await? {
            Some(blob) => {
                let document = Document::parse(blob.bytes)?;
                let expired = later(document.head.updated_at, self.times.ttl) < now;
                let document = if expired { self.fresh(key, now) } else { document };
                Ok(Opened { document, version: Some(blob.version) })
            }
            None => Ok(Opened { document: self.fresh(key, now), version: None }),
        }
    }

    fn fresh(&self, key: &SessionKey, now: Timestamp) -> Document {
        Document::new(key.id.clone(), key.owner.segment(), now)
    }

    /// Reads a session for its owner to look at. One whose run died is repaired first.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] if there is none.
    pub async fn view(&self, key: &SessionKey) -> Result<Document, SessionError> {
        for _ in 0..8 {
            let mut opened = self.open(key).await?;
            if opened.version.is_none() || opened.document.count() == 0 {
                return Err(SessionError::NotFound);
            }
            let Some(lease) = opened.document.head.run.clone() else { return Ok(opened.document) };
            let now = self.clock.now();
            if lease.waits(now) {
                return Ok(opened.document);
            }
            let Liveness::Dead(stored) = self.journals.liveness(&key.owner, &lease, now).await? else {
                return Ok(opened.document);
            };
            let info = ending::info_of_lease(&opened.document, &lease);
            let ending = repair::complete(&mut opened.document, &lease, &stored, now);
            match self.write(key, &opened.document, opened.version, Durability::Full).await {
                Ok(_) => {
                    self.list(key, &opened.document, None).await;
                    self.journals.seal(&key.owner, &info, &stored, &ending).await?;
                    tracing::info!(session_id = %key.id, run_id = %lease.id, "repaired a session whose run died");
                    return Ok(opened.document);
                }
                // Somebody else repaired it, or went on with it: look again.
                Err(SessionError::Store(BlobError::Conflict)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(SessionError::Store(BlobError::Unavailable("the session changes too fast to be read".into())))
    }

    /// Whether a run is one of a session's, as far as its last messages say.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn knows(&self, key: &SessionKey, run: &RunId) -> Result<bool, SessionError> {
        let document = self.open(key).await?.document;
        Ok(mentions(&document, run)? || document.head.run.is_some_and(|lease| lease.id == *run))
    }

    async fn write(
        &self,
        key: &SessionKey,
        document: &Document,
        version: Option<Version>,
        durability: Durability,
    ) -> Result<Version, SessionError> {
        let condition = version.map_or(Condition::Create, Condition::Match);
        Ok(self.store.put(&key.path(), document.encode(), condition, durability).await?)
    }

    /// Reads a session and makes it ready for a run: repairs what a dead run left, dismisses open questions, branches.
    /// Nothing is written yet, so the model can be called while [`Self::hold`] writes.
    ///
    /// # Errors
    /// [`SessionError::Busy`] if a live run holds the session, [`SessionError::SameRun`] if it is this one.
    pub async fn prepare(
        &self,
        key: &SessionKey,
        about: &RunInfo,
        wish: Wish,
        reach: Reach,
    ) -> Result<Hold, SessionError> {
        let run_id = &about.id;
        let now = self.clock.now();
        let (Opened { mut document, version }, dead) = self.settled(key, run_id, now).await?;
        let seal = dead.map(|(lease, stored)| {
            let info = ending::info_of_lease(&document, &lease);
            let ending = repair::complete(&mut document, &lease, &stored, now);
            (info, *stored, ending)
        });
        let message = match wish {
            Wish::Message { mut message, history_length } => {
                if let Some(keep) = history_length {
                    if keep > document.count() {
                        return Err(SessionError::Invalid("history_length is more than the session holds"));
                    }
                    document.branch(keep, now)?;
                }
                dismiss(&mut document, now)?;
                note_start(&mut message, run_id, now);
                if document.head.title.is_none() {
                    document.head.title = title_of(&message);
                }
                Some(message)
            }
            Wish::Begin { history, mut message } => {
                if document.count() > 0 {
                    return Err(SessionError::Invalid("the session holds messages already"));
                }
                let first = history.iter().find(|said| said.starts_turn()).unwrap_or(&message);
                document.head.title = title_of(first);
                document.append(&history);
                note_start(&mut message, run_id, now);
                Some(message)
            }
            Wish::Resume { asked_by } => {
                match &document.head.pending {
                    Some(pending) if pending.run_id != asked_by => {
                        return Err(SessionError::Invalid("another run of this session waits for decisions"));
                    }
                    Some(pending) if pending.expires_at < now => {
                        return Err(SessionError::Invalid(
                            "the time for a decision is over; send a new message",
                        ));
                    }
                    Some(_) => {}
                    None => return Err(SessionError::Invalid("nothing waits for a decision")),
                }
                None
            }
        };
        let resumes = message.is_none();
        document.head.pending = None;
        document.head.epoch += 1;
        document.head.updated_at = now;
        document.head.run = Some(Lease {
            id: run_id.clone(),
            lease_until: later(now, self.times.lease),
            resumes,
            paused: false,
            writer: Some(Id::new()),
            info: Some(Box::new(RunInfo { history_length: document.count(), ..about.clone() })),
        });
        let wanted = match reach {
            Reach::Last(n) => n.saturating_sub(usize::from(!resumes)),
            Reach::All => usize::MAX,
        };
        let history = document.last(wanted)?;
        let skipped = document.count() - history.len();
        let memo = Memo::new(document.head.memo.clone());
        Ok(Hold {
            key: key.clone(),
            run_id: run_id.clone(),
            document,
            version,
            message,
            seal,
            listing: None,
            history,
            skipped,
            memo,
        })
    }

    /// Reads a session that no live run holds, and what a dead one left that does.
    async fn settled(
        &self,
        key: &SessionKey,
        run_id: &RunId,
        now: Timestamp,
    ) -> Result<(Opened, Option<(Lease, Box<Stored>)>), SessionError> {
        let mut opened = self.open(key).await?;
        loop {
            if mentions(&opened.document, run_id)? {
                return Err(SessionError::SameRun(run_id.clone()));
            }
            let Some(lease) = opened.document.head.run.clone() else { return Ok((opened, None)) };
            let liveness = match lease.waits(now) {
                true if lease.id == *run_id => return Err(SessionError::SameRun(lease.id)),
                // The user goes on without it.
                true => {
                    let stored = self.journals.read(&key.owner, &lease.id).await?;
                    Liveness::Dead(Box::new(stored.unwrap_or_default()))
                }
                false => self.journals.liveness(&key.owner, &lease, now).await?,
            };
            let stored = match liveness {
                Liveness::Live if lease.id == *run_id => return Err(SessionError::SameRun(lease.id)),
                Liveness::Live => return Err(SessionError::Busy(lease.id)),
                Liveness::Dead(stored) => stored,
            };
            // It may have ended well between the two readings. What was read first would then be refused at the write,
            // after the model had been called for nothing.
            let again = self.open(key).await?;
            if again.version == opened.version {
                return Ok((opened, Some((lease, stored))));
            }
            opened = again;
        }
    }

    /// Writes the user's message and the run's hold on the session.
    ///
    /// # Errors
    /// [`SessionError::LeaseLost`] if another writer was faster: the caller may prepare again.
    pub async fn hold(&self, hold: &mut Hold) -> Result<(), SessionError> {
        let mut document = hold.document.clone();
        document.append(hold.message.as_slice());
        // A start that survives the process is enough: only what was committed is promised beyond that.
        let is_new = hold.version.is_none();
        let written = self.put_own(hold, &document, Durability::Process).await?;
        hold.version = Some(written);
        if let Some((info, stored, ending)) = hold.seal.take() {
            self.journals.seal(&hold.key.owner, &info, &stored, &ending).await?;
        }
        let said = hold.message.as_ref().map(Message::text);
        if self.listing == Listing::StartAndEnd {
            self.list(&hold.key, &document, said.as_deref()).await;
        } else if is_new {
            // Its owner must find a new session even if this process dies. A short turn lists it once, at its end.
            let (sessions, key) = (self.clone(), hold.key.clone());
            let late = tokio::spawn(async move {
                tokio::time::sleep(UNLISTED).await;
                sessions.upsert(&key, &document, said.as_deref()).await;
            });
            hold.listing = Some(late.abort_handle());
        }
        Ok(())
    }

    /// Until when, at least, the user may decide on a call that is left open now.
    #[must_use]
    pub fn undecided_until(&self) -> Timestamp {
        later(self.clock.now(), self.times.pending)
    }

    /// Writes the answer and lets the session go. Gives the number of messages it holds now.
    ///
    /// # Errors
    /// [`SessionError::LeaseLost`] if somebody else holds the session now, or it was deleted: nothing was written.
    pub async fn commit(
        &self,
        mut hold: Hold,
        mut turn: Vec<Message>,
        terminal: &Event,
        started: Option<&Event>,
        usage: Value,
    ) -> Result<usize, SessionError> {
        let now = self.clock.now();
        let spent = usage.get("cost_usd").and_then(Value::as_f64);
        for warning in hold.memo.take_warnings() {
            tracing::warn!(run_id = %hold.run_id, session_id = %hold.key.id, warning, "context strategy");
        }
        repair::mark(&mut turn, hold.run_id.as_str(), now, terminal, started);
        if let Some(last) = turn.iter_mut().rev().find(|message| message.role == Role::Assistant) {
            last.metadata.insert("usage".into(), usage);
        }
        let mut message = hold.message.take();
        if let (true, Some(message)) = (turn.is_empty(), message.as_mut()) {
            repair::note_end(message, terminal);
        }
        let pending = matches!(terminal, Event::Finished { outcome: Outcome::Interrupted })
            .then(|| Pending { run_id: hold.run_id.clone(), expires_at: later(now, self.times.pending) });
        let said: String =
            turn.iter().filter(|m| m.role == Role::Assistant).map(|m| m.text() + "\n").collect();
        // The head may have changed meanwhile (a new title): then the write is made again on top of it.
        let mut base = hold.document.clone();
        loop {
            let mut document = base.clone();
            document.append(message.as_slice());
            document.append(&turn);
            document.head.run = None;
            document.head.updated_at = now;
            document.head.memo = hold.memo.to_map();
            document.head.pending.clone_from(&pending);
            document.head.cost_usd = cost::sum(document.head.cost_usd, spent);
            match self.put_own(&mut hold, &document, Durability::Full).await {
                Ok(_) => {
                    if let Some(late) = hold.listing.take() {
                        late.abort();
                    }
                    self.list(&hold.key, &document, Some(&said)).await;
                    return Ok(document.count());
                }
                Err(SessionError::LeaseLost) => {
                    // Ours still, only its head was touched?
                    let opened = self.open(&hold.key).await?;
                    if !holds(&opened.document, &hold) {
                        return Err(SessionError::LeaseLost);
                    }
                    base.head.title = opened.document.head.title;
                    hold.version = opened.version;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A conditional write whose answer may be lost: while the store does not answer it is tried again, and what is
    /// stored decides whether an earlier try went through.
    async fn put_own(
        &self,
        hold: &mut Hold,
        document: &Document,
        durability: Durability,
    ) -> Result<Version, SessionError> {
        let deadline = tokio::time::Instant::now() + self.times.patience;
        let mut pause = Duration::from_millis(50);
        let bytes = document.encode();
        let path = hold.key.path();
        let mut unsure = false;
        loop {
            let condition = hold.version.clone().map_or(Condition::Create, Condition::Match);
            let outcome = match self.store.put(&path, bytes.clone(), condition, durability).await {
                // After a try whose answer was lost the conflict may be with ourselves.
                Err(BlobError::Conflict) if unsure => match self.store.get(&path).await {
                    Ok(Some(blob)) if blob.bytes == bytes => Ok(blob.version),
                    Ok(_) => return Err(SessionError::LeaseLost),
                    Err(error) => Err(error),
                },
                Err(BlobError::Conflict) => return Err(SessionError::LeaseLost),
                outcome => outcome,
            };
            match outcome {
                Err(BlobError::Unavailable(_)) if tokio::time::Instant::now() + pause < deadline => {
                    unsure = true;
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                outcome => return Ok(outcome?),
            }
        }
    }
}

/// Whether the stored session is still held by this very run.
fn holds(stored: &Document, hold: &Hold) -> bool {
    stored.head.epoch == hold.document.head.epoch
        && stored.head.run.as_ref().is_some_and(|lease| lease.id == hold.run_id)
}

/// Calls that wait for a decision are dismissed by a new message; calls that an old program left open are answered.
fn dismiss(document: &mut Document, now: Timestamp) -> Result<(), Unreadable> {
    let Some(pending) = document.head.pending.take() else { return Ok(()) };
    let history = document.last(64)?;
    let Some(asked) = history.iter().rposition(|message| message.tool_uses().next().is_some()) else {
        return Ok(());
    };
    let answered: Vec<&str> = history[asked + 1..]
        .iter()
        .flat_map(|message| message.tool_results().map(|r| r.tool_use_id.as_str()))
        .collect();
    let why = if pending.expires_at < now {
        "Nobody decided on this call in time. It was not run."
    } else {
        "The user did not decide on this call and wrote a new message instead. It was not run."
    };
    let answers: Vec<Content> = history[asked]
        .tool_uses()
        .filter(|call| !answered.contains(&call.tool_use_id.as_str()))
        .map(|call| Content::ToolResult(missing_result(&call.tool_use_id, why)))
        .collect();
    if !answers.is_empty() {
        document.append(&[Message::new(Role::User, answers)]);
    }
    Ok(())
}
