//! Run logs on object storage: `runs/{owner}/{run}/{first-event}.jsonl`, a few objects a run.
//!
//! Events go out in segments by time, ever larger: after 1 s, 3 s, 7 s and so on, at most 12 objects a run of 15 minutes;
//! the last one holds the end. A short turn has this one only. A segment never delays an event, but for one kind: the call of
//! a tool with effects is in a segment before the tool runs. A machine that dies loses at most what was shown since its last
//! segment: the first second, later as long as the run had lasted by then, at most 4 minutes.
//!
//! Until the first segment the session's head names the run: who looks for a run by its id alone waits that long.
//!
//! The first segment has the number 0 and begins with the run's first line; each is made with the condition that its key is
//! free. So of two runs of one id one finds out. The end that another process gives to the log of a dead run takes the key
//! of the next segment: a writer that was only frozen finds it taken and knows that its run is over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use loquat_agent::event::Event;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::journal::{
    Ending, Journal, JournalError, Journals, Line, Liveness, Stored, encode, encode_end, encode_info,
};
use super::run::RunInfo;
use crate::auth::Owner;
use crate::clock::{Clock, later};
use crate::ids::RunId;
use crate::sessions::blob::{BlobError, BlobStore, Condition, Durability};
use crate::sessions::document::Lease;

/// The pauses between segments, in seconds; the last one repeats.
const PAUSES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 240];

/// How long after its start a run's first segment may be on its way.
const LAG: Duration = Duration::from_secs(2);

/// The most segments that an old run may have before it is read as broken.
const MANY: usize = 1_000;

/// How many bytes of segments are kept for followers, which read the same ones again and again.
const CACHE: usize = 4 << 20;

/// Logs in a [`BlobStore`].
#[derive(Clone)]
pub struct SegmentJournals {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn BlobStore>,
    clock: Clock,
    /// How long a sign of life holds beyond the next one.
    grace: Duration,
    /// How long a write is tried again while the store does not answer.
    patience: Duration,
    /// The runs that this process writes or has written: `true` while it does.
    own: Mutex<HashMap<RunId, bool>>,
    /// Segments never change.
    cache: Mutex<BTreeMap<String, Bytes>>,
}

impl SegmentJournals {
    /// Keeps logs in a store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>, clock: Clock, grace: Duration, patience: Duration) -> Self {
        let shared = Shared { store, clock, grace, patience, own: Mutex::default(), cache: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The log of a run that this process writes.
    fn log(&self, owner: &Owner, run: &RunId, waiting: Waiting) -> Arc<Log> {
        Arc::new(Log {
            shared: Arc::clone(&self.shared),
            run: run.clone(),
            folder: folder(owner, run),
            writing: tokio::sync::Mutex::new(()),
            waiting: Mutex::new(waiting),
            over: Notify::new(),
        })
    }
}

fn folder(owner: &Owner, run: &RunId) -> String {
    format!("runs/{}/{run}/", owner.segment_or_anonymous())
}

/// Ten digits, so that the order of keys is the order of events.
fn key(folder: &str, first: u64) -> String {
    format!("{folder}{first:010}.jsonl")
}

/// Renewed while a run is silent. Its name stands after all segments.
fn sign_key(folder: &str) -> String {
    format!("{folder}alive.jsonl")
}

#[async_trait]
impl Journals for SegmentJournals {
    fn pace(&self) -> Duration {
        Duration::from_secs(PAUSES[0])
    }

    fn lag(&self) -> Duration {
        LAG
    }

    async fn create(&self, owner: &Owner, info: &RunInfo) -> Result<Box<dyn Journal>, JournalError> {
        let mut lines = Vec::with_capacity(1024);
        encode_info(info, &mut lines);
        let log = self.log(owner, &info.id, Waiting { lines, first: 1, begun: false, taken: false });
        Ok(Box::new(SegmentJournal { log, writer: None }))
    }

    async fn reopen(
        &self,
        owner: &Owner,
        info: &RunInfo,
        next: u64,
    ) -> Result<Box<dyn Journal>, JournalError> {
        let waiting = Waiting { lines: Vec::new(), first: next, begun: true, taken: false };
        let log = self.log(owner, &info.id, waiting);
        let writer = Some(log.spawn_writer());
        Ok(Box::new(SegmentJournal { log, writer }))
    }

    async fn read(&self, owner: &Owner, run: &RunId) -> Result<Option<Stored>, JournalError> {
        let folder = folder(owner, run);
        let listed = self.shared.store.list(&folder, None, MANY).await?;
        if listed.is_empty() {
            return Ok(None);
        }
        let mut stored = Stored::default();
        for entry in listed {
            if let Some(bytes) = self.shared.segment(&entry.key, entry.key == sign_key(&folder)).await? {
                stored.read(&bytes);
            }
        }
        Ok(Some(stored))
    }

