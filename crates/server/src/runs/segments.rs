//! Run logs on object storage: segments `runs/{owner}/{run}/{first-event}.jsonl`, written by time.
//!
//! The first goes out after a second, each pause is longer than the last, and a run of ten minutes has twelve. So a dead
//! machine loses at most what was shown since the last segment. Each says until when the writer is alive for certain: a
//! moment after the next one is due. A segment's key must be free, so a writer that was taken for dead and wakes up finds
//! its next key taken, and stops.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use loquat_agent::event::Event;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::journal::{
    Journal, JournalError, Journals, Line, Liveness, Stored, encode, encode_end, encode_info,
};
use super::run::RunInfo;
use crate::auth::Owner;
use crate::clock::{Clock, later};
use crate::ids::RunId;
use crate::sessions::blob::{BlobError, BlobStore, Condition, Durability};
use crate::sessions::document::Lease;

/// The pause before the first segment.
const FIRST: Duration = Duration::from_secs(1);
/// How much longer each pause is than the one before.
const GROWTH: f64 = 1.7;
/// How late a segment may be before its writer counts as dead.
const GRACE: Duration = Duration::from_secs(10);
/// How often the last segment is tried before the run's end goes unrecorded.
const TRIES: u32 = 4;

/// Logs as segments in a blob store.
#[derive(Clone)]
pub struct SegmentJournals {
    store: Arc<dyn BlobStore>,
    clock: Clock,
}

impl SegmentJournals {
    /// Keeps logs in a store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>, clock: Clock) -> Self {
        Self { store, clock }
    }

    fn prefix(owner: &Owner, run: &RunId) -> String {
        format!("runs/{}/{run}/", owner.segment_or_anonymous())
    }
}

/// Where a segment that begins with event number `first` is.
fn segment(prefix: &str, first: u64) -> String {
    format!("{prefix}{first:08}.jsonl")
}

#[async_trait]
impl Journals for SegmentJournals {
    async fn create(&self, owner: &Owner, info: &RunInfo) -> Result<Box<dyn Journal>, JournalError> {
        let mut lines = Vec::new();
        encode_info(info, &mut lines);
        let shared = Arc::new(Shared {
            store: Arc::clone(&self.store),
            clock: self.clock,
            prefix: Self::prefix(owner, &info.id),
            buffer: Mutex::new(Buffer { lines, first: 1, next: 1, failed: None }),
            over: Notify::new(),
        });
        let writer = tokio::spawn(write_by_time(Arc::clone(&shared)));
        Ok(Box::new(SegmentJournal { shared, writer: Some(writer) }))
    }

    async fn read(&self, owner: &Owner, run: &RunId) -> Result<Option<Stored>, JournalError> {
        let prefix = Self::prefix(owner, run);
        let mut stored = Stored::default();
        let listed = self.store.list(&prefix, None, 1000).await?;
        for entry in &listed {
            if let Some(blob) = self.store.get(&entry.key).await? {
                stored.read(&blob.bytes);
            }
        }
        Ok((!listed.is_empty()).then_some(stored))
    }

    async fn liveness(&self, owner: &Owner, lease: &Lease, now: Timestamp) -> Result<Liveness, JournalError> {
        if lease.lease_until > now {
            return Ok(Liveness::Live);
        }
        let stored = self.read(owner, &lease.id).await?.unwrap_or_default();
        let live = stored.lease_until.is_some_and(|until| until > now);
        Ok(if live { Liveness::Live } else { Liveness::Dead(stored) })
    }

