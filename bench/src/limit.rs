//! The limit: the least that can stand between a client and a model. It keeps nothing, checks nothing and knows one
//! route; what it costs is what HTTP, twice, costs here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use anyhow::Result;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::wire::{Decoder, Form, Piece};

/// Arguments of `loquat-bench limit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// The model: the address of a mock model server.
    #[arg(long)]
    upstream: SocketAddr,
    /// Turn ConverseStream into the chat dialect, instead of copying its bytes.
    #[arg(long)]
    translate: bool,
}

type Sender = SendRequest<Full<Bytes>>;

struct State {
    upstream: SocketAddr,
    translate: bool,
    /// Connections to the model that wait for the next request.
    idle: Mutex<Vec<Sender>>,
}

/// Serves until the process is ended.
pub async fn run(args: Args) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    let state =
        Arc::new(State { upstream: args.upstream, translate: args.translate, idle: Mutex::default() });
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&state), request));
            let mut server = hyper::server::conn::http1::Builder::new();
            // An error is a client that left.
            let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

type Answer = Response<http_body_util::Either<Relay, Full<Bytes>>>;

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if request.method() == Method::GET {
        return Ok(Response::new(http_body_util::Either::Right(Full::from("{\"status\":\"ok\"}"))));
    }
    Ok(relay(state, request).await.unwrap_or_else(|error| {
        let mut response = Response::new(http_body_util::Either::Right(Full::from(error.to_string())));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

#[derive(Deserialize)]
struct Chat {
    message: String,
}

async fn relay(state: Arc<State>, request: Request<Incoming>) -> Result<Answer> {
    let body = request.into_body().collect().await?.to_bytes();
    let chat: Chat = serde_json::from_slice(&body)?;
    let body = json!({"messages": [{"role": "user", "content": [{"text": chat.message}]}]}).to_string();
    let mut sender = connection(&state).await?;
    let request = Request::post("/model/mock/converse-stream")
        .header("host", state.upstream.to_string())
        .header("content-type", "application/json")
        .body(Full::from(body))?;
    let response = sender.send_request(request).await?;
    let decoder = state.translate.then(|| Decoder::new(Form::Converse));
    let kind = if state.translate { "text/event-stream" } else { "application/vnd.amazon.eventstream" };
    let relay = Relay { body: response.into_body(), decoder, sender: Some(sender), state };
    Ok(Response::builder().header("content-type", kind).body(http_body_util::Either::Left(relay))?)
}

async fn connection(state: &State) -> Result<Sender> {
    loop {
        let idle = state.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(mut sender) = idle else { break };
        if sender.ready().await.is_ok() {
            return Ok(sender);
        }
    }
    let socket = TcpStream::connect(state.upstream).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The model's body on its way to the client.
struct Relay {
    body: Incoming,
    decoder: Option<Decoder>,
    sender: Option<Sender>,
    state: Arc<State>,
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                if let Some(sender) = self.sender.take() {
                    self.state.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
                }
                return Poll::Ready(None);
            };
            let Ok(data) = frame?.into_data() else { continue };
            let Some(decoder) = &mut self.decoder else { return Poll::Ready(Some(Ok(Frame::data(data)))) };
            let out = translate(decoder, &data)?;
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
    }
}

/// ConverseStream to the chat dialect.
fn translate(decoder: &mut Decoder, data: &[u8]) -> Result<Bytes, String> {
    let mut out = BytesMut::with_capacity(data.len());
    let mut failed = None;
    decoder.feed(data, |piece| match piece {
        Piece::Text(text) => {
            out.put_slice(b"data: {\"text\":");
            failed = serde_json::to_writer((&mut out).writer(), &text).err();
            out.put_slice(b"}\n\n");
        }
        Piece::Done => out.put_slice(b"event: done\ndata: {}\n\n"),
        Piece::Failed(_) => out.put_slice(b"event: error\ndata: {}\n\n"),
    })?;
    match failed {
        Some(error) => Err(error.to_string()),
        None => Ok(out.freeze()),
    }
}
