//! The list of an owner's sessions as one object, `index/{owner}.json`: for stores that know nothing but objects.
//!
//! Searches look in titles only. An index that is missing or damaged is made again from the sessions themselves, which
//! are the truth.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::blob::{Blob, BlobError, BlobStore, Condition, Durability, Version};
use super::index::{IndexError, Page, Position, Query, SessionIndex, Summary, words};

/// How often a write is tried against writers that are faster. Every try that fails is another writer's success, so this
/// is the number of sessions of one owner that may change at the same moment.
const TRIES: u32 = 64;

/// How many sessions are read side by side when an index is made again.
const REBUILD_READS: usize = 8;

/// Lists of sessions over any [`BlobStore`].
#[derive(Clone)]
pub struct BlobIndex {
    blobs: Arc<dyn BlobStore>,
    /// How long sessions live: an entry that is older is one that the store has expired.
    ttl: Option<SignedDuration>,
}

/// The object. Newer fields are ignored.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entries {
    sessions: Vec<Summary>,
}

impl BlobIndex {
    /// An index in a store whose sessions expire `ttl` after their last change.
    #[must_use]
    pub fn new(blobs: Arc<dyn BlobStore>, ttl: Option<SignedDuration>) -> Self {
        Self { blobs, ttl }
    }

    /// What is stored, and the condition for replacing it.
    async fn read(&self, owner: &str) -> Result<(Entries, Condition), BlobError> {
        match self.blobs.get(&key(owner)).await? {
            None => Ok((self.rebuild(owner).await?, Condition::Create)),
            Some(Blob { bytes, version }) => match serde_json::from_slice(&bytes) {
                Ok(entries) => Ok((entries, Condition::Match(version))),
                Err(_) => Ok((self.rebuild(owner).await?, Condition::Match(version))),
            },
        }
    }

