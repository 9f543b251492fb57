//! The Lambda Runtime API and as much of the Extensions API as the Lambda Web Adapter asks for.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::{Part, Shared};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .route("/2020-01-01/extension/register", post(register))
        .route("/2020-01-01/extension/event/next", get(park))
        .with_state(shared)
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let waiting = shared.next.lock().await.recv().await;
    let Some(waiting) = waiting else { return http_status(410) };
    Response::builder()
        .header("lambda-runtime-aws-request-id", waiting.id)
        .header("lambda-runtime-deadline-ms", waiting.deadline_ms)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:function",
        )
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .header("content-type", "application/json")
        .body(Body::from(waiting.event))
        .unwrap_or_else(|_| http_status(500))
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, request: Request) -> Response {
    let Some(parts) = shared.running().get(&id).cloned() else { return http_status(404) };
    let _ = parts.send(Part::Head { answer: true });
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            let _ = parts.send(Part::Broken);
            return http_status(400);
        };
        match frame.into_data() {
            Ok(data) => {
                if parts.send(Part::Data(data)).is_err() {
                    // Nobody waits any more: Lambda takes the rest all the same and throws it away.
                }
            }
            Err(frame) => {
                let failed = frame
                    .into_trailers()
                    .is_ok_and(|trailers| trailers.contains_key("lambda-runtime-function-error-type"));
                if failed {
                    let _ = parts.send(Part::Broken);
                    return accepted();
                }
            }
        }
    }
    let _ = parts.send(Part::End);
    accepted()
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: String) -> Response {
    let Some(parts) = shared.running().get(&id).cloned() else { return http_status(404) };
    let _ = parts.send(Part::Head { answer: false });
    let _ = parts.send(Part::Data(body.into()));
    let _ = parts.send(Part::End);
    accepted()
}

async fn init_error(State(shared): State<Arc<Shared>>, body: String) -> Response {
    shared.init_errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(body);
    accepted()
}

async fn register() -> Response {
    let body =
        Json(json!({ "functionName": "function", "functionVersion": "$LATEST", "handler": "bootstrap" }));
    ([("lambda-extension-identifier", "extension")], body).into_response()
}

/// An extension that waits for an event waits until the instance ends.
async fn park() -> Response {
    std::future::pending().await
}

fn accepted() -> Response {
    (axum::http::StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}

fn http_status(code: u16) -> Response {
    axum::http::StatusCode::from_u16(code).unwrap_or_default().into_response()
}
