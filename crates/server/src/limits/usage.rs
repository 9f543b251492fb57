//! What a user's runs use in a day, kept in the store so that every instance counts the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use loquat_agent::event::Usage;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::Limited;
use crate::auth::Owner;
use crate::sessions::blob::{BlobError, BlobStore, Condition, Durability};
use crate::telemetry::cost;

/// How long a count is believed without asking the store, in which other instances may have counted on.
const FRESH: Duration = Duration::from_secs(30);
/// How many days are kept: a year can be looked back.
const KEPT_DAYS: i64 = 400;
/// How many users' counts are kept in memory.
const CAPACITY: usize = 10_000;

/// What runs used in a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayUsage {
    /// Tokens as the limit counts them: read anew and written, and an estimate for model calls that were stopped or broke
    /// off before they told theirs.
    #[serde(default)]
    pub tokens: u64,
    /// Runs.
    #[serde(default)]
    pub runs: u64,
    /// Tokens by kind.
    #[serde(default, flatten)]
    pub usage: Usage,
    /// US dollars; missing where no model of the runs had prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl DayUsage {
    /// Of one run.
    #[must_use]
    pub fn of_run(usage: Usage, cost_usd: Option<f64>) -> Self {
        Self { tokens: usage.input_tokens + usage.output_tokens, runs: 1, usage, cost_usd }
    }

    /// As it stands beside a stored message.
    #[must_use]
    pub fn for_message(&self) -> Value {
        let mut value = serde_json::to_value(self.usage).unwrap_or_default();
        if let (Some(cost), Some(members)) = (self.cost_usd, value.as_object_mut()) {
            members.insert("cost_usd".into(), cost.into());
        }
        value
    }

    /// Takes more in.
    pub fn add(&mut self, more: &Self) {
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.runs = self.runs.saturating_add(more.runs);
        self.usage += more.usage;
        self.cost_usd = cost::sum(self.cost_usd, more.cost_usd);
    }
}

/// Where counts are kept.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// What a user used on a day.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn used(&self, owner: &Owner, day: Date) -> Result<DayUsage, BlobError>;

    /// Adds to a day and returns its sum. Of any number of instances that add at a time, none is forgotten.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn add(&self, owner: &Owner, day: Date, spent: &DayUsage) -> Result<DayUsage, BlobError>;

    /// The days on which a user used anything, the newest first; at most so many.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn days(&self, owner: &Owner, most: usize) -> Result<Vec<(Date, DayUsage)>, BlobError>;

    /// Deletes the days before this one, of all users; gives how many.
    ///
    /// # Errors
    /// If the store does not answer.
    async fn forget_before(&self, day: Date) -> Result<usize, BlobError>;
}

/// Deletes what is older than anybody can ask for; gives how many days of users.
///
/// # Errors
/// If the store does not answer.
pub async fn forget_old_days(store: &dyn UsageStore, now: Timestamp) -> Result<usize, BlobError> {
    let first = day_of(now).saturating_sub(jiff::Span::new().days(KEPT_DAYS));
    store.forget_before(first).await
}

/// Counts in the store of the sessions, one small object a user and day.
pub struct BlobUsage {
    store: Arc<dyn BlobStore>,
}

impl BlobUsage {
    /// Counts in this store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self { store }
    }

    fn prefix(owner: &Owner) -> String {
        format!("usage/{}/", owner.segment_or_anonymous())
    }

    fn key(owner: &Owner, day: Date) -> String {
        format!("{}{day}.json", Self::prefix(owner))
    }
}

#[async_trait]
impl UsageStore for BlobUsage {
    async fn used(&self, owner: &Owner, day: Date) -> Result<DayUsage, BlobError> {
        let blob = self.store.get(&Self::key(owner, day)).await?;
        Ok(blob.map(|blob| read(&blob.bytes)).unwrap_or_default())
    }

