//! A store in memory: for `store = "memory"`, and for tests.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::blob::{Blob, BlobError, BlobStore, Condition, Durability, Listed, Version};

/// Objects in memory, gone when the process ends.
#[derive(Debug, Default)]
pub struct MemoryBlobs {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<String, (Bytes, u64)>,
    /// Counts every write, so that an object that is deleted and made again never has an earlier version.
    writes: u64,
}

impl MemoryBlobs {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>, BlobError> {
        let state = self.state.lock();
        Ok(state
            .blobs
            .get(key)
            .map(|(bytes, version)| Blob { bytes: bytes.clone(), version: Version(version.to_string()) }))
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
        _durability: Durability,
    ) -> Result<Version, BlobError> {
        let mut state = self.state.lock();
        let current = state.blobs.get(key).map(|(_, version)| version.to_string());
        let holds = match condition {
            Condition::Create => current.is_none(),
            Condition::Match(expected) => current == Some(expected.0),
            Condition::Any => true,
        };
        if !holds {
            return Err(BlobError::Conflict);
        }
        state.writes += 1;
        let version = state.writes;
        state.blobs.insert(key.to_owned(), (bytes, version));
        Ok(Version(version.to_string()))
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.state.lock().blobs.remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        let state = self.state.lock();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        Ok(state
            .blobs
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, (bytes, _))| Listed { key: key.clone(), size: bytes.len() as u64 })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn conforms() {
        super::super::conformance::blob_store(&|| async {
            Arc::new(MemoryBlobs::new()) as Arc<dyn BlobStore>
        })
        .await;
    }
}
