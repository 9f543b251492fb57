//! The time of day, from the machine or, in tests, from tokio's paused clock.

use jiff::Timestamp;

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The machine's clock. It goes on while the process is frozen, which is what leases need.
    #[default]
    System,
    /// Follows tokio's clock from a fixed moment, so that a test decides what time it is.
    Tokio {
        /// The moment the clock started.
        start: tokio::time::Instant,
    },
}

impl Clock {
    /// A clock for tests: 2026-01-01 plus what tokio's clock has passed since now.
    #[must_use]
    pub fn tokio() -> Self {
        Self::Tokio { start: tokio::time::Instant::now() }
    }

    /// The time of day, to the millisecond.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => {
                let now = Timestamp::now();
                Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
            }
            Self::Tokio { start } => {
                let passed = i64::try_from(start.elapsed().as_millis()).unwrap_or(0);
                Timestamp::from_millisecond(1_767_225_600_000 + passed).unwrap_or(Timestamp::UNIX_EPOCH)
            }
        }
    }
}

/// A moment so many milliseconds later.
#[must_use]
pub fn later(from: Timestamp, by: std::time::Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(from.as_millisecond().saturating_add(by)).unwrap_or(Timestamp::MAX)
}
