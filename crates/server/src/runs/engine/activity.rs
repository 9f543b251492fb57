//! Whether this process works on runs, and since when that is so.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::clock::Clock;

/// Counts the runs that are under way here.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    state: Mutex<(u64, Timestamp)>,
}

/// A run under way. Dropped when its task ends.
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self { clock, state: Mutex::new((0, now)) })
    }

    /// Whether there are any, and since when there are or are not. Only a real change moves the time.
    pub(super) fn now(&self) -> (bool, Timestamp) {
        let state = self.state.lock();
        (state.0 > 0, state.1)
    }

    /// One more.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        let mut state = self.state.lock();
        if state.0 == 0 {
            state.1 = self.clock.now();
        }
        state.0 += 1;
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.0 -= 1;
        if state.0 == 0 {
            state.1 = self.0.clock.now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_real_change_moves_the_time() {
        let activity = Activity::new(Clock::tokio());
        let (busy, began) = activity.now();
        assert!(!busy);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(activity.now(), (false, began));
        let first = activity.begin();
        let (busy, since) = activity.now();
        assert!(busy && since > began);
        tokio::time::advance(Duration::from_secs(5)).await;
        let second = activity.begin();
        drop(first);
        assert_eq!(activity.now(), (true, since), "one is still at work");
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(second);
        let (busy, rested) = activity.now();
        assert!(!busy && rested > since);
    }
}
