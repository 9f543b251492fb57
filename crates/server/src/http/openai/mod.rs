//! `/v1/…`: what clients of OpenAI's API call. Errors are told as OpenAI tells them.

mod chat;
mod fields;
mod input;
mod messages;
mod models;
mod responses;
mod wishes;

use axum::Router;
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get, post};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::error_form;
use super::problem::Problem;
use crate::app::AppState;
use crate::ids::RunId;

/// The routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::get))
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/responses", post(responses::create))
        .route("/v1/responses/{id}", get(responses::get))
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route("/v1/{*rest}", any(unknown))
        .method_not_allowed_fallback(crate::app::method_not_allowed)
        .layer(middleware::from_fn(|request, next| error_form::tell(request, next, error)))
}

async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_url", "This part of OpenAI's API is not served here.")
}

/// What an answer that is sent whole has in its head: the run, and whether the SDK may send the same again by itself if it
/// failed. Where a tool may have run, or the message is stored, it may not.
fn mark(answer: &mut Response, run: &RunId, repeatable: bool) {
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(run.as_str()) {
        headers.insert(HeaderName::from_static("x-loquat-run-id"), id);
    }
    if !repeatable {
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
}

/// A problem in OpenAI's form.
fn error(problem: &Problem) -> Value {
    let (kind, code) = match problem.status() {
        StatusCode::UNAUTHORIZED => ("authentication_error", "invalid_api_key"),
        StatusCode::FORBIDDEN => ("permission_error", problem.code()),
        StatusCode::TOO_MANY_REQUESTS => ("rate_limit_error", "rate_limit_exceeded"),
        _ if problem.code() == "context_too_long" => ("invalid_request_error", "context_length_exceeded"),
        status if status.is_server_error() => ("server_error", problem.code()),
        _ => ("invalid_request_error", problem.code()),
    };
    json!({"error": {"message": problem.detail(), "type": kind, "param": problem.param(), "code": code}})
}
