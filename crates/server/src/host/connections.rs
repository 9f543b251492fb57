//! Connections: how long a client may take for its headers, how long it may be silent, how many there may be.
//!
//! `axum::serve` has none of these limits, and a few thousand clients that send one byte a minute would hold every
//! file descriptor of the process.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, Sleep};
use tower::ServiceExt as _;

use crate::limits::LimitsConfig;

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// How long a connection may be open without the whole of a request's headers: the time for them, and the time
    /// between two requests.
    pub idle: Duration,
    /// How long a client may leave what was written to it untouched.
    pub write: Duration,
    /// The largest size of a request's headers, in bytes; at least 8 KiB.
    pub header_bytes: usize,
    /// How many connections are open at a time.
    pub connections: usize,
    /// How long a client that was answered may go on sending what nobody wants.
    pub linger: Duration,
    /// How long the answers that are under way at the end may still take.
    pub farewell: Duration,
}

impl From<&LimitsConfig> for ConnectionLimits {
    fn from(limits: &LimitsConfig) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.max(1).into());
        Self {
            idle: seconds(limits.idle_seconds),
            write: seconds(limits.write_seconds),
            header_bytes: limits.header_bytes as usize,
            connections: limits.connections as usize,
            linger: Duration::from_secs(10),
            farewell: Duration::from_secs(10),
        }
    }
}

/// What a client reads for whom there is no room; a page as well, whichever it is.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
retry-after: 2\r\naccess-control-allow-origin: *\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
connection: close\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
\"detail\":\"The server is busy.\",\"code\":\"overloaded\"}";

/// How many clients for whom there is no room are told so with patience.
const TURNED_AWAY: usize = 256;
/// How long a connection that is closed waits for the next byte of what the client was still sending.
const LINGER: Duration = Duration::from_millis(500);

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves until `shutdown`, then until the open connections have finished their requests, or their time is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let room = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    // Dropping `stopping` tells every connection; `gone` ends when the last of them has dropped its `alive`.
    let (stopping, stop) = watch::channel(());
    let (alive, mut gone) = mpsc::channel::<()>(1);
    let builder = Arc::new(builder(&limits));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely. Those that are open will be closed by their limits.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            // Whoever comes when even those are many is cut off: nothing here grows with the number of clients.
            if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
                tokio::spawn(turn_away(Timed::new(stream, &limits), permit));
            }
            continue;
        };
        let connection = Connection {
            builder: Arc::clone(&builder),
            router: router.clone(),
            limits,
            peer,
            _permit: permit,
            _alive: alive.clone(),
        };
        tokio::spawn(connection.run(stream, stop.clone()));
    }
    drop((listener, stopping, alive));
    if tokio::time::timeout(limits.farewell, gone.recv()).await.is_err() {
        tracing::warn!("clients that had not finished are cut off");
    }
}

fn builder(limits: &ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also runs between two requests.
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.header_bytes.max(8_192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.idle)
        .keep_alive_timeout(limits.idle)
        .max_concurrent_streams(256)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}

/// Says that there is no room. A client that has left already is told nothing.
async fn turn_away(mut stream: Timed, _permit: OwnedSemaphorePermit) {
    if stream.write_all(NO_ROOM).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

struct Connection {
    builder: Arc<Builder<TokioExecutor>>,
    router: Router,
    limits: ConnectionLimits,
    peer: SocketAddr,
    _permit: OwnedSemaphorePermit,
    _alive: mpsc::Sender<()>,
}

impl Connection {
    async fn run(self, stream: TcpStream, mut stop: watch::Receiver<()>) {
        // Frames are small, and each is wanted at once.
        let _ = stream.set_nodelay(true);
        let (router, peer) = (&self.router, self.peer);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().oneshot(request)
        });
        let stream = TokioIo::new(Timed::new(stream, &self.limits));
        let mut connection = std::pin::pin!(self.builder.serve_connection(stream, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stop.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // A client that went away, or did not speak HTTP.
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// A socket whose other end has to say something, and to read what it is told.
///
/// The limits of the HTTP library begin once it knows which version is spoken, which a client can put off for ever;
/// and it has none for a client that does not read.
struct Timed {
    stream: TcpStream,
    /// Ends the wait for enough bytes to know the version.
    opening: Option<Pin<Box<Sleep>>>,
    /// How many bytes of [`PREFACE`] came.
    matched: usize,
    write: Duration,
    linger: Duration,
    /// Ends the wait for room to write.
    stalled: Option<Pin<Box<Sleep>>>,
    /// All is said; what the client still sends is thrown away.
    closing: Option<Closing>,
}

/// The end of a connection. A socket that is closed while something unread lies in it is reset, and the reset overtakes
/// the answer: a client that was told in the middle of its upload that this is too large would see a broken connection.
struct Closing {
    gap: Pin<Box<Sleep>>,
    end: Instant,
}

impl Closing {
    fn begin(in_all: Duration) -> Self {
        Self { gap: Box::pin(tokio::time::sleep(LINGER.min(in_all))), end: Instant::now() + in_all }
    }

    /// Notes that something came; whether more is waited for.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        self.gap.as_mut().reset(self.end.min(now + LINGER));
        now < self.end
    }
}

impl Timed {
    fn new(stream: TcpStream, limits: &ConnectionLimits) -> Self {
        let opening = Some(Box::pin(tokio::time::sleep(limits.idle)));
        let (write, linger) = (limits.write, limits.linger);
        Self { stream, opening, matched: 0, write, linger, stalled: None, closing: None }
    }

    fn heard(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if PREFACE.get(self.matched) != Some(byte) {
                self.opening = None;
                return;
            }
            self.matched += 1;
        }
        if self.matched == PREFACE.len() {
            self.opening = None;
        }
    }

    fn wrote(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let write = self.write;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(write)));
        late(Some(stalled), cx)
    }
}

/// Pending until the time is over, then an error.
fn late<T>(timer: Option<&mut Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    match timer.map(|timer| timer.as_mut().poll(cx)) {
        Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        _ => Poll::Pending,
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if self.opening.is_some() {
                    self.heard(buf.filled().get(before..).unwrap_or_default());
                }
                Poll::Ready(read)
            }
            Poll::Pending => late(self.opening.as_mut(), cx),
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let linger = this.linger;
        let closing = this.closing.get_or_insert_with(|| Closing::begin(linger));
        let mut scrap = [0; 8_192];
        loop {
            let mut unread = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.stream).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() && closing.goes_on() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return closing.gap.as_mut().poll(cx).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests;
