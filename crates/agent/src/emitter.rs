//! Turns an async function that emits events into a stream of them.
//!
//! One event at a time: the function goes on only when the stream is polled again. So whoever reads the stream decides
//! when the next thing happens: a log that is written before the next poll is written before the tool runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use parking_lot::Mutex;

use crate::event::Event;

/// Where the function puts its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Emitter(Arc<Mutex<Option<Event>>>);

impl Emitter {
    /// Hands one event over and waits until the reader wants the next one.
    pub(crate) async fn emit(&self, event: Event) {
        *self.0.lock() = Some(event);
        // Pending once: the reader takes the event out, and its next poll resumes here. No waker is needed, because the
        // reader polls again only of its own will.
        let mut taken = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut taken, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// The stream of what a function emits, and then of the terminal event that it returns, if it returns one.
pub(crate) struct Events {
    work: Option<Pin<Box<dyn Future<Output = Option<Event>> + Send>>>,
    slot: Emitter,
}

impl Events {
    pub(crate) fn new<F: Future<Output = Option<Event>> + Send + 'static>(
        work: impl FnOnce(Emitter) -> F,
    ) -> Self {
        let slot = Emitter::default();
        Self { work: Some(Box::pin(work(slot.clone()))), slot }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some(work) = self.work.as_mut() else { return Poll::Ready(None) };
        match work.as_mut().poll(cx) {
            Poll::Ready(terminal) => {
                self.work = None;
                Poll::Ready(terminal)
            }
            Poll::Pending => match self.slot.0.lock().take() {
                Some(event) => Poll::Ready(Some(event)),
                None => Poll::Pending,
            },
        }
    }
}
