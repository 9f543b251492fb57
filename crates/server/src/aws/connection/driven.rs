//! A connection without a task, and the body of an answer that drives it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::task::{ArcWake, AtomicWaker, waker_ref};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::rt::{Read, Write};
use parking_lot::Mutex;

use super::pool::{Origin, Pool};
use super::{Failure, Sent};

/// How often connection and reader are polled again for each other's sake before others get a turn.
const TURNS: usize = 4;

/// What a connection goes over: TCP, with or without TLS.
pub(super) trait Io: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Io for T {}

/// A connection, and the way to send a request over it.
pub(super) struct Link {
    sender: SendRequest<Box<SdkBody>>,
    /// Never locked: a body that the SDK takes must be `Sync`.
    connection: Mutex<Connection<Box<dyn Io>, Box<SdkBody>>>,
    /// The connection has ended.
    over: bool,
    gate: Arc<Gate>,
}

impl Link {
    /// Speaks HTTP/1.1 over an open connection.
    pub(super) async fn over(io: Box<dyn Io>) -> Result<Box<Self>, Failure> {
        let (sender, connection) = http1::Builder::new().handshake(io).await?;
        Ok(Box::new(Self { sender, connection: Mutex::new(connection), over: false, gate: Arc::default() }))
    }

    /// Sends a request and waits for the head of its answer. An error that comes with the request says that nothing of
    /// it was sent.
    pub(super) async fn send(
        mut self: Box<Self>,
        request: Sent,
    ) -> Result<(Response<Incoming>, Box<Self>), (hyper::Error, Option<Sent>)> {
        let mut asked = Box::pin(self.sender.try_send_request(request));
        let answered = std::future::poll_fn(|cx| self.poll_for(cx, |cx| asked.poll_unpin(cx))).await;
        match answered {
            Ok(head) => Ok((head, self)),
            Err(mut unsent) => {
                let request = unsent.take_message();
                Err((unsent.into_error(), request))
            }
        }
    }

    /// Whether another request can be sent over it, as far as one can know.
    pub(super) fn is_ready(&mut self) -> bool {
        // Sees whether the service has closed it meanwhile. Nobody waits for it.
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.over && self.sender.is_ready()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.over {
            // An error is told to whoever waits for the answer.
            self.over = self.connection.get_mut().poll_unpin(cx).is_ready();
        }
    }

    /// Polls the connection, and what waits for it.
    fn poll_for<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let gate = Arc::clone(&self.gate);
        gate.task.register(cx.waker());
        let waker = waker_ref(&gate);
        let own = &mut Context::from_waker(&waker);
        for _ in 0..TURNS {
            gate.shut();
            self.drive(own);
            let polled = wanted(own);
            let rang = gate.open();
            if polled.is_ready() || !rang {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Passes on to the task that somebody rings, but for those who ring while it is at it: connection and reader wake each
/// other with every piece, and both are polled next anyway.
#[derive(Default)]
struct Gate {
    task: AtomicWaker,
    state: AtomicU8,
}

const OPEN: u8 = 0;
const SHUT: u8 = 1;
const RANG: u8 = 2;

impl Gate {
    fn shut(&self) {
        self.state.store(SHUT, Ordering::Release);
    }

    /// Whether somebody rang since it was shut.
    fn open(&self) -> bool {
        self.state.swap(OPEN, Ordering::AcqRel) == RANG
    }
}

impl ArcWake for Gate {
    fn wake_by_ref(gate: &Arc<Self>) {
        let rung = gate.state.compare_exchange(SHUT, RANG, Ordering::AcqRel, Ordering::Acquire);
        if rung == Err(OPEN) {
            gate.task.wake();
        }
    }
}

/// The body of an answer. Read to its end, it gives its connection back; dropped before, it closes it.
pub(crate) struct Driven {
    body: Incoming,
    /// `None` once it was given back.
    link: Option<(Box<Link>, Origin)>,
    pool: Arc<Pool>,
}

impl Driven {
    pub(super) fn new(body: Incoming, link: Box<Link>, origin: Origin, pool: Arc<Pool>) -> Self {
        Self { body, link: Some((link, origin)), pool }
    }

    fn give_back(&mut self) {
        if let Some((link, origin)) = self.link.take() {
            self.pool.put(origin, link);
        }
    }
}

impl Body for Driven {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some((link, _)) = &mut this.link else { return Poll::Ready(None) };
        let body = &mut this.body;
        let polled = link.poll_for(cx, |cx| Pin::new(&mut *body).poll_frame(cx));
        match &polled {
            Poll::Ready(None) => this.give_back(),
            Poll::Ready(Some(Err(_))) => this.link = None,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
