//! A store for tests that stands before another one: somebody is told of every request, and may hold it up.

use async_trait::async_trait;
use bytes::Bytes;

use super::blob::{Blob, BlobError, BlobStore, Condition, Durability, Listed, Version};

/// Who is told of requests: what is asked (`get`, `put`, `delete`, `list`), and for which key or prefix.
#[async_trait]
pub(crate) trait Watcher: Send + Sync {
    /// Before the store is asked.
    async fn asks(&self, _what: &'static str, _key: &str) {}

    /// Once it has answered, before the answer is handed on.
    async fn answered(&self, _what: &'static str, _key: &str) {}
}

/// A store and its watcher.
#[derive(Debug, Default)]
pub(crate) struct Watched<S, W> {
    pub(crate) store: S,
    pub(crate) watcher: W,
}

impl<S: BlobStore, W: Watcher> Watched<S, W> {
    async fn request<T>(&self, what: &'static str, key: &str, answer: impl Future<Output = T>) -> T {
        self.watcher.asks(what, key).await;
        let answer = answer.await;
        self.watcher.answered(what, key).await;
        answer
    }
}

#[async_trait]
impl<S: BlobStore, W: Watcher> BlobStore for Watched<S, W> {
    async fn get(&self, key: &str) -> Result<Option<Blob>, BlobError> {
        self.request("get", key, self.store.get(key)).await
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
        durability: Durability,
    ) -> Result<Version, BlobError> {
        self.request("put", key, self.store.put(key, bytes, condition, durability)).await
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.request("delete", key, self.store.delete(key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        self.request("list", prefix, self.store.list(prefix, after, limit)).await
    }
}
