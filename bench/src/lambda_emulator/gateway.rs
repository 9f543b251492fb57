//! The caller's side: authorizer, CORS, the stream with its limits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::{EventKind, Part, Shared, event::Incoming};

/// API Gateway's limits: what comes in, what goes out before it slows down, and to what.
const REQUEST_LIMIT: usize = 10 * 1024 * 1024;
const FAST_BYTES: u64 = 10 * 1024 * 1024;
const SLOW_BYTES_PER_SECOND: u64 = 2 * 1024 * 1024;
/// The prelude must end within the first 16 KB.
const PRELUDE_LIMIT: usize = 16 * 1024;
/// Paths that have no authorizer.
const OPEN: &[&str] = &["/health", "/config.json", "/openapi.json"];

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let rest = shared.options.event == EventKind::Rest;
    if rest && request.method() == "OPTIONS" {
        return with_cors(&shared, StatusCode::NO_CONTENT.into_response());
    }
    let live = Live::enter(&shared);
    if shared.live.load(Ordering::Relaxed) > shared.options.throttle {
        return gateway_error(&shared, 429, "TooManyRequestsException", "Too Many Requests");
    }
    let (parts, body) = request.into_parts();
    let mut path = parts.uri.path().to_owned();
    if rest {
        let Some(rest) = path.strip_prefix(&format!("/{}", shared.options.stage)) else {
            return gateway_error(
                &shared,
                403,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            );
        };
        path = rest.to_owned();
    }
    let mut claims = None;
    if rest
        && let Some(issuer) = &shared.options.issuer
        && !OPEN.contains(&path.as_str())
    {
        match issuer.claims(&parts.headers).await {
            Ok(found) => claims = Some(found),
            Err(_) => return gateway_error(&shared, 401, "UnauthorizedException", "Unauthorized"),
        }
    }
    let Ok(body) = Limited::new(body, REQUEST_LIMIT).collect().await.map(http_body_util::Collected::to_bytes)
    else {
        return gateway_error(&shared, 413, "RequestTooLargeException", "Request Too Long");
    };
    let number = shared.invocations.fetch_add(1, Ordering::Relaxed);
    let id = format!("00000000-0000-4000-8000-{number:012}");
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now_ms = u64::try_from(now_ms).unwrap_or_default();
    let event = Incoming {
        id: &id,
        method: &parts.method,
        path: &path,
        uri: &parts.uri,
        headers: &parts.headers,
        body: &body,
        claims,
        stage: &shared.options.stage,
        now_ms,
    }
    .event(shared.options.event);
    let total = shared.options.total;
    let deadline_ms = now_ms + u64::try_from(total.as_millis()).unwrap_or_default();
    let parts = shared.invoke(&id, event.to_string().into(), deadline_ms);
    let answer = Answer { shared: Arc::clone(&shared), id, parts, ends: Instant::now() + total, _live: live };
    answer.respond().await
}

/// A request being answered, until its last byte.
struct Live(Arc<Shared>);

impl Live {
    fn enter(shared: &Arc<Shared>) -> Self {
        shared.live.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Prelude {
    status_code: u16,
    /// Strings only, as API Gateway's format has it: a list here is refused, so that tests see it.
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    multi_value_headers: std::collections::BTreeMap<String, Vec<String>>,
    #[serde(default)]
    cookies: Vec<String>,
}

struct Answer {
    shared: Arc<Shared>,
    id: String,
    parts: mpsc::UnboundedReceiver<Part>,
    ends: Instant,
    _live: Live,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.shared.running().remove(&self.id);
    }
}

impl Answer {
    /// The next part, or `None` when a limit was reached first.
    async fn part(&mut self) -> Option<Part> {
        let limit = self.ends.min(Instant::now() + self.shared.options.idle);
        tokio::time::timeout_at(limit, self.parts.recv()).await.ok().map(|part| part.unwrap_or(Part::Broken))
    }

