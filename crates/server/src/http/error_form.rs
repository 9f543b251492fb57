//! Errors of a dialect's routes, told in the dialect's own form.
//!
//! Handlers, extractors and layers all answer with a [`Problem`]; this layer around a group of routes writes it anew.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::Value;

use super::problem::Problem;

/// Passes an answer on; a problem is told in the words of `form`. Status and headers stay.
pub(super) async fn tell(request: Request, next: Next, form: fn(&Problem) -> Value) -> Response {
    let response = next.run(request).await;
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        // The router's own rejections are plain text.
        None if response.status().is_client_error() && is_plain(&response) => {
            Problem::new(response.status(), "invalid_request", "The request could not be read.")
        }
        None => return response,
    };
    let (mut parts, _) = response.into_parts();
    parts.extensions.remove::<Problem>();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(form(&problem).to_string()))
}

fn is_plain(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}
