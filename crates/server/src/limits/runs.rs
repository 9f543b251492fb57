//! The limits a run passes before it begins.

use std::sync::Arc;

use jiff::civil::Date;

use super::{ClientAddress, DailyTokens, DayUsage, Limited, LimitsConfig, RunGate, RunPermit, UsageStore};
use crate::auth::{Owner, Principal};
use crate::sessions::blob::BlobError;

/// Admits runs, and counts what they used.
pub struct RunLimits {
    gate: Arc<RunGate>,
    daily: Arc<DailyTokens>,
}

impl RunLimits {
    /// `sign_in` says whether people sign in; `usage` is where tokens are counted.
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
        self.daily.check(&owner).await?;
        let address: Option<ClientAddress> = principal.address;
        let permit = self.gate.admit(&owner, address)?;
        Ok(Admitted { owner, daily: Arc::clone(&self.daily), _permit: permit })
    }

    /// What a user's runs used, day by day, the newest first; at most so many days.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn days(&self, owner: &Owner, most: usize) -> Result<Vec<(Date, DayUsage)>, BlobError> {
        self.daily.days(owner, most).await
    }

    /// A place for a run that was begun elsewhere. Its user's tokens were checked then.
    ///
    /// # Errors
    /// [`Limited`].
    pub fn admit_owner(&self, owner: &Owner) -> Result<Admitted, Limited> {
        let permit = self.gate.admit(owner, None)?;
        Ok(Admitted { owner: owner.clone(), daily: self.daily.clone(), _permit: permit })
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
    daily: Arc<DailyTokens>,
    _permit: RunPermit,
}

impl Admitted {
    /// Counts what the run used; gives what its user used today, if the store answers. Before its last event is shown: on
    /// Lambda nothing happens after that.
    pub async fn count(&self, spent: DayUsage) -> Option<DayUsage> {
        self.daily.count(&self.owner, spent).await
    }

    /// What its user's runs cost today, in US dollars, without those under way. `None` if the store does not answer.
    pub fn cost_today(&self) -> impl Future<Output = Option<f64>> + Send + use<> {
        let (owner, daily) = (self.owner.clone(), Arc::clone(&self.daily));
        async move { daily.cost_today(&owner).await }
    }
}
