//! What the mock knows: its scenario, the requests it saw, and its counters.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;

use super::Provider;
use super::plan::Wire;
use super::scenario::Scenario;

/// Counters since the start or the last reset.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) peak: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) broken: AtomicU64,
    pub(super) left: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) bytes_after_left: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Calls of a model.
    pub requests: u64,
    /// Calls that were refused because they break a rule of the provider.
    pub refused: u64,
    /// Streams that are open now.
    pub open_streams: u64,
    /// The most streams that were open at once.
    pub peak_streams: u64,
    /// Streams that ended by themselves.
    pub finished: u64,
    /// Streams that the mock cut, on demand.
    pub broken: u64,
    /// Streams whose client left before the end.
    pub client_left: u64,
    /// Bytes written to streams.
    pub bytes_sent: u64,
    /// Bytes of the last writes to clients that were found to be gone right after them: an upper bound of what was
    /// written for nobody.
    pub bytes_after_client_left: u64,
}

/// One recorded request.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Whose protocol it was.
    pub provider: Provider,
    /// The model asked for.
    pub model: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Value,
    /// The provider's refusal, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Shared by all connections.
#[derive(Debug)]
pub(super) struct State {
    pub(super) scenario: Mutex<Scenario>,
    /// The key that calls must carry, if any.
    pub(super) key: Option<String>,
    /// How many requests are kept.
    pub(super) record: usize,
    pub(super) counters: Counters,
    pub(super) serial: AtomicU64,
    recorded: Mutex<VecDeque<Recorded>>,
    /// How often a message with `times=` was seen.
    seen: Mutex<HashMap<String, u32>>,
    /// Streams that are the same for every request.
    cache: Mutex<HashMap<String, Arc<Wire>>>,
}

/// Streams that are kept; more than any measurement uses.
const MAX_CACHE: usize = 256;

impl State {
    pub(super) fn new(scenario: Scenario, key: Option<String>, record: usize) -> Self {
        Self {
            scenario: Mutex::new(scenario),
            key,
            record,
            counters: Counters::default(),
            serial: AtomicU64::new(0),
            recorded: Mutex::default(),
            seen: Mutex::default(),
            cache: Mutex::default(),
        }
    }

    pub(super) fn record(&self, request: Recorded) {
        if self.record == 0 {
            return;
        }
        let mut recorded = lock(&self.recorded);
        if recorded.len() >= self.record {
            recorded.pop_front();
        }
        recorded.push_back(request);
    }

    pub(super) fn recorded(&self) -> Vec<Recorded> {
        lock(&self.recorded).iter().cloned().collect()
    }

    /// Counts a message, and says how often it was seen before.
    pub(super) fn seen(&self, message: &str) -> u32 {
        let mut seen = lock(&self.seen);
        let count = seen.entry(message.to_owned()).or_default();
        *count += 1;
        *count - 1
    }

    /// The stream of a key, made once.
    pub(super) fn cached(&self, key: String, make: impl FnOnce() -> Wire) -> Arc<Wire> {
        if let Some(wire) = lock(&self.cache).get(&key) {
            return Arc::clone(wire);
        }
        let wire = Arc::new(make());
        let mut cache = lock(&self.cache);
        if cache.len() >= MAX_CACHE {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&wire));
        wire
    }

    pub(super) fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters {
            connections,
            requests,
            refused,
            open,
            peak,
            finished,
            broken,
            left,
            bytes,
            bytes_after_left,
        } = &self.counters;
        Stats {
            connections: get(connections),
            requests: get(requests),
            refused: get(refused),
            open_streams: get(open),
            peak_streams: get(peak),
            finished: get(finished),
            broken: get(broken),
            client_left: get(left),
            bytes_sent: get(bytes),
            bytes_after_client_left: get(bytes_after_left),
        }
    }

    /// Forgets the requests and the counters; open streams stay counted.
    pub(super) fn reset(&self) {
        lock(&self.recorded).clear();
        lock(&self.seen).clear();
        let Counters {
            connections,
            requests,
            refused,
            open,
            peak,
            finished,
            broken,
            left,
            bytes,
            bytes_after_left,
        } = &self.counters;
        for counter in [connections, requests, refused, finished, broken, left, bytes, bytes_after_left] {
            counter.store(0, Ordering::Relaxed);
        }
        peak.store(open.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A lock whose data stays usable when a holder panicked.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
