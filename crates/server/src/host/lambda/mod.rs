//! The native Lambda host: this process is the runtime, the router answers the invocations.
//!
//! A runtime client of its own, because the runtime crate writes the response's prelude and its delimiter as two
//! small writes on a socket with Nagle's algorithm, which delays the first frame by up to 40 ms on peers that
//! delay their acknowledgements, and because it writes a failing stream's error into the body, where the client
//! takes it for text. Events are read with `lambda_http`.

mod client;
mod event;
mod response;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use bytes::Bytes;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::ENDS;
use crate::telemetry::scope::{self, InvocationFacts, Scope};
use client::{Next, RuntimeApi};

/// Where the runtime API is and how many invocations this process takes at once.
#[derive(Clone, Debug)]
pub struct LambdaHost {
    /// `AWS_LAMBDA_RUNTIME_API`: host and port.
    pub runtime_api: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: more than one on managed instances only.
    pub concurrency: usize,
}

/// What Lambda says about the invocation a request belongs to; an extension of the request.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Lambda's id for it.
    pub request_id: String,
    /// When Lambda stops this process, whatever it is doing.
    pub deadline: Instant,
}

/// Why the host ended.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// The runtime API cannot be reached at all.
    #[error("the Lambda Runtime API at {0} cannot be reached: {1}")]
    Unreachable(String, std::io::Error),
    /// The runtime API answered with something that is not its protocol.
    #[error("the Lambda Runtime API answered {0}")]
    Protocol(String),
    /// The connection failed while an invocation was answered.
    #[error("the connection to the Lambda Runtime API failed: {0}")]
    Connection(#[from] hyper::Error),
}

/// Answers invocations until Lambda closes its side.
///
/// # Errors
/// When the runtime API cannot be reached or does not speak its protocol.
pub async fn serve(router: Router, host: LambdaHost) -> Result<(), LambdaError> {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..host.concurrency.max(1) {
        workers.spawn(work(router.clone(), RuntimeApi::new(host.runtime_api.clone())));
    }
    // The first worker to end tells why; Lambda ends all of them together.
    match workers.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(panic)) => Err(LambdaError::Protocol(panic.to_string())),
        None => Ok(()),
    }
}

/// Tells Lambda that this process could not start, so that the invocation fails at once and says why.
///
/// # Errors
/// When the runtime API cannot be reached.
pub async fn report_init_error(runtime_api: &str, message: &str) -> Result<(), LambdaError> {
    let mut api = RuntimeApi::new(runtime_api.to_owned());
    api.init_error(message).await
}

async fn work(router: Router, mut api: RuntimeApi) -> Result<(), LambdaError> {
    let mut first = true;
    loop {
        let next = match api.next().await {
            Ok(Some(next)) => next,
            // A runtime API that goes away between invocations is the end of this environment.
            Ok(None) => return Ok(()),
            Err(LambdaError::Unreachable(..)) if !first => return Ok(()),
            Err(error) => return Err(error),
        };
        first = false;
        let id = next.request_id.clone();
        let facts = InvocationFacts {
            request_id: id.clone(),
            xray_trace_id: next.trace_id.clone(),
            cold_start: COLD.swap(false, Ordering::Relaxed),
        };
        let scope = Scope { invocation: Some(Arc::new(facts)), ..Scope::default() };
        if let Err(error) = scope::enter(Arc::new(scope), answer(&router, &mut api, next)).await {
            // The client left, or the answer was too large for Lambda. The next invocation is not concerned.
            tracing::warn!(request_id = %id, %error, "the invocation's answer was not taken");
        }
    }
}

async fn answer(router: &Router, api: &mut RuntimeApi, next: Next) -> Result<(), LambdaError> {
    let mut request = match event::request(&next.event) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(request_id = %next.request_id, %error, "not an HTTP event");
            return api.invocation_error(&next, "Runtime.BadEvent", &error).await;
        }
    };
    if let Some(trace) = &next.trace_id
        && let Ok(value) = http::HeaderValue::from_str(trace)
    {
        request.headers_mut().insert("x-amzn-trace-id", value);
    }
    request
        .extensions_mut()
        .insert(Invocation { request_id: next.request_id.clone(), deadline: instant(next.deadline_ms) });
    let ends = instant(next.deadline_ms).checked_sub(HAND_OVER).unwrap_or_else(Instant::now);
    let response = match ENDS.scope(ends, router.clone().oneshot(request)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    api.respond(&next, response).await
}

/// A wall-clock time of Lambda on this process's own clock.
fn instant(epoch_ms: u64) -> Instant {
    let deadline = UNIX_EPOCH + Duration::from_millis(epoch_ms);
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left
}

/// Whether this process has not had its first invocation yet.
static COLD: AtomicBool = AtomicBool::new(true);

/// How long before Lambda's deadline readers are told to carry on elsewhere.
const HAND_OVER: Duration = Duration::from_secs(20);

/// The bytes between the prelude and the body.
const DELIMITER: [u8; 8] = [0; 8];

/// A response's body as hyper sends it.
type Outgoing = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;
