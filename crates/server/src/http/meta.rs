//! Routes about the service itself.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::app::AppState;

/// Whether the service takes work. Does no I/O.
pub async fn health(State(state): State<AppState>) -> Response {
    if state.engine.draining() {
        (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"status": "draining"}))).into_response()
    } else {
        axum::Json(json!({"status": "ok"})).into_response()
    }
}

/// What the page needs to know before anybody has signed in. Holds nothing secret.
pub async fn config(State(state): State<AppState>) -> Response {
    ([(http::header::CACHE_CONTROL, "no-cache")], axum::Json(&*state.settings.page_config)).into_response()
}
