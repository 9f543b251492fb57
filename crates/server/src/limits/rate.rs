//! Requests a minute, per user and per address.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::{ClientAddress, Limited, LimitsConfig};
use crate::auth::Owner;

/// After how many requests those who stayed away are forgotten.
const SWEEP: u32 = 4_096;

/// Requests a minute. The whole minute's worth may come at once; after that one request a sixtieth.
#[derive(Debug)]
pub struct RateLimits {
    users: Option<Keyed<Owner>>,
    addresses: Option<Keyed<ClientAddress>>,
}

impl RateLimits {
    /// `sign_in` says whether people sign in: without it everybody is one user.
    #[must_use]
    pub fn new(config: &LimitsConfig, sign_in: bool) -> Self {
        let limits = config.per_caller(sign_in);
        Self {
            users: limits.requests_per_user.and_then(Keyed::per_minute),
            addresses: limits.requests_per_address.and_then(Keyed::per_minute),
        }
    }

    /// Counts a request of an address, before it is known whose it is.
    ///
    /// # Errors
    /// [`Limited::Rate`].
    pub fn check_address(&self, address: Option<ClientAddress>) -> Result<(), Limited> {
        match (&self.addresses, address) {
            (Some(limit), Some(address)) => limit.check(&address, "Too many requests from this address"),
            _ => Ok(()),
        }
    }

    /// Counts a request of a user.
    ///
    /// # Errors
    /// [`Limited::Rate`].
    pub fn check_user(&self, owner: &Owner) -> Result<(), Limited> {
        match &self.users {
            Some(limit) => limit.check(owner, "Too many requests"),
            None => Ok(()),
        }
    }
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, TokioClock, NoOpMiddleware<Duration>>;

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone> {
    limiter: Limiter<K>,
    since_sweep: AtomicU32,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn per_minute(limit: u32) -> Option<Self> {
        let quota = Quota::per_minute(NonZeroU32::new(limit)?);
        let limiter = RateLimiter::hashmap_with_clock(quota, TokioClock { start: Instant::now() });
        Some(Self { limiter, since_sweep: AtomicU32::new(0) })
    }

    fn check(&self, key: &K, what: &'static str) -> Result<(), Limited> {
        if self.since_sweep.fetch_add(1, Ordering::Relaxed) >= SWEEP {
            self.since_sweep.store(0, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.limiter.clock().now());
            // In whole seconds, as the header has it; never "at once".
            Limited::Rate { what, retry_after: Duration::from_secs(wait.as_secs() + 1) }
        })
    }
}

/// Tokio's clock, which tests can turn.
#[derive(Clone, Debug)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;

    fn limits(user: u32, address: u32) -> RateLimits {
        let config = LimitsConfig {
            requests_per_minute: Some(user),
            requests_per_minute_per_address: Some(address),
            ..LimitsConfig::default()
        };
        RateLimits::new(&config, true)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_too_often_waits_and_nobody_else_does() {
        let limits = limits(6, 0);
        let (ann, bob) = (Principal::user("ann"), Principal::user("bob"));
        for _ in 0..6 {
            limits.check_user(ann.owner()).unwrap();
        }
        let limited = limits.check_user(ann.owner()).unwrap_err();
        assert!(limited.retry_after() <= Duration::from_secs(11), "a tenth of a minute, in whole seconds");
        limits.check_user(bob.owner()).unwrap();
        tokio::time::advance(limited.retry_after()).await;
        limits.check_user(ann.owner()).unwrap();
        assert!(limits.check_user(ann.owner()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_counted_apart_and_forgotten() {
        let limits = limits(0, 2);
        for n in 0..SWEEP {
            let address = ClientAddress::from(std::net::IpAddr::from(n.to_be_bytes()));
            limits.check_address(Some(address)).unwrap();
        }
        assert_eq!(limits.addresses.as_ref().unwrap().limiter.len(), SWEEP as usize);
        tokio::time::advance(Duration::from_secs(120)).await;
        limits.check_address(Some(ClientAddress::from(std::net::IpAddr::from([9, 9, 9, 9])))).unwrap();
        assert!(limits.addresses.as_ref().unwrap().limiter.len() <= 1);
        limits.check_address(None).unwrap();
    }

    #[tokio::test]
    async fn one_person_on_their_own_machine_is_not_limited() {
        let limits = RateLimits::new(&LimitsConfig::default(), false);
        let nobody = Principal::anonymous();
        for _ in 0..10_000 {
            limits.check_user(nobody.owner()).unwrap();
        }
    }
}
