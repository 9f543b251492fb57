//! Whether this process works on runs, and since when that is so.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;

/// Counts the runs that are under way here.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    state: watch::Sender<(u64, Timestamp)>,
}

/// A run under way. Dropped when its task ends.
pub(super) struct Busy(Arc<Activity>);

impl Activity {
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self { clock, state: watch::Sender::new((0, now)) })
    }

    /// Whether there are any, and since when there are or are not. Only a real change moves the time.
    pub(super) fn now(&self) -> (bool, Timestamp) {
        let (count, since) = *self.state.borrow();
        (count > 0, since)
    }

    /// One more.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.state.send_modify(|(count, since)| {
            if *count == 0 {
                *since = self.clock.now();
            }
            *count += 1;
        });
        Busy(Arc::clone(self))
    }

    /// Waits until there are none.
    pub(super) async fn rest(&self) {
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|(count, _)| *count == 0).await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.state.send_modify(|(count, since)| {
            *count -= 1;
            if *count == 0 {
                *since = self.0.clock.now();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

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
        assert!(activity.rest().now_or_never().is_none());
        tokio::time::advance(Duration::from_secs(5)).await;
        drop(second);
        let (busy, rested) = activity.now();
        assert!(!busy && rested > since);
        assert!(activity.rest().now_or_never().is_some());
    }
}
