//! A response in the form Lambda's HTTP integrations read: a JSON prelude, eight NUL bytes, the body as it comes.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header::SET_COOKIE};
use http_body::Frame;
use http_body_util::BodyExt as _;
use serde::Serialize;

use super::{DELIMITER, Outgoing};

/// The trailers a stream that breaks off may end with.
pub(super) const TRAILERS: &str = "lambda-runtime-function-error-type, lambda-runtime-function-error-body";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prelude {
    status_code: u16,
    /// One value a name: a list here is not API Gateway's format.
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
}

/// The response as one body for the runtime API.
pub(super) fn outgoing(response: Response) -> Outgoing {
    let (parts, body) = response.into_parts();
    let mut prelude =
        Prelude { status_code: parts.status.as_u16(), headers: BTreeMap::new(), cookies: Vec::new() };
    for (name, value) in &parts.headers {
        let Ok(value) = value.to_str() else { continue };
        if name == SET_COOKIE {
            prelude.cookies.push(value.to_owned());
        } else {
            prelude
                .headers
                .entry(name.as_str().to_owned())
                .and_modify(|known| {
                    known.push_str(", ");
                    known.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
    }
    let mut head = BytesMut::from(&*serde_json::to_vec(&prelude).unwrap_or_default());
    head.extend_from_slice(&DELIMITER);
    Streamed { head: Some(head), body, state: State::Streaming }.boxed_unsync()
}

enum State {
    Streaming,
    /// The body failed; what remains is to say so in the trailers.
    Failed(String),
    Done,
}

/// The prelude and the body behind it; never an error.
struct Streamed {
    head: Option<BytesMut>,
    body: Body,
    state: State,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let State::Failed(message) = &this.state {
            let trailers = trailers(message);
            this.state = State::Done;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        loop {
            if matches!(this.state, State::Done) {
                return Poll::Ready(None);
            }
            let data = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Some(data),
                    Err(_trailers) => continue,
                },
                Poll::Ready(Some(Err(error))) => {
                    // Lambda's way to say that a stream broke off: the caller sees a cut stream, not a whole one.
                    tracing::error!(%error, "the response's body failed");
                    this.state = State::Failed(error.to_string());
                    None
                }
                Poll::Ready(None) => {
                    this.state = State::Done;
                    None
                }
                // The status and the headers do not wait for the body's first frame, but go with it if it is there.
                Poll::Pending => {
                    return match this.head.take() {
                        Some(head) => Poll::Ready(Some(Ok(Frame::data(head.freeze())))),
                        None => Poll::Pending,
                    };
                }
            };
            let out = match (this.head.take(), data) {
                (Some(mut head), data) => {
                    head.extend_from_slice(&data.unwrap_or_default());
                    head.freeze()
                }
                (None, Some(data)) => data,
                (None, None) => match &this.state {
                    State::Failed(message) => {
                        let trailers = trailers(message);
                        this.state = State::Done;
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                    _ => return Poll::Ready(None),
                },
            };
            return Poll::Ready(Some(Ok(Frame::data(out))));
        }
    }
}

fn trailers(message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("lambda-runtime-function-error-type", HeaderValue::from_static("Runtime.StreamError"));
    let body = serde_json::json!({ "errorType": "Runtime.StreamError", "errorMessage": message }).to_string();
    let body = base64::engine::general_purpose::STANDARD.encode(body);
    if let Ok(value) = HeaderValue::from_str(&body) {
        trailers.insert("lambda-runtime-function-error-body", value);
    }
    trailers
}
