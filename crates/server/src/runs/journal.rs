//! Where a run's log is kept so that it outlives its process.
//!
//! On a local disk each run is one file that grows: a write a wake-up, before the readers get the events, so the death
//! of the process loses nothing that was shown. On object storage it goes out in segments by time. Both hold the same
//! lines: first a [`RunInfo`], then one event a line, numbered.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use loquat_agent::event::Event;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::run::RunInfo;
use crate::auth::Owner;
use crate::ids::RunId;
use crate::sessions::blob::BlobError;
use crate::sessions::document::Lease;

/// One line of a stored log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The first line.
    Info {
        /// What is known from the start.
        run: Box<RunInfo>,
    },
    /// An event.
    Event {
        /// Its number.
        n: u64,
        /// Milliseconds since the run began.
        t: u64,
        /// The event.
        e: Event,
    },
    /// What the session held after the turn, before the terminal event.
    Count {
        /// The number of messages.
        message_count: usize,
    },
    /// What follows was added by another process after the writer's death, from what the session holds. Events after
    /// this number that a client saw of the writer itself may have been others.
    Sealed {
        /// The number of the writer's last event in the log.
        sealed_after: u64,
    },
    /// The writer is alive at least until then (object storage, where lines come rarely).
    Lease {
        /// Until when.
        lease_until: Timestamp,
    },
}

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another run has this id.
    #[error("a run with this id exists")]
    Exists,
    /// The local disk.
    #[error("the run log cannot be written or read: {0}")]
    Io(#[from] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] BlobError),
}

/// A stored log as it was read.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The first line; missing if nothing whole was written.
    pub info: Option<RunInfo>,
    /// The events in order, without gaps.
    pub events: Vec<Event>,
    /// When each came, in milliseconds since the run began.
    pub times: Vec<u64>,
    /// The last promise of being alive.
    pub lease_until: Option<Timestamp>,
    /// What the session held after the turn.
    pub message_count: Option<usize>,
    /// The number of the writer's last event, if another process gave the log its end.
    pub sealed_after: Option<u64>,
}

/// What a log lacks whose writer died: its end, and whatever the session knows beyond it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Events before the terminal one.
    pub missing: Vec<Event>,
    /// The terminal event.
    pub terminal: Event,
    /// What the session holds after the turn.
    pub message_count: Option<usize>,
}

impl Stored {
    /// Takes lines in. A torn last line (the process died while it wrote) and whatever follows a gap are left out.
    pub fn read(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if line.last() != Some(&b'\n') {
                return;
            }
            match serde_json::from_slice(line) {
                Ok(Line::Info { run }) => self.info = Some(*run),
                Ok(Line::Event { n, t, e }) if n == self.events.len() as u64 + 1 => {
                    self.events.push(e);
                    self.times.push(t);
                }
                // Read twice, by a follower.
                Ok(Line::Event { n, .. }) if n <= self.events.len() as u64 => {}
                Ok(Line::Sealed { sealed_after }) => self.sealed_after = Some(sealed_after),
                Ok(Line::Count { message_count }) => self.message_count = Some(message_count),
                // The last promise counts, wherever it stands.
                Ok(Line::Lease { lease_until }) => self.lease_until = self.lease_until.max(Some(lease_until)),
                Ok(Line::Event { .. }) | Err(_) => return,
            }
        }
    }

    /// Whether the log has its end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.events.last().is_some_and(Event::is_terminal)
    }

    /// The lines that give a log its end, without those before.
    pub(crate) fn encode_ending(&self, ending: &Ending, out: &mut Vec<u8>) {
        let (last, t) = (self.events.len() as u64, self.times.last().copied().unwrap_or(0));
        let _ = serde_json::to_writer(&mut *out, &Line::Sealed { sealed_after: last });
        out.push(b'\n');
        encode(last + 1, t, &ending.missing, out);
        let n = last + 1 + ending.missing.len() as u64;
        encode_end(n, t, &ending.terminal, ending.message_count, out);
    }
}

impl Stored {
    /// The log as lines again: what [`Self::read`] takes in.
    #[must_use]
    pub fn to_lines(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(info) = &self.info {
            encode_info(info, &mut out);
        }
        for (n, event) in self.events.iter().enumerate() {
            let t = self.times.get(n).copied().unwrap_or_default();
            let n = n as u64 + 1;
            if event.is_terminal() {
                encode_end(n, t, event, self.message_count, &mut out);
            } else {
                encode(n, t, std::slice::from_ref(event), &mut out);
            }
        }
        out
    }
}

/// Whether the writer of a log is alive.
#[derive(Clone, Debug)]
pub enum Liveness {
    /// It is, or may be.
    Live,
    /// It is not; this is what it left.
    Dead(Box<Stored>),
}

/// Keeps the logs of runs.
#[async_trait]
pub trait Journals: Send + Sync {
    /// Whether logs outlive the process, so that other processes can read them.
    fn durable(&self) -> bool {
        true
    }

    /// How often somebody else's log is read while it grows.
    fn pace(&self) -> std::time::Duration {
        std::time::Duration::from_millis(250)
    }

