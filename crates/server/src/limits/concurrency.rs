//! Runs at a time: per user, per address, and of everybody.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::config::PerCaller;
use super::{ClientAddress, Limited, LimitsConfig};
use crate::auth::Owner;

/// When to try again: runs take seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Admits runs.
#[derive(Debug)]
pub struct RunGate {
    limits: PerCaller,
    total: u32,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    total: u32,
    users: HashMap<Owner, u32>,
    addresses: HashMap<ClientAddress, u32>,
}

/// A place among the running. It is given back when this is dropped, so it belongs to the run and not to the
/// connection that began it.
#[derive(Debug)]
pub struct RunPermit {
    gate: Arc<RunGate>,
    owner: Owner,
    address: Option<ClientAddress>,
}

impl RunGate {
    /// `sign_in` says whether people sign in: without it everybody is one user.
    #[must_use]
    pub fn new(config: &LimitsConfig, sign_in: bool) -> Arc<Self> {
        Arc::new(Self {
            limits: config.per_caller(sign_in),
            total: if config.runs_total == 0 { u32::MAX } else { config.runs_total },
            running: Mutex::default(),
        })
    }

    /// A place for a run, or at once that there is none.
    ///
    /// # Errors
    /// [`Limited::Rate`] for the caller's own limits, [`Limited::Overloaded`] for everybody's.
    pub fn admit(
        self: &Arc<Self>,
        owner: &Owner,
        address: Option<ClientAddress>,
    ) -> Result<RunPermit, Limited> {
        let mut running = self.running.lock();
        let over = |count: Option<&u32>, limit: Option<u32>| {
            limit.is_some_and(|limit| count.copied().unwrap_or_default() >= limit)
        };
        if over(running.users.get(owner), self.limits.runs_per_user) {
            return Err(Limited::Rate {
                what: "Too many answers are being written for you",
                retry_after: RETRY_AFTER,
            });
        }
        if address.is_some_and(|address| over(running.addresses.get(&address), self.limits.runs_per_address))
        {
            return Err(Limited::Rate {
                what: "Too many answers are being written for this address",
                retry_after: RETRY_AFTER,
            });
        }
        if running.total >= self.total {
            return Err(Limited::Overloaded { retry_after: RETRY_AFTER });
        }
        running.total += 1;
        *running.users.entry(owner.clone()).or_default() += 1;
        if let Some(address) = address {
            *running.addresses.entry(address).or_default() += 1;
        }
        Ok(RunPermit { gate: self.clone(), owner: owner.clone(), address })
    }

    /// How many runs there are.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.running.lock().total
    }
}

impl Drop for RunPermit {
    fn drop(&mut self) {
        let mut running = self.gate.running.lock();
        running.total -= 1;
        release(&mut running.users, &self.owner);
        if let Some(address) = &self.address {
            release(&mut running.addresses, address);
        }
    }
}

fn release<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;

    #[test]
    fn a_place_is_given_back_with_its_permit() {
        let config = LimitsConfig {
            runs_per_user: Some(2),
            runs_per_address: Some(3),
            runs_total: 4,
            ..LimitsConfig::default()
        };
        let gate = RunGate::new(&config, true);
        let home = Some(ClientAddress::from(std::net::IpAddr::from([192, 0, 2, 1])));
        let user = |name: &str| Principal::user(name).owner().clone();
        let first = gate.admit(&user("ann"), home).unwrap();
        let _second = gate.admit(&user("ann"), home).unwrap();
        assert!(matches!(gate.admit(&user("ann"), None), Err(Limited::Rate { .. })));
        let _third = gate.admit(&user("bob"), home).unwrap();
        assert!(matches!(gate.admit(&user("carol"), home), Err(Limited::Rate { .. })));
        let _fourth = gate.admit(&user("carol"), None).unwrap();
        assert!(matches!(gate.admit(&user("dan"), None), Err(Limited::Overloaded { .. })));
        drop(first);
        assert_eq!(gate.running(), 3);
        let again = gate.admit(&user("ann"), home).unwrap();
        drop((_second, _third, _fourth, again));
        let running = gate.running.lock();
        assert!(running.total == 0 && running.users.is_empty() && running.addresses.is_empty());
    }
}
