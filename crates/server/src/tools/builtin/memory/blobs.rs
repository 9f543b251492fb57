//! Facts in the store of sessions: one small object a user, written under a condition so that two writers at once lose
//! nothing.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::{Fact, MemoryError, MemoryStore, NOBODY};
use crate::sessions::blob::{BlobError, BlobStore, Condition, Durability};

/// How often a write is tried that others come before.
const TRIES: u32 = 8;

/// Facts as objects.
pub struct BlobMemory(Arc<dyn BlobStore>);

impl BlobMemory {
    /// Facts in this store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self(store)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    facts: Vec<Fact>,
}

/// The key of a user's facts. The name is hashed: it may be anything, and two names never share a key.
fn key(user: &str) -> String {
    if user == NOBODY {
        return "memory/_.json".to_owned();
    }
    let digest = sha2::Sha256::digest(user.as_bytes());
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("memory/{name}.json")
}

#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn failed(error: BlobError) -> MemoryError {
    MemoryError(error.to_string())
}

impl BlobMemory {
    async fn read(&self, user: &str) -> Result<(Stored, Condition), MemoryError> {
        match self.0.get(&key(user)).await.map_err(failed)? {
            None => Ok((Stored::default(), Condition::Create)),
            Some(blob) => {
                let stored = serde_json::from_slice(&blob.bytes)
                    .map_err(|_| MemoryError("the stored facts cannot be read".to_owned()))?;
                Ok((stored, Condition::Match(blob.version)))
            }
        }
    }

    /// Reads, changes and writes, again if somebody else wrote meanwhile. `change` says whether there is anything to
    /// write.
    async fn change(
        &self,
        user: &str,
        change: impl Fn(&mut Vec<Fact>) -> bool + Send + Sync,
    ) -> Result<bool, MemoryError> {
        for attempt in 1..=TRIES {
            let (mut stored, condition) = self.read(user).await?;
            if !change(&mut stored.facts) {
                return Ok(false);
            }
            let bytes = serde_json::to_vec(&stored).map_err(|error| MemoryError(error.to_string()))?;
            match self.0.put(&key(user), Bytes::from(bytes), condition, Durability::Full).await {
                Ok(_) => return Ok(true),
                Err(BlobError::Conflict) => {
                    tokio::time::sleep(crate::sessions::jitter(20 << attempt)).await;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(MemoryError("others are writing the same facts; try again".to_owned()))
    }
}

#[async_trait]
impl MemoryStore for BlobMemory {
    async fn list(&self, user: &str) -> Result<Vec<Fact>, MemoryError> {
        Ok(self.read(user).await?.0.facts)
    }

    async fn put(&self, user: &str, fact: Fact) -> Result<(), MemoryError> {
        let put = |facts: &mut Vec<Fact>| {
            facts.retain(|known| known.id != fact.id);
            facts.push(fact.clone());
            true
        };
        self.change(user, put).await.map(drop)
    }

    async fn delete(&self, user: &str, id: &str) -> Result<bool, MemoryError> {
        let delete = |facts: &mut Vec<Fact>| {
            let before = facts.len();
            facts.retain(|fact| fact.id != id);
            facts.len() < before
        };
        self.change(user, delete).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::memory::MemoryBlobs;

    fn fact(id: &str) -> Fact {
        Fact { id: id.into(), text: "likes tea".into(), created_at: jiff::Timestamp::UNIX_EPOCH }
    }

    #[tokio::test]
    async fn writers_at_once_lose_nothing_and_users_stay_apart() {
        let memory = Arc::new(BlobMemory::new(Arc::new(MemoryBlobs::default())));
        let ids = ["a", "b", "c"];
        let writes = ids.map(|id| {
            let memory = Arc::clone(&memory);
            async move { memory.put("ada", fact(id)).await }
        });
        for written in futures_util::future::join_all(writes).await {
            written.unwrap();
        }
        memory.put("ada", fact("a")).await.unwrap();
        assert_eq!(memory.list("ada").await.unwrap().len(), 3);
        assert_eq!(memory.list("Ada").await.unwrap(), []);
        assert_eq!(memory.list(NOBODY).await.unwrap(), []);
        assert!(!memory.delete("bob", "a").await.unwrap());
        assert!(memory.delete("ada", "a").await.unwrap());
        assert_eq!(memory.list("ada").await.unwrap().len(), 2);
        assert_ne!(key("_"), key(NOBODY));
    }
}