    /// How long after its start a live run may have no log yet that others can read.
    fn lag(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    /// Begins the log of a run.
    ///
    /// # Errors
    /// [`JournalError::Exists`] if the id is taken, as far as that is known without asking a store.
    async fn create(&self, owner: &Owner, info: &RunInfo) -> Result<Box<dyn Journal>, JournalError>;

    /// Goes on with the log of a paused run, from event number `next`.
    ///
    /// # Errors
    /// [`JournalError`] if the store fails.
    async fn reopen(
        &self,
        owner: &Owner,
        info: &RunInfo,
        next: u64,
    ) -> Result<Box<dyn Journal>, JournalError>;

    /// Reads a log; `None` if there is none.
    ///
    /// # Errors
    /// [`JournalError`] if the store fails.
    async fn read(&self, owner: &Owner, run: &RunId) -> Result<Option<Stored>, JournalError>;

    /// Whether the run that holds a session is alive.
    ///
    /// # Errors
    /// [`JournalError`] if the store fails.
    async fn liveness(&self, owner: &Owner, lease: &Lease, now: Timestamp) -> Result<Liveness, JournalError>;

    /// Gives its end to a log whose writer died, as it was read; a log that never began is made. Doing it twice does no
    /// harm.
    ///
    /// # Errors
    /// [`JournalError`] if the store fails.
    async fn seal(
        &self,
        owner: &Owner,
        info: &RunInfo,
        stored: &Stored,
        ending: &Ending,
    ) -> Result<(), JournalError>;

    /// Deletes a log.
    ///
    /// # Errors
    /// [`JournalError`] if the store fails.
    async fn delete(&self, owner: &Owner, run: &RunId) -> Result<(), JournalError>;
}

/// The log of one live run.
#[async_trait]
pub trait Journal: Send {
    /// The session is held: from now on what is appended may be written. Until there is a log the session's lease says
    /// that the run is alive.
    fn begin(&mut self) {}

    /// Takes back what [`Journals::create`] made, for a run that could not begin.
    ///
    /// # Errors
    /// [`JournalError`] if the store fails.
    async fn discard(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    /// Writes events; `first` is the number of the first one. When it returns they outlive the process, as far as the
    /// store promises that. The intent of a tool with effects outlives it in every store.
    ///
    /// # Errors
    /// [`JournalError`] if they could not be written; [`JournalError::Exists`] if the id turns out to be taken.
    async fn append(&mut self, first: u64, t: u64, events: &[Event]) -> Result<(), JournalError>;

    /// Says that the writer is alive at least until then.
    ///
    /// # Errors
    /// [`JournalError`] if it could not be written.
    async fn alive(&mut self, until: Timestamp) -> Result<(), JournalError>;

    /// Writes everything that is still held back, because another process goes on with the log.
    ///
    /// # Errors
    /// [`JournalError`] if it could not be written.
    async fn pause(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    /// Writes the terminal event, with what the session holds after the turn, and everything that is still held back.
    ///
    /// # Errors
    /// [`JournalError`] if it could not be written.
    async fn finish(
        &mut self,
        n: u64,
        t: u64,
        terminal: &Event,
        message_count: Option<usize>,
    ) -> Result<(), JournalError>;
}

/// The lines of events.
pub(crate) fn encode(first: u64, t: u64, events: &[Event], out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        n: u64,
        t: u64,
        e: &'a Event,
    }
    for (n, event) in (first..).zip(events) {
        // Events are strings, numbers and JSON values: they always have a JSON form.
        let _ = serde_json::to_writer(&mut *out, &Borrowed { n, t, e: event });
        out.push(b'\n');
    }
}

/// The last lines.
pub(crate) fn encode_end(n: u64, t: u64, terminal: &Event, message_count: Option<usize>, out: &mut Vec<u8>) {
    if let Some(message_count) = message_count {
        let _ = serde_json::to_writer(&mut *out, &Line::Count { message_count });
        out.push(b'\n');
    }
    encode(n, t, std::slice::from_ref(terminal), out);
}

/// The first line.
pub(crate) fn encode_info(info: &RunInfo, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(&mut *out, &Line::Info { run: Box::new(info.clone()) });
    out.push(b'\n');
}

/// No log is kept: the memory of the process is all there is. Only who is alive is known.
#[derive(Clone, Debug, Default)]
pub struct NoJournals {
    live: Arc<Mutex<HashSet<RunId>>>,
}

struct NoJournal {
    live: Arc<Mutex<HashSet<RunId>>>,
    run: RunId,
}

impl Drop for NoJournal {
    fn drop(&mut self) {
        self.live.lock().remove(&self.run);
    }
}

#[async_trait]
impl Journals for NoJournals {
    fn durable(&self) -> bool {
        false
    }
    async fn create(&self, _: &Owner, info: &RunInfo) -> Result<Box<dyn Journal>, JournalError> {
        self.live.lock().insert(info.id.clone());
        Ok(Box::new(NoJournal { live: Arc::clone(&self.live), run: info.id.clone() }))
    }
    async fn reopen(&self, owner: &Owner, info: &RunInfo, _: u64) -> Result<Box<dyn Journal>, JournalError> {
        self.create(owner, info).await
    }
    async fn read(&self, _: &Owner, _: &RunId) -> Result<Option<Stored>, JournalError> {
        Ok(None)
    }
    async fn liveness(&self, _: &Owner, lease: &Lease, _: Timestamp) -> Result<Liveness, JournalError> {
        let live = self.live.lock().contains(&lease.id);
        Ok(if live { Liveness::Live } else { Liveness::Dead(Box::default()) })
    }
    async fn seal(&self, _: &Owner, _: &RunInfo, _: &Stored, _: &Ending) -> Result<(), JournalError> {
        Ok(())
    }
    async fn delete(&self, _: &Owner, _: &RunId) -> Result<(), JournalError> {
        Ok(())
    }
}

#[async_trait]
impl Journal for NoJournal {
    async fn append(&mut self, _: u64, _: u64, _: &[Event]) -> Result<(), JournalError> {
        Ok(())
    }
    async fn alive(&mut self, _: Timestamp) -> Result<(), JournalError> {
        Ok(())
    }
    async fn finish(&mut self, _: u64, _: u64, _: &Event, _: Option<usize>) -> Result<(), JournalError> {
        Ok(())
    }
}
