//! How much one user, one address and everybody together may ask for.
//!
//! Nothing here waits: what is over a limit is answered at once, with when to try again.

mod address;
mod attachment;
mod body;
mod concurrency;
mod config;
mod json_depth;
mod rate;
mod runs;
mod usage;

pub use address::{ClientAddress, client_address};
pub use attachment::{content_type, essence};
pub use body::{BodyError, read_whole};
pub use concurrency::{RunGate, RunPermit};
pub use config::LimitsConfig;
pub use json_depth::is_deeper_than;
pub use rate::RateLimits;
pub use runs::{Admitted, RunLimits};
pub use usage::{BlobUsage, DailyTokens, DayUsage, MemoryUsage, UsageStore, forget_old_days};

use std::time::Duration;

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// This caller asks for more than is theirs (429).
    #[error("{what}")]
    Rate {
        /// Which limit, for people.
        what: &'static str,
        /// When there is room again, at the earliest.
        retry_after: Duration,
    },
    /// The server has no room for anybody (503).
    #[error("the server is busy")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
}

impl Limited {
    /// When to try again.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Rate { retry_after, .. } | Self::Overloaded { retry_after } => *retry_after,
        }
    }
}
