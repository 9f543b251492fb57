//! The HTTP API's table of contents: routes, layers, and what handlers share.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Extension, Router};
use http::StatusCode;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use crate::auth::Authenticator;
use crate::dialects::config::DialectsConfig;
use crate::http::ai_sdk::Told;
use crate::http::guard::Guard;
use crate::http::problem::Problem;
use crate::http::security::{self, Security};
use crate::http::{
    a2a, admin, ag_ui, agentcore, ai_sdk, chat, mcp, memory, meta, metrics, openai, openapi, runs, sessions,
    usage,
};
use crate::page;
use crate::runs::engine::{Engine, OnBusy};
use crate::telemetry::{self, Telemetry};
use crate::tools::MemoryStore;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The runs and sessions.
    pub engine: Arc<Engine>,
    /// Who is asking.
    pub auth: Arc<dyn Authenticator>,
    /// What requests pass before handlers see them.
    pub guard: Arc<Guard>,
    /// What browsers are told.
    pub security: Arc<Security>,
    /// What does not change while the service runs.
    pub settings: Arc<Settings>,
    /// Where facts about users are kept, if they are.
    pub memory: Option<Arc<dyn MemoryStore>>,
    /// Where figures go.
    pub telemetry: Arc<Telemetry>,
}

/// What does not change while the service runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What happens to a message that finds its session busy, unless the request says otherwise.
    pub on_busy: OnBusy,
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// The largest attachment, in bytes.
    pub attachment_bytes: usize,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Whether the model takes pictures.
    pub attach_images: bool,
    /// Whether the model takes documents.
    pub attach_documents: bool,
    /// How clients of other protocols are answered.
    pub dialects: DialectsConfig,
    /// The answer of `GET /config.json`.
    pub page_config: Arc<Value>,
}

/// The whole HTTP API.
pub fn router(state: AppState) -> Router {
    let body_limit = DefaultBodyLimit::max(state.settings.body_bytes);
    let body_rules = Extension(state.guard.body);
    let security = Arc::clone(&state.security);
    let telemetry = Arc::clone(&state.telemetry);
    Router::new()
        .route("/chat", post(chat::post))
        .route("/runs/{id}/events", get(runs::events))
        .route("/runs/{id}/stop", post(runs::stop))
        .route("/runs/{id}/approvals", post(runs::approvals))
        .route("/runs/{id}/feedback", post(runs::feedback))
        .route("/sessions", get(sessions::list).delete(sessions::delete_all))
        .route("/sessions/{id}", patch(sessions::rename).get(sessions::get).delete(sessions::delete))
        .route("/sessions/{id}/export", get(sessions::export))
        .route("/admin/users/{user}/sessions", get(admin::list).delete(admin::delete_all))
        .route("/admin/users/{user}/sessions/{id}", delete(admin::delete))
        .route("/admin/users/{user}/usage", get(usage::of_user))
        .route("/usage", get(usage::get))
        .route("/memory", get(memory::list).delete(memory::delete_all))
        .route("/memory/{id}", delete(memory::delete))
        .route("/health", get(meta::health))
        .route("/config.json", get(meta::config))
        .route("/metrics", get(metrics::get))
        .route("/openapi.json", get(openapi::get))
        .merge(openai::routes())
        .merge(agentcore::routes())
        .merge(a2a::routes())
        .merge(mcp::routes())
        .route("/ag-ui", post(ag_ui::post).get(ag_ui::capabilities))
        .merge(ai_sdk::routes())
        .fallback(page::serve)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(body_limit)
        .layer(body_rules)
        .layer(middleware::from_fn(plain_rejections))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(security, security::layer))
        .layer(middleware::from_fn_with_state(telemetry, telemetry::http::layer))
        .with_state(state)
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This route does not know this method.",
    )
}

/// The router's own rejections (a query or a path that cannot be read) are plain text; clients get a problem.
async fn plain_rejections(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let plain = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let told = response.extensions().get::<Told>().is_some();
    if response.status().is_client_error()
        && plain
        && !told
        && response.status() != StatusCode::METHOD_NOT_ALLOWED
    {
        let (parts, body) = response.into_parts();
        let detail = match axum::body::to_bytes(body, 4096).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => "The request could not be read.".to_owned(),
        };
        return Problem::new(parts.status, "invalid_request", detail).into_response();
    }
    response
}

#[allow(clippy::needless_pass_by_value, reason = "the layer hands the payload over")]
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    let detail = "Something went wrong on the server. It was logged.";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
}
