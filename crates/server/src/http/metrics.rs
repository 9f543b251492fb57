//! `GET /metrics`: Prometheus text. It holds counts alone, but counts of everybody: where people sign in it is for an
//! administrator, or for whoever has the token made for it; where nobody signs in it is as open as the rest.

use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header;
use subtle::ConstantTimeEq as _;

use super::guard::Admin;
use super::problem::Problem;
use crate::app::AppState;
use crate::auth::{AuthError, Principal};
use crate::telemetry::process;

/// All metrics of this process.
///
/// # Errors
/// 401 without the configured token, else 404 for whoever signs in and is no administrator.
pub async fn get(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    match &state.telemetry.metrics_token {
        Some(token) => {
            let given = parts.headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
            let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
            if !bool::from(given.ct_eq(token.expose().as_bytes())) {
                return Err(AuthError::Unauthorized { reason: "metrics_token" }.into());
            }
        }
        None if state.auth.kind() == "none" => {
            Principal::from_request_parts(&mut parts, &state).await?;
        }
        None => {
            Admin::from_request_parts(&mut parts, &state).await?;
        }
    }
    let mut text = String::with_capacity(16 * 1024);
    state.telemetry.metrics.render(&mut text);
    state.telemetry.spending.render(&mut text);
    process::render(&mut text, state.engine.live(), state.engine.draining());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
