//! One timer for many deadlines that follow one another.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is moved when it rings too early, not whenever its deadline moves: to put a timer in place and to take it
/// away again costs more than all else that a piece of text needs.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when it is time.
    pub(crate) fn poll_at(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rings_at_each_deadline_in_turn() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut alarm = Alarm::default();
        let set = poll_fn(|cx| Poll::Ready(alarm.poll_at(at(50), cx))).await;
        assert_eq!(set, Poll::Pending);
        // Earlier than it was set, later than it rang, and in the past.
        for (due, rings) in [(3, 3), (9, 9), (20, 20), (12, 20), (21, 21)] {
            poll_fn(|cx| alarm.poll_at(at(due), cx)).await;
            assert_eq!(begun.elapsed().as_secs(), rings, "{due}");
        }
    }
}
