//! The limits a run passes before it begins.

use std::sync::Arc;

use super::{ClientAddress, DailyTokens, Limited, LimitsConfig, RunGate, RunPermit, UsageStore};
use crate::auth::{Owner, Principal};

/// Admits runs, and counts what they used.
pub struct RunLimits {
    gate: Arc<RunGate>,
    daily: Option<Arc<DailyTokens>>,
}

impl RunLimits {
    /// `sign_in` says whether people sign in; `usage` is where tokens are counted, if they are limited.
    #[must_use]
    pub fn new(config: &LimitsConfig, sign_in: bool, usage: Arc<dyn UsageStore>) -> Self {
        Self { gate: RunGate::new(config, sign_in), daily: DailyTokens::new(config.tokens_per_day, usage) }
    }

    /// A place for a run of this user.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn admit(&self, principal: &Principal) -> Result<Admitted, Limited> {
        let owner = principal.owner().clone();
        if let Some(daily) = &self.daily {
            daily.check(&owner).await?;
        }
        let address: Option<ClientAddress> = principal.address;
        let permit = self.gate.admit(&owner, address)?;
        Ok(Admitted { owner, daily: self.daily.clone(), _permit: permit })
    }

    /// How many runs there are.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.gate.running()
    }
}

/// A run's place among the running; given back when it is dropped.
pub struct Admitted {
    owner: Owner,
    daily: Option<Arc<DailyTokens>>,
    _permit: RunPermit,
}

impl Admitted {
    /// Counts what the run used. Before its last event is shown: on Lambda nothing happens after that.
    pub async fn count(&self, tokens: u64) {
        if let Some(daily) = &self.daily {
            daily.count(&self.owner, tokens).await;
        }
    }
}