    async fn respond(mut self) -> Response {
        let shared = Arc::clone(&self.shared);
        let mut head = BytesMut::new();
        loop {
            match self.part().await {
                None => {
                    return gateway_error(
                        &shared,
                        504,
                        "GatewayTimeoutException",
                        "Endpoint request timed out",
                    );
                }
                Some(Part::Head { answer: true }) => {}
                Some(Part::Head { answer: false } | Part::End | Part::Broken) => return bad_gateway(&shared),
                Some(Part::Data(data)) => {
                    head.extend_from_slice(&data);
                    if let Some(end) = head.windows(8).position(|window| window == [0; 8]) {
                        let Ok(prelude) = serde_json::from_slice::<Prelude>(&head[..end]) else {
                            return bad_gateway(&shared);
                        };
                        let rest = head.split_off(end + 8).freeze();
                        return self.stream(prelude, rest);
                    }
                    if head.len() > PRELUDE_LIMIT {
                        return bad_gateway(&shared);
                    }
                }
            }
        }
    }

    fn stream(self, prelude: Prelude, rest: Bytes) -> Response {
        let mut headers = HeaderMap::new();
        let single = prelude.headers.into_iter().map(|(name, value)| (name, vec![value]));
        let cookies = ("set-cookie".to_owned(), prelude.cookies);
        for (name, values) in single.chain(prelude.multi_value_headers).chain([cookies]) {
            for value in values {
                let name = header::HeaderName::try_from(name.as_str());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                    headers.append(name, value);
                }
            }
        }
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::TRANSFER_ENCODING);
        if let Ok(id) = HeaderValue::try_from(self.id.as_str()) {
            headers.insert("x-amzn-requestid", id);
        }
        let started = Instant::now();
        let state = (self, Some(rest), 0_u64, started, false);
        let body =
            futures_util::stream::unfold(state, |(mut answer, rest, sent, started, ended)| async move {
                if ended {
                    return None;
                }
                let data = match rest.filter(|rest| !rest.is_empty()) {
                    Some(rest) => rest,
                    None => match answer.part().await {
                        Some(Part::Data(data)) => data,
                        Some(Part::Head { .. }) => Bytes::new(),
                        Some(Part::End) => return None,
                        // A limit or a broken answer: the connection is cut, which callers see as a cut stream.
                        Some(Part::Broken) | None => {
                            let cut = std::io::Error::other("cut");
                            return Some((Err(cut), (answer, None, sent, started, true)));
                        }
                    },
                };
                let sent = sent + data.len() as u64;
                slow_down(sent, started).await;
                Some((Ok(data), (answer, None, sent, started, false)))
            });
        let mut response = Response::new(Body::from_stream(body));
        *response.status_mut() = StatusCode::from_u16(prelude.status_code).unwrap_or(StatusCode::BAD_GATEWAY);
        *response.headers_mut() = headers;
        response
    }
}

/// Past its first ten megabytes a stream goes at two megabytes a second.
async fn slow_down(sent: u64, started: Instant) {
    if let Some(over) = sent.checked_sub(FAST_BYTES) {
        let due = started + Duration::from_millis(over * 1_000 / SLOW_BYTES_PER_SECOND);
        tokio::time::sleep_until(due).await;
    }
}

fn bad_gateway(shared: &Shared) -> Response {
    gateway_error(shared, 502, "InternalServerErrorException", "Internal server error")
}

/// An answer of the gateway's own, with what its gateway responses add.
fn gateway_error(shared: &Shared, status: u16, kind: &'static str, message: &str) -> Response {
    let body: Value = json!({ "message": message });
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let response = (status, [("x-amzn-errortype", kind)], axum::Json(body)).into_response();
    if shared.options.event == EventKind::Rest { with_cors(shared, response) } else { response }
}

fn with_cors(shared: &Shared, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(origin) = HeaderValue::try_from(shared.options.cors_origin.as_str()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Authorization,Content-Type,Last-Event-ID"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("DELETE,GET,OPTIONS,PATCH,POST"),
    );
    response
}
