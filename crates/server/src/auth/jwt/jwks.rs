//! The issuer's keys, kept in memory: fetched in the background, looked up without any I/O.
//!
//! A request waits for the network in two cases only: no keys were ever fetched, or the token names a key that is not
//! known. Both are limited in rate, so that nobody makes this server hammer the issuer; and whatever goes wrong, a
//! token is never accepted for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::compact::{Algorithm, Refusal};
use super::fetch::{FetchError, Fetcher, Source};
use super::keys::{Key, KeySet, NoKey};

/// The timing of key fetches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How old keys get before they are fetched anew in the background.
    pub(crate) refresh: Duration,
    /// The shortest time between two fetches that requests ask for.
    pub(crate) on_demand: Duration,
    /// How old keys may get, where the issuer cannot be reached, before nothing is accepted any more.
    pub(crate) stale: Duration,
    /// The longest time between attempts in the background while there are no keys.
    pub(crate) retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(60 * 60),
            on_demand: Duration::from_secs(10),
            stale: Duration::from_secs(24 * 60 * 60),
            retry: Duration::from_secs(60),
        }
    }
}

/// Why there is no key to check a token with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// The token is not good.
    Refused(Refusal),
    /// It cannot be said now.
    Unavailable {
        /// When a request may find out more.
        retry_after: Duration,
    },
}

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct Jwks {
    fetcher: Fetcher,
    pace: Pace,
    state: RwLock<State>,
    /// Held while a fetch is under way: the others wait for its outcome instead of asking too.
    fetching: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    /// When a request last made this server ask the issuer.
    asked: Option<Instant>,
    failed: bool,
    /// Counts the times that a key went away: what was verified with it is not believed any longer.
    withdrawn: u64,
}

impl Jwks {
    pub(crate) fn new(source: Source, pace: Pace) -> Result<Self, FetchError> {
        Ok(Self { fetcher: Fetcher::new(source)?, pace, state: RwLock::default(), fetching: Mutex::new(()) })
    }

    /// Keeps the keys fresh for as long as they are used by somebody, from now on or from when they are next due.
    pub(crate) fn keep_fresh(self: &Arc<Self>, begin: Begin) {
        tokio::spawn(refresh(Arc::downgrade(self), self.pace, begin));
    }

    /// The key for a token.
    pub(crate) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, KeyError> {
        let looked = Instant::now();
        match self.look_up(id, algorithm) {
            Some(Ok(key)) => return Ok(key),
            Some(Err(NoKey::Refused(refusal))) => return Err(KeyError::Refused(refusal)),
            Some(Err(NoKey::Unknown)) | None => {}
        }
        self.fetch_on_demand(looked).await;
        let failed = self.state.read().failed;
        match self.look_up(id, algorithm) {
            Some(Ok(key)) => Ok(key),
            Some(Err(NoKey::Refused(refusal))) => Err(KeyError::Refused(refusal)),
            Some(Err(NoKey::Unknown)) if !failed => Err(KeyError::Refused("kid_unknown")),
            // The issuer may have a new key, or any key at all, and could not be asked.
            Some(Err(NoKey::Unknown)) | None => {
                Err(KeyError::Unavailable { retry_after: self.pace.on_demand })
            }
        }
    }

    /// How many times a key went away.
    pub(crate) fn withdrawn(&self) -> u64 {
        self.state.read().withdrawn
    }

    /// `None` where there are no keys, or only such as are too old to rely on.
    fn look_up(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Result<Key, NoKey>> {
        let state = self.state.read();
        let keys = state.keys.as_ref()?;
        if state.fetched?.elapsed() > self.pace.stale {
            return None;
        }
        Some(keys.find(id, algorithm).cloned())
    }

    /// Fetches, unless somebody did since `looked`, or a request did a moment ago.
    async fn fetch_on_demand(&self, looked: Instant) {
        let _turn = self.fetching.lock().await;
        {
            let mut state = self.state.write();
            if state.tried.is_some_and(|tried| tried >= looked)
                || state.asked.is_some_and(|asked| asked.elapsed() < self.pace.on_demand)
            {
                return;
            }
            state.asked = Some(Instant::now());
        }
        self.fetch().await;
    }

    /// Fetches in any case. The caller holds `fetching`.
    async fn fetch(&self) {
        let outcome = self.fetcher.fetch().await;
        let mut state = self.state.write();
        let now = Instant::now();
        state.tried = Some(now);
        match outcome {
            Ok(keys) => {
                if state.failed || state.keys.is_none() {
                    tracing::info!(keys = keys.len(), "the issuer's keys are fetched");
                }
                if state.keys.as_ref().is_some_and(|old| !keys.keeps_all_of(old)) {
                    state.withdrawn += 1;
                }
                state.keys = Some(Arc::new(keys));
                state.fetched = Some(now);
                state.failed = false;
            }
            Err(error) => {
                let old_keys = state.keys.is_some();
                tracing::warn!(%error, old_keys, "the issuer's keys cannot be fetched");
                state.failed = true;
            }
        }
    }
}

/// When keys are first fetched without anybody's asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At once: the first request will need them.
    Now,
    /// When they would be due: the first request may not need them, and must not wait for them.
    Due,
}

/// Fetches, then again whenever the keys are due, until nobody uses them.
async fn refresh(jwks: Weak<Jwks>, pace: Pace, begin: Begin) {
    if begin == Begin::Due {
        tokio::time::sleep(pace.refresh).await;
    }
    let mut pause = Duration::from_secs(1);
    loop {
        let failed = {
            let Some(jwks) = jwks.upgrade() else { return };
            let _turn = jwks.fetching.lock().await;
            jwks.fetch().await;
            jwks.state.read().failed
        };
        if failed {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(pace.retry);
        } else {
            pause = Duration::from_secs(1);
            tokio::time::sleep(pace.refresh).await;
        }
    }
}