    async fn add(&self, owner: &Owner, day: Date, spent: &DayUsage) -> Result<DayUsage, BlobError> {
        let key = Self::key(owner, day);
        // Each lost race is another writer's success, and a user has only so many runs at a time.
        for _ in 0..32 {
            let (mut sum, condition) = match self.store.get(&key).await? {
                None => (DayUsage::default(), Condition::Create),
                Some(blob) => (read(&blob.bytes), Condition::Match(blob.version)),
            };
            sum.add(spent);
            let bytes = serde_json::to_vec(&sum).unwrap_or_default();
            match self.store.put(&key, Bytes::from(bytes), condition, Durability::Process).await {
                Ok(_) => return Ok(sum),
                Err(BlobError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(BlobError::Conflict)
    }

    async fn days(&self, owner: &Owner, most: usize) -> Result<Vec<(Date, DayUsage)>, BlobError> {
        let prefix = Self::prefix(owner);
        let mut listed = Vec::new();
        // Keys are days, so their order is that of time.
        loop {
            let last = listed.last().map(|(_, key): &(Date, String)| key.clone());
            let page = self.store.list(&prefix, last.as_deref(), 1_000).await?;
            let full = page.len() == 1_000;
            listed.extend(page.into_iter().filter_map(|entry| {
                let day = day_in(&entry.key)?;
                Some((day, entry.key))
            }));
            if !full {
                break;
            }
        }
        let newest = listed.iter().rev().take(most).map(|(day, _)| *day);
        let mut days = Vec::new();
        for day in newest {
            days.push((day, self.used(owner, day).await?));
        }
        Ok(days)
    }

    async fn forget_before(&self, day: Date) -> Result<usize, BlobError> {
        let mut last: Option<String> = None;
        let mut forgotten = 0;
        loop {
            let page = self.store.list("usage/", last.as_deref(), 1_000).await?;
            for entry in &page {
                if day_in(&entry.key).is_some_and(|kept| kept < day) {
                    self.store.delete(&entry.key).await?;
                    forgotten += 1;
                }
            }
            if page.len() < 1_000 {
                return Ok(forgotten);
            }
            last = page.into_iter().next_back().map(|entry| entry.key);
        }
    }
}

/// The day in a key `usage/{owner}/{day}.json`.
fn day_in(key: &str) -> Option<Date> {
    key.rsplit_once('/')?.1.strip_suffix(".json")?.parse().ok()
}

/// A count that cannot be read is begun anew: it must not lock its user out for the rest of the day.
fn read(bytes: &[u8]) -> DayUsage {
    serde_json::from_slice(bytes).unwrap_or_default()
}

/// Counts in memory, where there is no store: for this process and since it started.
#[derive(Debug, Default)]
pub struct MemoryUsage {
    counts: Mutex<HashMap<Owner, (Date, DayUsage)>>,
}

#[async_trait]
impl UsageStore for MemoryUsage {
    async fn used(&self, owner: &Owner, day: Date) -> Result<DayUsage, BlobError> {
        let counts = self.counts.lock();
        let counted = counts.get(owner).filter(|(counted, _)| *counted == day);
        Ok(counted.map(|(_, sum)| sum.clone()).unwrap_or_default())
    }

    async fn add(&self, owner: &Owner, day: Date, spent: &DayUsage) -> Result<DayUsage, BlobError> {
        let mut counts = self.counts.lock();
        if counts.len() >= CAPACITY {
            counts.retain(|_, (counted, _)| *counted == day);
        }
        let (counted, sum) = counts.entry(owner.clone()).or_insert_with(|| (day, DayUsage::default()));
        if *counted != day {
            (*counted, *sum) = (day, DayUsage::default());
        }
        sum.add(spent);
        Ok(sum.clone())
    }

    async fn days(&self, owner: &Owner, most: usize) -> Result<Vec<(Date, DayUsage)>, BlobError> {
        Ok(self.counts.lock().get(owner).cloned().into_iter().take(most).collect())
    }

    async fn forget_before(&self, day: Date) -> Result<usize, BlobError> {
        let mut counts = self.counts.lock();
        let before = counts.len();
        counts.retain(|_, (counted, _)| *counted >= day);
        Ok(before - counts.len())
    }
}

/// What users use in a day, and the limit on it.
pub struct DailyTokens {
    limit: u64,
    store: Arc<dyn UsageStore>,
    recent: Mutex<HashMap<Owner, Recent>>,
}

#[derive(Clone, Copy)]
struct Recent {
    day: Date,
    tokens: u64,
    cost_usd: Option<f64>,
    at: Instant,
}

impl DailyTokens {
    /// A limit of 0 tokens is none.
    #[must_use]
    pub fn new(limit: u64, store: Arc<dyn UsageStore>) -> Arc<Self> {
        Arc::new(Self { limit, store, recent: Mutex::default() })
    }

    /// What a user used, day by day, the newest first; at most so many days.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn days(&self, owner: &Owner, most: usize) -> Result<Vec<(Date, DayUsage)>, BlobError> {
        self.store.days(owner, most).await
    }

    /// Whether a user may begin another run. One that begins below the limit is not cut off at it.
    ///
    /// # Errors
    /// [`Limited::Rate`] until the next day begins (UTC).
    pub async fn check(&self, owner: &Owner) -> Result<(), Limited> {
        self.check_at(owner, Timestamp::now()).await
    }

    async fn check_at(&self, owner: &Owner, now: Timestamp) -> Result<(), Limited> {
        if self.limit == 0 {
            return Ok(());
        }
        let day = day_of(now);
        let recent = self.recent(owner, day);
        let tokens = match recent {
            Some(recent) if recent.at.elapsed() < FRESH || recent.tokens >= self.limit => recent.tokens,
            _ => match self.store.used(owner, day).await {
                Ok(sum) => {
                    self.remember(owner, day, &sum);
                    sum.tokens
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

    /// Counts what a run used; gives what the user used today, if the store answers.
    pub async fn count(&self, owner: &Owner, spent: DayUsage) -> Option<DayUsage> {
        let day = day_of(Timestamp::now());
        match self.store.add(owner, day, &spent).await {
            Ok(sum) => {
                self.remember(owner, day, &sum);
                Some(sum)
            }
            Err(error) => {
                tracing::warn!(%error, spent.tokens, "the tokens of a run are not counted");
                None
            }
        }
    }

    /// What a user's runs cost today, in US dollars; 0 before the first. `None` if the store does not answer.
    pub async fn cost_today(&self, owner: &Owner) -> Option<f64> {
        let day = day_of(Timestamp::now());
        if let Some(recent) = self.recent(owner, day).filter(|recent| recent.at.elapsed() < FRESH) {
            return Some(recent.cost_usd.unwrap_or_default());
        }
        let sum = self.store.used(owner, day).await.ok()?;
        self.remember(owner, day, &sum);
        Some(sum.cost_usd.unwrap_or_default())
    }

    fn recent(&self, owner: &Owner, day: Date) -> Option<Recent> {
        self.recent.lock().get(owner).copied().filter(|recent| recent.day == day)
    }

    fn remember(&self, owner: &Owner, day: Date, sum: &DayUsage) {
        let mut recent = self.recent.lock();
        if recent.len() >= CAPACITY {
            recent.retain(|_, known| known.at.elapsed() < FRESH);
        }
        let (tokens, cost_usd) = (sum.tokens, sum.cost_usd);
        recent.insert(owner.clone(), Recent { day, tokens, cost_usd, at: Instant::now() });
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
        let limit = DailyTokens::new(100, Arc::new(MemoryUsage::default()));
        let spent = |tokens| DayUsage::of_run(Usage { input_tokens: tokens, ..Usage::default() }, Some(0.25));
        let (ann, bob) = (Principal::user("ann"), Principal::user("bob"));
        limit.check(ann.owner()).await.unwrap();
        assert_eq!(limit.cost_today(ann.owner()).await, Some(0.0));
        limit.count(ann.owner(), spent(99)).await.unwrap();
        limit.check(ann.owner()).await.unwrap();
        let sum = limit.count(ann.owner(), spent(30)).await.unwrap();
        assert_eq!((sum.cost_usd, limit.cost_today(ann.owner()).await), (Some(0.5), Some(0.5)));
        let limited = limit.check(ann.owner()).await.unwrap_err();
        assert!(limited.retry_after() <= Duration::from_secs(86_400));
        limit.check(bob.owner()).await.unwrap();
        let tomorrow = Timestamp::now() + jiff::SignedDuration::try_from(limited.retry_after()).unwrap();
        limit.check_at(ann.owner(), tomorrow).await.unwrap();
        let unlimited = DailyTokens::new(0, Arc::new(MemoryUsage::default()));
        unlimited.count(ann.owner(), spent(1_000_000)).await;
        unlimited.check(ann.owner()).await.unwrap();
    }

    #[tokio::test]
    async fn days_add_up_and_are_listed() {
        use crate::sessions::memory::MemoryBlobs;

        let store = BlobUsage::new(Arc::new(MemoryBlobs::default()));
        let (ann, bob) = (Principal::user("ann"), Principal::user("bob"));
        let run = |input_tokens, cost| {
            let usage = Usage { input_tokens, output_tokens: 5, ..Usage::default() };
            DayUsage::of_run(usage, cost)
        };
        let days: Vec<Date> = ["2026-02-10", "2026-02-11"].iter().map(|day| day.parse().unwrap()).collect();
        store.add(ann.owner(), days[0], &run(10, Some(0.1))).await.unwrap();
        store.add(ann.owner(), days[1], &run(20, Some(0.2))).await.unwrap();
        let sum = store.add(ann.owner(), days[1], &run(30, None)).await.unwrap();
        assert_eq!((sum.runs, sum.tokens, sum.usage.output_tokens, sum.cost_usd), (2, 60, 10, Some(0.2)));
        let listed = store.days(ann.owner(), 10).await.unwrap();
        assert_eq!(listed.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [days[1], days[0]]);
        assert_eq!(listed[0].1, sum);
        assert_eq!(store.days(ann.owner(), 1).await.unwrap().len(), 1);
        assert!(store.days(bob.owner(), 10).await.unwrap().is_empty());
        // A year later the old ones are gone, of everybody.
        store.add(bob.owner(), days[0], &run(1, None)).await.unwrap();
        let then = "2027-03-18T00:00:00Z".parse().unwrap();
        assert_eq!(forget_old_days(&store, then).await.unwrap(), 2);
        let left = store.days(ann.owner(), 10).await.unwrap();
        assert_eq!(left.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [days[1]]);
        assert!(store.days(bob.owner(), 10).await.unwrap().is_empty());
        // What an earlier version wrote.
        assert_eq!(read(br#"{"tokens": 7}"#).tokens, 7);
    }
}
