//! JSON bodies, with errors that say what is wrong.

use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body of the type `application/json`.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.to_str().unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json")
        });
        if !is_json {
            let detail = "The body has to be JSON, with the header content-type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
                .into_response());
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            let rejected = rejection.into_response();
            match rejected.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    "The body is over the limit.",
                )
                .into_response(),
                _ => Problem::bad("invalid_body", "The body could not be read.").into_response(),
            }
        })?;
        parse(&body).map(Self).map_err(axum::response::IntoResponse::into_response)
    }
}

/// Reads a value from JSON text.
///
/// # Errors
/// A [`Problem`] that says what is wrong and where.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        if !error.is_data() {
            return Problem::bad("invalid_json", format!("The body is not valid JSON: {text}."));
        }
        let code = if text.starts_with("unknown field") { "unknown_field" } else { "invalid_field" };
        Problem::bad(code, format!("The body does not have the expected form: {text}."))
    })
}
