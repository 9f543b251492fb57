//! How long things last.

use std::time::Duration;

/// Time constants of sessions.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long a session lives after its last change.
    pub ttl: Duration,
    /// How long a run holds its session without a sign of life.
    pub lease: Duration,
    /// How long a question to the user stays open.
    pub pending: Duration,
    /// How long a write is tried again while the store does not answer.
    pub patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Self { ttl: day, lease: Duration::from_secs(20), pending: day, patience: Duration::from_secs(15) }
    }
}