    async fn liveness(&self, owner: &Owner, lease: &Lease, now: Timestamp) -> Result<Liveness, JournalError> {
        let own = self.shared.own.lock().get(&lease.id).copied();
        if own == Some(true) {
            return Ok(Liveness::Live);
        }
        // One whose task ended in this process without an end is dead at once.
        if own.is_none() && lease.lease_until > now {
            return Ok(Liveness::Live);
        }
        let stored = self.read(owner, &lease.id).await?.unwrap_or_default();
        let promised = stored.lease_until.is_some_and(|until| until > now);
        Ok(if promised && own.is_none() { Liveness::Live } else { Liveness::Dead(Box::new(stored)) })
    }

    async fn seal(
        &self,
        owner: &Owner,
        info: &RunInfo,
        stored: &Stored,
        ending: &Ending,
    ) -> Result<(), JournalError> {
        if stored.is_whole() {
            return Ok(());
        }
        let mut lines = Vec::new();
        let number = if stored.info.is_some() {
            stored.events.len() as u64 + 1
        } else {
            encode_info(info, &mut lines);
            0
        };
        stored.encode_ending(ending, &mut lines);
        match self.shared.make(&key(&folder(owner, &info.id), number), &lines.into()).await {
            // Somebody else gave it an end, or it was alive after all and goes on.
            Ok(_) | Err(BlobError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, owner: &Owner, run: &RunId) -> Result<(), JournalError> {
        self.shared.own.lock().remove(run);
        for entry in self.shared.store.list(&folder(owner, run), None, MANY).await? {
            self.shared.cache.lock().remove(&entry.key);
            self.shared.store.delete(&entry.key).await?;
        }
        Ok(())
    }
}

impl Shared {
    /// Reads a segment, from memory if it was read before.
    async fn segment(&self, key: &str, changes: bool) -> Result<Option<Bytes>, BlobError> {
        let kept = self.cache.lock().get(key).cloned();
        if kept.is_some() && !changes {
            return Ok(kept);
        }
        let Some(blob) = self.store.get(key).await? else { return Ok(None) };
        if !changes {
            let mut cache = self.cache.lock();
            let held: usize = cache.values().map(Bytes::len).sum();
            if held + blob.bytes.len() > CACHE {
                cache.clear();
            }
            cache.insert(key.to_owned(), blob.bytes.clone());
        }
        Ok(Some(blob.bytes))
    }

    /// Makes an object and gives how many of the bytes are in it. After a try whose answer was lost, what is stored
    /// decides: it may hold what an earlier call, with fewer bytes, wrote.
    async fn make(&self, key: &str, bytes: &Bytes) -> Result<usize, BlobError> {
        let deadline = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(50);
        loop {
            let outcome =
                match self.store.put(key, bytes.clone(), Condition::Create, Durability::Process).await {
                    Ok(_) => return Ok(bytes.len()),
                    Err(BlobError::Conflict) => match self.store.get(key).await {
                        Ok(Some(blob)) if !blob.bytes.is_empty() && bytes.starts_with(&blob.bytes) => {
                            return Ok(blob.bytes.len());
                        }
                        Ok(_) => return Err(BlobError::Conflict),
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
            match outcome {
                BlobError::Unavailable(_) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                error => return Err(error),
            }
        }
    }
}

/// What the run's task and the writer of its segments share.
struct Log {
    shared: Arc<Shared>,
    run: RunId,
    folder: String,
    /// One segment at a time.
    writing: tokio::sync::Mutex<()>,
    waiting: Mutex<Waiting>,
    over: Notify,
}

/// What is not known to be written.
struct Waiting {
    lines: Vec<u8>,
    /// The number of the first event in them.
    first: u64,
    /// A segment is written.
    begun: bool,
    /// Another process has ended this log, or it is another run's.
    taken: bool,
}

impl Log {
    /// Writes what waits as a segment. What cannot be written now stays, and goes along with the next one.
    async fn write(&self) -> Result<(), BlobError> {
        let one = self.writing.lock().await;
        self.write_one(&one).await
    }

    async fn write_one(&self, _: &tokio::sync::MutexGuard<'_, ()>) -> Result<(), BlobError> {
        let (key, bytes) = {
            let waiting = self.waiting.lock();
            if waiting.lines.is_empty() {
                return Ok(());
            }
            // A segment without events would take the key of the next one: what is left is a sign of life.
            let has_events = waiting.lines.split_inclusive(|b| *b == b'\n').any(is_event);
            let key = match (waiting.begun, has_events) {
                (false, _) => key(&self.folder, 0),
                (true, true) => key(&self.folder, waiting.first),
                (true, false) => sign_key(&self.folder),
            };
            (key, Bytes::copy_from_slice(&waiting.lines))
        };
        let outcome = if key == sign_key(&self.folder) {
            let put = self.shared.store.put(&key, bytes.clone(), Condition::Any, Durability::Process);
            put.await.map(|_| bytes.len())
        } else {
            self.shared.make(&key, &bytes).await
        };
        let mut waiting = self.waiting.lock();
        match outcome {
            Ok(length) => {
                let events =
                    waiting.lines[..length].split_inclusive(|b| *b == b'\n').filter(|line| is_event(line));
                let events = events.count() as u64;
                waiting.first += events;
                waiting.begun = true;
                waiting.lines.drain(..length);
                Ok(())
            }
            Err(error) => {
                if matches!(error, BlobError::Conflict) {
                    waiting.taken = true;
                    if !waiting.begun {
                        // The log is another run's: nothing is known of that one here.
                        self.shared.own.lock().remove(&self.run);
                    }
                }
                Err(error)
            }
        }
    }

    /// Says, with what waits or alone, until when the run is alive.
    async fn write_or_sign(&self, next: Duration) -> Result<(), BlobError> {
        let lease_until = later(self.shared.clock.now(), next + self.shared.grace);
        // A time always has a JSON form.
        let mut sign = serde_json::to_vec(&Line::Lease { lease_until }).unwrap_or_default();
        sign.push(b'\n');
        let one = self.writing.lock().await;
        let silent = {
            let mut waiting = self.waiting.lock();
            let silent = waiting.lines.is_empty();
            if !silent {
                waiting.lines.extend_from_slice(&sign);
            }
            silent
        };
        if silent {
            let key = sign_key(&self.folder);
            self.shared.store.put(&key, sign.into(), Condition::Any, Durability::Process).await.map(drop)
        } else {
            self.write_one(&one).await
        }
    }

    fn spawn_writer(self: &Arc<Self>) -> JoinHandle<()> {
        // Not before: a run that never held its session may live in another process.
        self.shared.own.lock().insert(self.run.clone(), true);
        let log = Arc::clone(self);
        tokio::spawn(async move { log.write_by_time().await })
    }

    /// Why nothing more may be written.
    fn taken(&self) -> JournalError {
        if self.waiting.lock().begun { BlobError::Conflict.into() } else { JournalError::Exists }
    }

    /// Writes segments until the run is over.
    async fn write_by_time(&self) {
        let mut due = Instant::now();
        for round in 0.. {
            let pause = |round: usize| Duration::from_secs(PAUSES[round.min(PAUSES.len() - 1)]);
            due += pause(round);
            tokio::select! {
                biased;
                () = self.over.notified() => return,
                () = tokio::time::sleep_until(due) => {}
            }
            // A store that was away for long makes no hurry.
            due = due.max(Instant::now());
            match self.write_or_sign(pause(round + 1)).await {
                Ok(()) => {}
                Err(BlobError::Conflict) => return,
                Err(error) => {
                    tracing::warn!(run_id = %self.run, %error, "a segment of the run log was not written");
                }
            }
        }
    }
}

/// Lines of events begin with their number.
fn is_event(line: &[u8]) -> bool {
    line.starts_with(b"{\"n\":")
}

/// The log of one live run.
struct SegmentJournal {
    log: Arc<Log>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for SegmentJournal {
    fn drop(&mut self) {
        /// More runs than a process has at once: older ones are known by their leases.
        const REMEMBERED: usize = 10_000;
        self.log.over.notify_one();
        let mut own = self.log.shared.own.lock();
        if own.len() > REMEMBERED {
            own.retain(|_, alive| *alive);
        }
        if let Some(alive) = own.get_mut(&self.log.run) {
            *alive = false;
        }
    }
}

#[async_trait]
impl Journal for SegmentJournal {
    fn begin(&mut self) {
        self.writer = Some(self.log.spawn_writer());
    }

    async fn append(&mut self, first: u64, t: u64, events: &[Event]) -> Result<(), JournalError> {
        let taken = {
            let mut waiting = self.log.waiting.lock();
            // Nothing more may be shown. (A store that is merely away costs the log, not the answer.)
            if !waiting.taken {
                encode(first, t, events, &mut waiting.lines);
            }
            waiting.taken
        };
        if taken {
            return Err(self.log.taken());
        }
        // Whether it ran must be known for certain: the tool waits for its intent.
        if events.iter().any(|event| matches!(event, Event::ToolCall { effects: true, .. })) {
            self.log.write().await.map_err(|error| match error {
                BlobError::Conflict => self.log.taken(),
                error => error.into(),
            })?;
        }
        Ok(())
    }

    async fn alive(&mut self, _: Timestamp) -> Result<(), JournalError> {
        // The segments say so.
        Ok(())
    }

    async fn pause(&mut self) -> Result<(), JournalError> {
        self.log.over.notify_one();
        if let Some(writer) = self.writer.take() {
            // A segment under way lands first, so that the order holds.
            let _ = writer.await;
        }
        while !self.log.waiting.lock().lines.is_empty() {
            self.log.write().await?;
        }
        Ok(())
    }

    async fn finish(
        &mut self,
        n: u64,
        t: u64,
        terminal: &Event,
        message_count: Option<usize>,
    ) -> Result<(), JournalError> {
        self.log.over.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.await;
        }
        encode_end(n, t, terminal, message_count, &mut self.log.waiting.lock().lines);
        if self.log.waiting.lock().taken {
            return Err(self.log.taken());
        }
        // A second round only if the first finds an earlier write of fewer lines.
        while !self.log.waiting.lock().lines.is_empty() {
            self.log.write().await?;
        }
        Ok(())
    }
}
