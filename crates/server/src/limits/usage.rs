//! Tokens a day of a user, kept in the store so that every instance counts the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Limited;
use crate::auth::Owner;
use crate::sessions::blob::{BlobError, BlobStore, Condition, Durability};

/// How long a count is believed without asking the store, in which other instances may have counted on.
const FRESH: Duration = Duration::from_secs(30);
/// How many users' counts are kept in memory.
const CAPACITY: usize = 10_000;

/// Where counts are kept.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// The tokens of a user on a day.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn used(&self, owner: &Owner, day: Date) -> Result<u64, BlobError>;

    /// Adds tokens and returns the day's sum. Of any number of instances that add at a time, none is forgotten.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn add(&self, owner: &Owner, day: Date, tokens: u64) -> Result<u64, BlobError>;
}

/// Counts in the store of the sessions, one small object a user and day.
pub struct BlobUsage {
    store: Arc<dyn BlobStore>,
}

#[derive(Default, Serialize, Deserialize)]
struct Count {
    tokens: u64,
}

impl BlobUsage {
    /// Counts in this store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self { store }
    }

    fn key(owner: &Owner, day: Date) -> String {
        format!("usage/{}/{day}.json", owner.segment_or_anonymous())
    }
}

#[async_trait]
impl UsageStore for BlobUsage {
    async fn used(&self, owner: &Owner, day: Date) -> Result<u64, BlobError> {
        let blob = self.store.get(&Self::key(owner, day)).await?;
        Ok(blob.map_or(0, |blob| read(&blob.bytes)))
    }

    async fn add(&self, owner: &Owner, day: Date, tokens: u64) -> Result<u64, BlobError> {
        let key = Self::key(owner, day);
        // Each lost race is another writer's success, and a user has only so many runs at a time.
        for _ in 0..32 {
            let (sum, condition) = match self.store.get(&key).await? {
                None => (tokens, Condition::Create),
                Some(blob) => (read(&blob.bytes).saturating_add(tokens), Condition::Match(blob.version)),
            };
            let bytes = serde_json::to_vec(&Count { tokens: sum }).unwrap_or_default();
            match self.store.put(&key, Bytes::from(bytes), condition, Durability::Process).await {
                Ok(_) => return Ok(sum),
                Err(BlobError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(BlobError::Conflict)
    }
}

/// A count that cannot be read is begun anew: it must not lock its user out for the rest of the day.
fn read(bytes: &[u8]) -> u64 {
    serde_json::from_slice::<Count>(bytes).unwrap_or_default().tokens
}

/// Counts in memory, where there is no store: for this process and since it started.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    counts: Mutex<HashMap<Owner, (Date, u64)>>,
}

#[async_trait]
impl UsageStore for MemoryUsage {
    async fn used(&self, owner: &Owner, day: Date) -> Result<u64, BlobError> {
        let counts = self.counts.lock();
        Ok(counts.get(owner).filter(|(counted, _)| *counted == day).map_or(0, |(_, tokens)| *tokens))
    }

    async fn add(&self, owner: &Owner, day: Date, tokens: u64) -> Result<u64, BlobError> {
        let mut counts = self.counts.lock();
        if counts.len() >= CAPACITY {
            counts.retain(|_, (counted, _)| *counted == day);
        }
        let (counted, sum) = counts.entry(owner.clone()).or_insert((day, 0));
        if *counted != day {
            (*counted, *sum) = (day, 0);
        }
        *sum = sum.saturating_add(tokens);
        Ok(*sum)
    }
}

/// The limit on tokens a day.
pub struct DailyTokens {
    limit: u64,
    store: Arc<dyn UsageStore>,
    recent: Mutex<HashMap<Owner, Recent>>,
}

#[derive(Clone, Copy)]
struct Recent {
    day: Date,
    tokens: u64,
    at: Instant,
}

impl DailyTokens {
    /// `None` where there is no limit (0), and so nothing to count.
    #[must_use]
    pub fn new(limit: u64, store: Arc<dyn UsageStore>) -> Option<Arc<Self>> {
        (limit > 0).then(|| Arc::new(Self { limit, store, recent: Mutex::default() }))
    }

    /// Whether a user may begin another run. One that begins below the limit is not cut off at it.
    ///
    /// # Errors
    /// [`Limited::Rate`] until the next day begins (UTC).
    pub async fn check(&self, owner: &Owner) -> Result<(), Limited> {
        self.check_at(owner, Timestamp::now()).await
    }

    async fn check_at(&self, owner: &Owner, now: Timestamp) -> Result<(), Limited> {
        let day = day_of(now);
        let recent = self.recent.lock().get(owner).copied().filter(|recent| recent.day == day);
        let tokens = match recent {
            Some(recent) if recent.at.elapsed() < FRESH || recent.tokens >= self.limit => recent.tokens,
            _ => match self.store.used(owner, day).await {
                Ok(tokens) => {
                    self.remember(owner, day, tokens);
                    tokens
                }
                Err(error) => {
                    // Whoever cannot be counted now could not open a session either; this is not what stops them.
                    tracing::warn!(%error, "the tokens of today cannot be read");
                    recent.map_or(0, |recent| recent.tokens)
                }
            },
        };
        if tokens < self.limit {
            return Ok(());
        }
        Err(Limited::Rate { what: "Today's tokens are used up", retry_after: until_next_day(now) })
    }

    /// Counts what a run used.
    pub async fn count(&self, owner: &Owner, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let day = day_of(Timestamp::now());
        match self.store.add(owner, day, tokens).await {
            Ok(sum) => self.remember(owner, day, sum),
            Err(error) => tracing::warn!(%error, tokens, "the tokens of a run are not counted"),
        }
    }

    fn remember(&self, owner: &Owner, day: Date, tokens: u64) {
        let mut recent = self.recent.lock();
        if recent.len() >= CAPACITY {
            recent.retain(|_, known| known.at.elapsed() < FRESH);
        }
        recent.insert(owner.clone(), Recent { day, tokens, at: Instant::now() });
    }
}

fn day_of(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

fn until_next_day(now: Timestamp) -> Duration {
    let passed = u64::try_from(now.as_second().rem_euclid(86_400)).unwrap_or_default();
    Duration::from_secs(86_400 - passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;

    #[tokio::test(start_paused = true)]
    async fn a_day_has_so_many_tokens() {
        let limit = DailyTokens::new(100, Arc::new(MemoryUsage::default())).unwrap();
        let (ann, bob) = (Principal::user("ann"), Principal::user("bob"));
        limit.check(ann.owner()).await.unwrap();
        limit.count(ann.owner(), 99).await;
        limit.check(ann.owner()).await.unwrap();
        limit.count(ann.owner(), 30).await;
        let limited = limit.check(ann.owner()).await.unwrap_err();
        assert!(limited.retry_after() <= Duration::from_secs(86_400));
        limit.check(bob.owner()).await.unwrap();
        let tomorrow = Timestamp::now() + jiff::SignedDuration::try_from(limited.retry_after()).unwrap();
        limit.check_at(ann.owner(), tomorrow).await.unwrap();
        assert!(DailyTokens::new(0, Arc::new(MemoryUsage::default())).is_none());
    }
}
