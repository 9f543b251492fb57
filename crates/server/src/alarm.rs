//! One timer for many deadlines that follow one another.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is moved when it rings too early, not whenever its deadline moves: to put a timer in place and to take it
/// away again costs more than all else that a piece of text needs.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// Whom the timer wakes, and when.
    set: Option<(Waker, Instant)>,
}

impl Alarm {
    /// Ready when it is time, which is not before `now`.
    pub(crate) fn poll_at(&mut self, due: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        // It will ring, and for this task: nothing to ask it.
        if let Some((waker, rings)) = &self.set
            && now < *rings
            && *rings <= due
            && waker.will_wake(cx.waker())
        {
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                self.set = Some((cx.waker().clone(), timer.deadline()));
                return Poll::Pending;
            }
            if Instant::now() >= due {
                self.set = None;
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
        let set = poll_fn(|cx| Poll::Ready(alarm.poll_at(at(50), Instant::now(), cx))).await;
        assert_eq!(set, Poll::Pending);
        // Earlier than it was set, later than it rang, and in the past.
        for (due, rings) in [(3, 3), (9, 9), (20, 20), (12, 20), (21, 21)] {
            poll_fn(|cx| alarm.poll_at(at(due), Instant::now(), cx)).await;
            assert_eq!(begun.elapsed().as_secs(), rings, "{due}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_the_task_that_asked_last() {
        let due = Instant::now() + Duration::from_secs(5);
        let mut alarm = Alarm::default();
        // Asked by one task, it is handed to another.
        let set = poll_fn(|cx| Poll::Ready(alarm.poll_at(due, Instant::now(), cx))).await;
        assert_eq!(set, Poll::Pending);
        tokio::spawn(async move { poll_fn(|cx| alarm.poll_at(due, Instant::now(), cx)).await })
            .await
            .unwrap();
        assert_eq!(Instant::now(), due);
    }
}
