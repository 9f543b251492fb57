//! JSON bodies, with errors that say what is wrong.

use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse as _;
use axum::response::Response;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::guard::BodyRules;
use super::identity;
use super::problem::Problem;
use crate::limits::{BodyError, is_deeper_than, read_whole};

/// A body of the type `application/json`.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let is_json = request.headers().get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.to_str().unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            let kind = kind.to_ascii_lowercase();
            // `application/a2a+json` is JSON too.
            kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
        });
        if !is_json {
            let detail = "The body has to be JSON, with the header content-type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
                .into_response());
        }
        let rules = request.extensions().get::<BodyRules>().copied().unwrap_or_default();
        let (parts, body) = request.into_parts();
        let body = read_whole(&parts.headers, body, rules.bytes, rules.time).await.map_err(|error| {
            let detail = error.to_string();
            match error {
                BodyError::TooLarge { .. } => {
                    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
                }
                BodyError::Slow => Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail),
                BodyError::Cut => Problem::bad("invalid_body", detail),
            }
            .into_response()
        })?;
        if is_deeper_than(&body, rules.depth) {
            let detail = format!("The body's JSON is nested deeper than {} levels.", rules.depth);
            return Err(Problem::bad("invalid_json", detail).into_response());
        }
        parse(&body).map(Self).map_err(axum::response::IntoResponse::into_response)
    }
}

/// Reads a value from JSON text. Members of the whole that say who somebody is are passed over.
///
/// # Errors
/// A [`Problem`] that says what is wrong and where.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).or_else(|error| without_claims(body, error)).map_err(|error| {
        let text = error.to_string();
        if !error.is_data() {
            return Problem::bad("invalid_json", format!("The body is not valid JSON: {text}."));
        }
        let code = if text.starts_with("unknown field") { "unknown_field" } else { "invalid_field" };
        Problem::bad(code, format!("The body does not have the expected form: {text}."))
    })
}

/// Reads again what was refused for saying who somebody is, without that.
fn without_claims<T: DeserializeOwned>(
    body: &[u8],
    mut error: serde_json::Error,
) -> Result<T, serde_json::Error> {
    let mut rest: Option<Map<String, Value>> = None;
    loop {
        let complaint = error.to_string();
        let Some(name) = identity::claimed(&complaint) else { return Err(error) };
        let mut members = match rest.take() {
            Some(members) => members,
            None => serde_json::from_slice(body)?,
        };
        // Not of the whole but of something within: that is a mistake as any other.
        if members.remove(name).is_none() {
            return Err(error);
        }
        match T::deserialize(&members) {
            Ok(value) => return Ok(value),
            Err(next) => (error, rest) = (next, Some(members)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        message: String,
        #[serde(default)]
        owner: Option<String>,
        #[serde(default)]
        parts: Vec<Wanted>,
    }

    #[test]
    fn who_one_is_cannot_be_said_and_other_mistakes_are_told() {
        let said = |body: &str| parse::<Wanted>(body.as_bytes());
        let body = r#"{"user": {"id": 1}, "message": "x", "user_id": "ann", "sub": null}"#;
        assert_eq!(said(body).unwrap(), Wanted { message: "x".into(), owner: None, parts: vec![] });
        // A name that the body knows is its own.
        assert_eq!(said(r#"{"message": "x", "owner": "a"}"#).unwrap().owner.as_deref(), Some("a"));
        for (body, code) in [
            (r#"{"message": "x", "nope": 1}"#, "unknown_field"),
            (r#"{"message": "x", "user": 1, "nope": 1}"#, "unknown_field"),
            (r#"{"message": "x", "parts": [{"message": "y", "user": 1}]}"#, "unknown_field"),
            (r#"{"user": 1, "message": 1}"#, "invalid_field"),
            (r#"{"user": 1}"#, "invalid_field"),
            (r#"{"user": 1, "message": "x""#, "invalid_json"),
        ] {
            assert_eq!(said(body).unwrap_err().code(), code, "{body}");
        }
    }
}
