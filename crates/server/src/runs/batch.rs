//! What is kept, shown and sent in one go: the events that are there without waiting.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::{Stream, StreamExt as _};
use loquat_agent::event::Event;

/// How many events are kept and shown in one go.
pub(super) const BATCH: usize = 256;

/// How often in a row looking for more may bring nothing before it is done only now and then.
const PATIENCE: u32 = 4;

/// How many takes stand between two tries then.
const SELDOM: u32 = 32;

/// Looks for what has come together with an event.
///
/// A connection may be a task of its own that hands over one piece at a time: it has to get a turn before there is a next
/// one. Where a model says its pieces one by one, that is a turn for nothing, tokio looks at the network for each, and to
/// ask the agent for more goes all the way down to the connection, as the wait for the next piece does right after; so a
/// run learns whether it helps. Until it tries again, events that come together are kept one by one; they are still sent
/// together, since readers get their turn when the run waits.
#[derive(Default)]
pub(super) struct Neighbours {
    /// How many events in a row came alone.
    alone: u32,
}

impl Neighbours {
    /// An event, and those that are there already. After an intent nothing more is asked for until it is kept.
    pub(super) async fn of(
        &mut self,
        first: Event,
        events: &mut (impl Stream<Item = Event> + Unpin),
    ) -> Vec<Event> {
        let mut batch = vec![first];
        if !self.is_worth_it() {
            self.alone = self.alone.saturating_add(1);
            return batch;
        }
        let mut gave_way = false;
        while batch.len() < BATCH && !matches!(batch.last(), Some(Event::ToolCall { .. })) {
            match poll_fn(|cx| Poll::Ready(events.poll_next_unpin(cx))).await {
                Poll::Ready(Some(event)) => {
                    batch.push(event);
                    gave_way = false;
                }
                Poll::Pending if !gave_way => {
                    tokio::task::yield_now().await;
                    gave_way = true;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.alone = if batch.len() == 1 { self.alone.saturating_add(1) } else { 0 };
        batch
    }

    fn is_worth_it(&self) -> bool {
        self.alone < PATIENCE || self.alone.is_multiple_of(SELDOM)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;

    fn piece() -> Event {
        Event::Text { text: "word ".into() }
    }

    /// How many events were taken together, and whether it gave way for them.
    async fn taken(
        neighbours: &mut Neighbours,
        events: &mut (impl Stream<Item = Event> + Unpin),
    ) -> (usize, bool) {
        let mut taking = std::pin::pin!(neighbours.of(piece(), events));
        let mut gave_way = false;
        let batch = poll_fn(|cx| {
            let polled = taking.as_mut().poll(cx);
            gave_way |= polled.is_pending();
            polled
        });
        (batch.await.len(), gave_way)
    }

    /// Hands over one piece at a time, as hyper's connection does.
    fn handed_over(pieces: usize) -> impl Stream<Item = Event> + Unpin {
        let (give, take) = mpsc::channel(1);
        tokio::spawn(async move {
            for _ in 0..pieces {
                if give.send(piece()).await.is_err() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        });
        Box::pin(stream::unfold(take, |mut take| async { Some((take.recv().await?, take)) }))
    }

    #[tokio::test]
    async fn gives_way_seldom_where_pieces_come_one_by_one() {
        let mut neighbours = Neighbours::default();
        let mut ways = 0;
        for _ in 0..1000 {
            let (count, gave_way) = taken(&mut neighbours, &mut stream::pending()).await;
            assert_eq!(count, 1);
            ways += u32::from(gave_way);
        }
        assert!((1000 / SELDOM..50).contains(&ways), "{ways} times");
    }

    #[tokio::test]
    async fn learns_that_pieces_come_together_again() {
        let mut neighbours = Neighbours::default();
        for _ in 0..100 {
            taken(&mut neighbours, &mut stream::pending()).await;
        }
        let mut alone = 0;
        while taken(&mut neighbours, &mut handed_over(50)).await.0 == 1 {
            alone += 1;
            assert!(alone <= SELDOM, "never tried again");
        }
        for _ in 0..20 {
            assert_eq!(taken(&mut neighbours, &mut handed_over(50)).await.0, 51);
        }
    }

    #[tokio::test]
    async fn takes_no_more_than_a_batch_and_nothing_after_an_intent() {
        let many = taken(&mut Neighbours::default(), &mut stream::repeat_with(piece)).await;
        assert_eq!(many, (BATCH, false));
        let call = Event::ToolCall {
            id: "1".into(),
            name: "tool".into(),
            input: serde_json::json!({}),
            effects: false,
        };
        let batch = Neighbours::default().of(call, &mut stream::repeat_with(piece)).await;
        assert_eq!(batch.len(), 1);
    }
}