    /// Changes the index; `change` says whether there is anything to write.
    async fn change(
        &self,
        owner: &str,
        change: impl Fn(&mut Entries) -> bool + Send,
    ) -> Result<(), BlobError> {
        let mut last = BlobError::Conflict;
        for attempt in 0..TRIES {
            let (mut entries, condition) = self.read(owner).await?;
            if !change(&mut entries) {
                return Ok(());
            }
            self.drop_expired(&mut entries);
            match self.write(owner, &entries, condition).await {
                Ok(_) => return Ok(()),
                // Unknown: the next round reads what became of it, and changing twice is the same as once.
                Err(error @ (BlobError::Conflict | BlobError::Unavailable(_))) => {
                    let unavailable = matches!(error, BlobError::Unavailable(_));
                    last = error;
                    if unavailable && attempt >= 2 {
                        break;
                    }
                    tokio::time::sleep(super::jitter(4 * (attempt.min(7) + 1))).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn write(
        &self,
        owner: &str,
        entries: &Entries,
        condition: Condition,
    ) -> Result<Version, BlobError> {
        let bytes = serde_json::to_vec(entries).map_err(|error| BlobError::Refused(error.to_string()))?;
        self.blobs.put(&key(owner), bytes.into(), condition, Durability::Process).await
    }

    fn drop_expired(&self, entries: &mut Entries) {
        if let Some(ttl) = self.ttl {
            let oldest = Timestamp::now().saturating_sub(ttl).unwrap_or(Timestamp::MIN);
            entries.sessions.retain(|session| session.updated_at >= oldest);
        }
    }

    /// Reads the owner's sessions for what the index says of them.
    async fn rebuild(&self, owner: &str) -> Result<Entries, BlobError> {
        const PAGE: usize = 1000;
        let prefix = if owner.is_empty() { "sessions/".to_owned() } else { format!("sessions/{owner}/") };
        let mut keys: Vec<String> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let listed = self.blobs.list(&prefix, after.as_deref(), PAGE).await?;
            let full = listed.len() == PAGE;
            after = listed.last().map(|entry| entry.key.clone());
            // Where nobody signs in, what lies deeper belongs to somebody.
            keys.extend(
                listed.into_iter().map(|entry| entry.key).filter(|key| !key[prefix.len()..].contains('/')),
            );
            if !full {
                break;
            }
        }
        let found: Vec<_> = stream::iter(keys)
            .map(|key| async move { self.blobs.get(&key).await })
            .buffer_unordered(REBUILD_READS)
            .collect()
            .await;
        let mut entries = Entries::default();
        for blob in found {
            if let Some(summary) = blob?.and_then(|blob| summarise(&blob.bytes)) {
                entries.sessions.push(summary);
            }
        }
        Ok(entries)
    }
}

/// Where an owner's list is. The list where nobody signs in stands beside the folder, so that no owner can have its name.
fn key(owner: &str) -> String {
    if owner.is_empty() { "index.json".to_owned() } else { format!("index/{owner}.json") }
}

/// A session as far as a list cares. What the reference wrote has the first three fields only.
#[derive(Deserialize)]
struct Stored<'a> {
    session_id: String,
    #[serde(borrow, default)]
    messages: Vec<&'a RawValue>,
    updated_at: Timestamp,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

/// What the list says of a session that is stored as `bytes`; `None` if that is no session.
fn summarise(bytes: &Bytes) -> Option<Summary> {
    let stored: Stored<'_> = serde_json::from_slice(bytes).ok()?;
    let title = stored.title.filter(|title| !title.is_empty()).or_else(|| {
        let first: loquat_agent::message::Message =
            serde_json::from_str(stored.messages.first()?.get()).ok()?;
        Some(first_line(&first.text()))
    });
    Some(Summary {
        session_id: stored.session_id,
        title: title.unwrap_or_default(),
        created_at: stored.created_at.unwrap_or(stored.updated_at),
        updated_at: stored.updated_at,
        message_count: stored.messages.len() as u64,
        // A live run says so again with its next write.
        run_id: None,
    })
}

/// The first line that holds anything, at most 80 characters of it.
fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(80).collect()
}

#[async_trait]
impl SessionIndex for BlobIndex {
    async fn upsert(&self, owner: &str, summary: &Summary, _text: Option<&str>) -> Result<(), IndexError> {
        let change = |entries: &mut Entries| {
            let sessions = &mut entries.sessions;
            match sessions.iter_mut().find(|session| session.session_id == summary.session_id) {
                Some(old) if old.updated_at > summary.updated_at || old == summary => return false,
                Some(old) => *old = summary.clone(),
                None => sessions.push(summary.clone()),
            }
            true
        };
        Ok(self.change(owner, change).await?)
    }

    async fn remove(&self, owner: &str, session_id: &str) -> Result<(), IndexError> {
        let change = |entries: &mut Entries| {
            let before = entries.sessions.len();
            entries.sessions.retain(|session| session.session_id != session_id);
            entries.sessions.len() < before
        };
        Ok(self.change(owner, change).await?)
    }

    async fn list(&self, owner: &str, query: &Query<'_>) -> Result<Page, IndexError> {
        let position = query.position()?;
        let (mut entries, condition) = match self.blobs.get(&key(owner)).await? {
            Some(blob) => match serde_json::from_slice(&blob.bytes) {
                Ok(entries) => (entries, None),
                Err(_) => (self.rebuild(owner).await?, Some(Condition::Match(blob.version))),
            },
            None => (self.rebuild(owner).await?, Some(Condition::Create)),
        };
        if let Some(condition) = condition {
            // Kept, so that the next reader need not do it again; whoever wrote meanwhile knows better.
            match self.write(owner, &entries, condition).await {
                Ok(_) | Err(BlobError::Conflict | BlobError::Unavailable(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.drop_expired(&mut entries);
        let search = query.search.map(str::trim).unwrap_or_default();
        let mut sessions = entries.sessions;
        sessions.retain(|session| {
            matches(&session.title, search)
                && position.as_ref().is_none_or(|position| Position::of(session) < *position)
        });
        sessions.sort_by_cached_key(|session| std::cmp::Reverse(Position::of(session)));
        let size = query.page_size();
        sessions.truncate(size + 1);
        Ok(Page::of(sessions, size))
    }

    async fn stale(&self, before: Timestamp, limit: usize) -> Result<Vec<(String, String)>, IndexError> {
        const PAGE: usize = 1000;
        let mut found = Vec::new();
        let mut owners = vec![String::new()];
        let mut after: Option<String> = None;
        loop {
            let listed = self.blobs.list("index/", after.as_deref(), PAGE).await?;
            let full = listed.len() == PAGE;
            after = listed.last().map(|entry| entry.key.clone());
            owners.extend(listed.iter().filter_map(|entry| {
                Some(entry.key.strip_prefix("index/")?.strip_suffix(".json")?.to_owned())
            }));
            for owner in owners.drain(..) {
                let Some(blob) = self.blobs.get(&key(&owner)).await? else { continue };
                let Ok(entries) = serde_json::from_slice::<Entries>(&blob.bytes) else { continue };
                let old = entries.sessions.into_iter().filter(|session| session.updated_at < before);
                found.extend(old.map(|session| (owner.clone(), session.session_id)));
                if found.len() >= limit {
                    found.truncate(limit);
                    return Ok(found);
                }
            }
            if !full {
                return Ok(found);
            }
        }
    }
}

/// Whether every word of the search begins a word of the title; a search without words must occur as it is.
fn matches(title: &str, search: &str) -> bool {
    let wanted = words(search);
    if wanted.is_empty() {
        return title.contains(search);
    }
    let title: Vec<String> = title.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
    wanted.iter().all(|word| title.iter().any(|part| part.starts_with(word.as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::conformance;
    use super::super::memory::MemoryBlobs;
    use super::*;

    fn index() -> (Arc<MemoryBlobs>, BlobIndex) {
        let blobs = Arc::new(MemoryBlobs::new());
        (Arc::clone(&blobs), BlobIndex::new(blobs, None))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn lists_sessions() {
        conformance::session_index(&index().1, conformance::Searches::Titles).await;
    }

    async fn store(blobs: &MemoryBlobs, key: &str, content: &[u8]) {
        blobs.put(key, Bytes::copy_from_slice(content), Condition::Any, Durability::Full).await.unwrap();
    }

    /// The list is missing, then damaged: both times it comes back from the sessions, the reference's among them.
    #[tokio::test]
    async fn is_made_again_from_the_sessions() {
        let (blobs, index) = index();
        let reference = json!({
            "session_id": "old", "updated_at": "2026-02-11T09:00:00.123456+00:00",
            "messages": [{"role": "user", "content": [{"text": "\n  Hello there \nsecond line"}]},
                         {"role": "assistant", "content": [{"text": "Hi"}]}],
        });
        store(&blobs, "sessions/ann/old.json", reference.to_string().as_bytes()).await;
        let own = json!({"session_id": "new", "updated_at": "2026-02-12T09:00:00Z", "title": "Named",
            "created_at": "2026-02-11T10:00:00Z", "messages": [], "owner": "ann", "epoch": 3});
        store(&blobs, "sessions/ann/new.json", own.to_string().as_bytes()).await;
        store(&blobs, "sessions/ann/broken.json", b"{").await;
        store(&blobs, "sessions/anna/other.json", own.to_string().as_bytes()).await;
        for damaged in [false, true] {
            if damaged {
                store(&blobs, "index/ann.json", b"{\"sessions\": [{").await;
            }
            let page = index.list("ann", &Query::default()).await.unwrap();
            let shown: Vec<_> = page
                .sessions
                .iter()
                .map(|s| (s.session_id.as_str(), s.title.as_str(), s.message_count))
                .collect();
            assert_eq!(shown, [("new", "Named", 0), ("old", "Hello there", 2)]);
            let kept = blobs.get("index/ann.json").await.unwrap().unwrap();
            assert_eq!(serde_json::from_slice::<Entries>(&kept.bytes).unwrap().sessions.len(), 2);
        }
        assert!(index.list("", &Query::default()).await.unwrap().sessions.is_empty());
    }

    #[tokio::test]
    async fn forgets_what_has_expired() {
        let (blobs, _) = index();
        let index = BlobIndex::new(blobs, Some(SignedDuration::from_hours(24)));
        let now = Timestamp::now();
        for (id, hours) in [("fresh", 1), ("expired", 25)] {
            let at = now - SignedDuration::from_hours(hours);
            let summary = Summary {
                session_id: id.to_owned(),
                title: id.to_owned(),
                created_at: at,
                updated_at: at,
                message_count: 1,
                run_id: None,
            };
            index.upsert("o", &summary, None).await.unwrap();
        }
        let page = index.list("o", &Query::default()).await.unwrap();
        assert_eq!(page.sessions.iter().map(|s| s.session_id.as_str()).collect::<Vec<_>>(), ["fresh"]);
    }
}
