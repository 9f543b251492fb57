//! What OpenAI-compatible servers answer when they do not answer.

use loquat_agent::model::{ModelError, ModelErrorKind};
use serde_json::Value;

use crate::models::failure::{self, Words};

/// An HTTP status other than success, with its body.
pub(super) fn refused(words: &Words<'_>, status: u16, body: &[u8]) -> ModelError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = if value["error"].is_null() { &value } else { &value["error"] };
    let message = text(error);
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
    if code == "insufficient_quota" {
        let what = format!("{}: the account has no quota left; check its plan and billing", words.provider);
        return ModelError::new(ModelErrorKind::Auth, what);
    }
    let kind = match status {
        _ if too_long(code, message) => ModelErrorKind::ContextTooLong,
        400 if code == "model_not_found" => ModelErrorKind::NotFound,
        _ => failure::kind_of_status(status),
    };
    words.error(kind, &format!("HTTP {status}"), message)
}

/// An error inside a stream that had begun.
pub(super) fn in_stream(provider: &str, error: &Value) -> ModelError {
    let message = text(error);
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or_default();
    let status =
        error["code"].as_u64().or(error["status"].as_u64()).and_then(|code| u16::try_from(code).ok());
    let kind = if too_long(code, message) {
        ModelErrorKind::ContextTooLong
    } else if let Some(status) = status.filter(|status| *status >= 400) {
        failure::kind_of_status(status)
    } else {
        match code {
            "rate_limit_exceeded" | "rate_limit_error" | "too_many_requests" => ModelErrorKind::Throttled,
            "invalid_request_error" | "BadRequestError" | "invalid_prompt" => ModelErrorKind::BadRequest,
            "authentication_error" | "permission_error" | "insufficient_quota" => ModelErrorKind::Auth,
            "model_not_found" | "not_found_error" => ModelErrorKind::NotFound,
            _ => ModelErrorKind::Unavailable,
        }
    };
    Words { provider, model: "", key: None, secret: None }.error(kind, "in the middle of its answer", message)
}

fn text(error: &Value) -> &str {
    error.as_str().or(error["message"].as_str()).or(error["detail"].as_str()).unwrap_or_default()
}

fn too_long(code: &str, message: &str) -> bool {
    matches!(code, "context_length_exceeded" | "exceed_context_size_error") || failure::says_too_long(message)
}
