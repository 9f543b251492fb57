//! What processes share, and each one's way to it, on which requests and their answers get lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Random;
use crate::sessions::blob::{Blob, BlobError, BlobStore, Condition, Durability, Listed, Version};
use crate::sessions::document::Document;
use crate::sessions::memory::MemoryBlobs;

/// The store itself. It notes every broken promise that can be seen from here.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) blobs: MemoryBlobs,
    /// Of each session: the last epoch, and the run that held the session in each.
    epochs: Mutex<HashMap<String, Epochs>>,
    pub(super) violations: Mutex<Vec<String>>,
    /// How often each tool call was carried out, by run and call.
    pub(super) tool_calls: Mutex<HashMap<(String, String), u32>>,
}

/// The last epoch, and who held each.
type Epochs = (u64, HashMap<u64, String>);

impl Disk {
    pub(super) fn violation(&self, what: impl Into<String>) {
        self.violations.lock().push(what.into());
    }

    /// The objects whose key or content names something, for people who look for the cause of a failure.
    pub(super) async fn dump(&self, name: &str) -> String {
        let mut found = String::new();
        for listed in self.blobs.list("", None, usize::MAX).await.unwrap_or_default() {
            let Ok(Some(blob)) = self.blobs.get(&listed.key).await else { continue };
            let text = String::from_utf8_lossy(&blob.bytes);
            if listed.key.contains(name) || text.contains(name) {
                found += &format!("\n{}\n{text}\n", listed.key);
            }
        }
        found
    }

    /// One writer an epoch, and epochs never go back.
    fn note_session(&self, key: &str, bytes: &Bytes) {
        let Ok(document) = Document::parse(bytes.clone()) else {
            return self.violation(format!("{key} is no session"));
        };
        let epoch = document.head.epoch;
        let mut epochs = self.epochs.lock();
        let (last, holders) = epochs.entry(key.to_owned()).or_default();
        if epoch < *last {
            self.violation(format!("{key} went from epoch {last} back to {epoch}"));
        }
        *last = epoch;
        if let Some(run) = document.head.run.map(|lease| lease.id.to_string()) {
            let holder = holders.entry(epoch).or_insert_with(|| run.clone());
            if *holder != run {
                self.violation(format!("{holder} and {run} both hold {key} in epoch {epoch}"));
            }
        }
    }
}

/// When a process comes to grief, by the number of its request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    None,
    DiesBefore(u64),
    DiesAfter(u64),
    Freezes(u64, Duration),
}

/// One process's way to the store.
pub(super) struct Port {
    disk: Arc<Disk>,
    random: Mutex<Random>,
    fate: Fate,
    requests: Mutex<u64>,
    dead: AtomicBool,
    frozen_until: Mutex<Option<Instant>>,
    /// Percent of the requests that fail before or after they are carried out.
    faults: u64,
}

impl Port {
    pub(super) fn new(disk: &Arc<Disk>, random: Random, fate: Fate, faults: u64) -> Arc<Self> {
        Arc::new(Self {
            disk: Arc::clone(disk),
            random: Mutex::new(random),
            fate,
            requests: Mutex::new(0),
            dead: AtomicBool::new(false),
            frozen_until: Mutex::new(None),
            faults,
        })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Waits as long as the process is frozen; for ever if it is dead.
    pub(super) async fn alive(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        let frozen = *self.frozen_until.lock();
        if let Some(until) = frozen {
            tokio::time::sleep_until(until).await;
        }
    }

    pub(super) fn draw(&self, most_millis: u64) -> Duration {
        self.random.lock().millis(most_millis)
    }

    async fn request<T>(
        &self,
        job: impl AsyncFnOnce(&MemoryBlobs) -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let number = {
            let mut requests = self.requests.lock();
            *requests += 1;
            *requests
        };
        self.alive().await;
        match self.fate {
            Fate::DiesBefore(at) if at == number => self.dead.store(true, Ordering::Relaxed),
            Fate::Freezes(at, time) if at == number => {
                *self.frozen_until.lock() = Some(Instant::now() + time);
            }
            _ => {}
        }
        let (way_there, way_back, luck) = {
            let mut random = self.random.lock();
            (random.millis(25), random.millis(25), random.below(200))
        };
        tokio::time::sleep(way_there).await;
        self.alive().await;
        if luck < self.faults {
            return Err(BlobError::Unavailable("made by the simulation: not done".to_owned()));
        }
        let result = job(&self.disk.blobs).await;
        if self.fate == Fate::DiesAfter(number) {
            self.dead.store(true, Ordering::Relaxed);
        }
        tokio::time::sleep(way_back).await;
        self.alive().await;
        if luck < 2 * self.faults {
            return Err(BlobError::Unavailable("made by the simulation: answer lost".to_owned()));
        }
        result
    }
}

#[async_trait]
impl BlobStore for Port {
    async fn get(&self, key: &str) -> Result<Option<Blob>, BlobError> {
        self.request(async |blobs: &MemoryBlobs| blobs.get(key).await).await
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
        durability: Durability,
    ) -> Result<Version, BlobError> {
        self.request(async |blobs: &MemoryBlobs| {
            let written = blobs.put(key, bytes.clone(), condition, durability).await;
            if written.is_ok() && key.starts_with("sessions/") {
                self.disk.note_session(key, &bytes);
            }
            written
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.request(async |blobs: &MemoryBlobs| blobs.delete(key).await).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        self.request(async |blobs: &MemoryBlobs| blobs.list(prefix, after, limit).await).await
    }
}
