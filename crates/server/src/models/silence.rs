//! How long a provider may be silent, without a timer of its own for every piece of an answer.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::config::Timeouts;
use crate::alarm::Alarm;

/// Nothing came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silent {
    /// How long it was waited for.
    pub(super) limit: Duration,
    /// Nothing had come before.
    pub(super) first: bool,
}

/// Bounds each wait for the next piece of a body.
#[derive(Debug)]
pub(super) struct Silence {
    alarm: Alarm,
    timeouts: Timeouts,
    heard: bool,
}

impl Silence {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self { alarm: Alarm::default(), timeouts, heard: false }
    }

    /// What `poll` gives, if it does within the limit: that of the first byte, then that between bytes. Time in which
    /// nobody waits does not count.
    pub(super) async fn bound<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Silent> {
        let limit = if self.heard { self.timeouts.between_bytes } else { self.timeouts.first_byte };
        let mut due = None;
        std::future::poll_fn(move |cx| {
            if let Poll::Ready(item) = poll(cx) {
                self.heard = true;
                return Poll::Ready(Ok(item));
            }
            let now = Instant::now();
            let due = *due.get_or_insert(now + limit);
            self.alarm.poll_at(due, now, cx).map(|()| Err(Silent { limit, first: !self.heard }))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    fn timeouts(first: u64, between: u64) -> Timeouts {
        Timeouts {
            first_byte: Duration::from_secs(first),
            between_bytes: Duration::from_secs(between),
            ..Timeouts::default()
        }
    }

    async fn after(silence: &mut Silence, seconds: u64) -> Result<(), Silent> {
        let mut piece = Box::pin(sleep(Duration::from_secs(seconds)));
        silence.bound(move |cx| piece.as_mut().poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_limit() {
        for (first, between) in [(5, 2), (2, 5)] {
            let mut silence = Silence::new(timeouts(first, between));
            assert_eq!(after(&mut silence, first - 1).await, Ok(()));
            for _ in 0..4 {
                assert_eq!(after(&mut silence, between - 1).await, Ok(()));
            }
            // Nobody asks for a while: that is not the provider's silence.
            sleep(Duration::from_secs(60)).await;
            assert_eq!(after(&mut silence, between - 1).await, Ok(()));
            let begun = Instant::now();
            let limit = Duration::from_secs(between);
            assert_eq!(after(&mut silence, between + 9).await, Err(Silent { limit, first: false }));
            assert_eq!(begun.elapsed().as_secs(), between);

            let mut silence = Silence::new(timeouts(first, between));
            let limit = Duration::from_secs(first);
            assert_eq!(after(&mut silence, first + 9).await, Err(Silent { limit, first: true }));
        }
    }
}