    async fn seal(
        &self,
        owner: &Owner,
        run: &RunId,
        stored: &Stored,
        terminal: Event,
    ) -> Result<(), JournalError> {
        if stored.events.last().is_some_and(Event::is_terminal) {
            return Ok(());
        }
        let n = stored.events.len() as u64 + 1;
        let mut lines = Vec::new();
        let t = stored.times.last().copied().unwrap_or(0);
        encode_end(n, t, &terminal, stored.message_count, &mut lines);
        let key = segment(&Self::prefix(owner, run), n);
        match self.store.put(&key, lines.into(), Condition::Create, Durability::Full).await {
            // Sealed by another, or the writer lives after all: its own end will follow.
            Ok(_) | Err(BlobError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, owner: &Owner, run: &RunId) -> Result<(), JournalError> {
        for entry in self.store.list(&Self::prefix(owner, run), None, 1000).await? {
            self.store.delete(&entry.key).await?;
        }
        Ok(())
    }
}

/// What the run's task and the writer share.
struct Shared {
    store: Arc<dyn BlobStore>,
    clock: Clock,
    prefix: String,
    buffer: Mutex<Buffer>,
    over: Notify,
}

struct Buffer {
    /// Lines that are in no segment yet.
    lines: Vec<u8>,
    /// The number of the first event in `lines`.
    first: u64,
    /// The number of the next event.
    next: u64,
    /// A segment could not be written, so no later one may be.
    failed: Option<BlobError>,
}

impl Shared {
    /// Writes a segment; says until when the writer is alive, if it will write again.
    async fn write(&self, first: u64, mut lines: Vec<u8>, alive: Option<Duration>) -> Result<(), BlobError> {
        if let Some(alive) = alive {
            let lease_until = later(self.clock.now(), alive);
            // A time always has a JSON form.
            let _ = serde_json::to_writer(&mut lines, &Line::Lease { lease_until });
            lines.push(b'\n');
        }
        let key = segment(&self.prefix, first);
        let bytes = bytes::Bytes::from(lines);
        let mut pause = Duration::from_millis(100);
        for attempt in 1.. {
            match self.store.put(&key, bytes.clone(), Condition::Create, Durability::Full).await {
                Ok(_) => return Ok(()),
                // The answer to an earlier try may have been lost.
                Err(BlobError::Conflict) if attempt > 1 => {
                    let same = self.store.get(&key).await?.is_some_and(|blob| blob.bytes == bytes);
                    return if same { Ok(()) } else { Err(BlobError::Conflict) };
                }
                Err(BlobError::Unavailable(_)) if attempt < TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes the lines that are due.
    fn take(&self) -> (u64, Vec<u8>) {
        let mut buffer = self.buffer.lock();
        let next = buffer.next;
        let first = std::mem::replace(&mut buffer.first, next);
        (first, std::mem::take(&mut buffer.lines))
    }
}

/// Writes segments until the run is over.
async fn write_by_time(shared: Arc<Shared>) {
    let mut pause = FIRST;
    let mut due = Instant::now() + pause;
    loop {
        tokio::select! {
            () = shared.over.notified() => return,
            () = tokio::time::sleep_until(due) => {}
        }
        pause = pause.mul_f64(GROWTH);
        due = Instant::now() + pause;
        let (first, lines) = shared.take();
        let alive = pause + GRACE;
        let written = if lines.is_empty() {
            // Nothing was said; only that the writer lives.
            let until = later(shared.clock.now(), alive);
            let line = serde_json::to_vec(&Line::Lease { lease_until: until }).unwrap_or_default();
            let key = format!("{}lease", shared.prefix);
            let line = [line.as_slice(), b"\n"].concat();
            shared.store.put(&key, line.into(), Condition::Any, Durability::Process).await.map(drop)
        } else {
            shared.write(first, lines, Some(alive)).await
        };
        if let Err(error) = written {
            tracing::warn!(%error, log = shared.prefix, "a segment of the run log was not written");
            shared.buffer.lock().failed = Some(error);
            return;
        }
    }
}

/// The log of one live run.
struct SegmentJournal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for SegmentJournal {
    fn drop(&mut self) {
        self.shared.over.notify_one();
    }
}

#[async_trait]
impl Journal for SegmentJournal {
    async fn append(&mut self, first: u64, t: u64, events: &[Event]) -> Result<(), JournalError> {
        let mut buffer = self.shared.buffer.lock();
        // Another writer has this run: nothing more may be shown. A store that is merely away costs the log, not the
        // answer: the turn is committed with the session.
        if matches!(buffer.failed, Some(BlobError::Conflict)) {
            return Err(JournalError::Store(BlobError::Conflict));
        }
        encode(first, t, events, &mut buffer.lines);
        buffer.next = first + events.len() as u64;
        Ok(())
    }

    async fn alive(&mut self, _: Timestamp) -> Result<(), JournalError> {
        // Each segment says so itself.
        Ok(())
    }

    async fn finish(
        &mut self,
        n: u64,
        t: u64,
        terminal: &Event,
        message_count: Option<usize>,
    ) -> Result<(), JournalError> {
        self.shared.over.notify_one();
        if let Some(writer) = self.writer.take() {
            // A segment under way is finished first, so that the order holds.
            let _ = writer.await;
        }
        let (first, mut lines) = self.shared.take();
        if let Some(error) = self.shared.buffer.lock().failed.clone() {
            return Err(error.into());
        }
        encode_end(n, t, terminal, message_count, &mut lines);
        Ok(self.shared.write(first, lines, None).await?)
    }
}
