//! What Anthropic answers when it does not answer.

use loquat_agent::model::{ModelError, ModelErrorKind};
use serde_json::Value;

use crate::models::failure::{self, Words};

/// An HTTP status other than success, with its body.
pub(super) fn refused(words: &Words<'_>, status: u16, body: &[u8]) -> ModelError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = value["error"]["message"].as_str().unwrap_or_default();
    let kind = kind(&value["error"]).unwrap_or_else(|| failure::kind_of_status(status));
    if kind == ModelErrorKind::BadRequest && message.contains("credit balance") {
        let what = format!("{}: the account has no credit left; check its plan and billing", words.provider);
        return ModelError::new(ModelErrorKind::Auth, what);
    }
    words.error(kind, &format!("HTTP {status}"), message)
}

/// An error inside a stream that had begun.
pub(super) fn in_stream(provider: &str, error: &Value) -> ModelError {
    let message = error["message"].as_str().unwrap_or_default();
    let kind = kind(error).unwrap_or(ModelErrorKind::Unavailable);
    Words { provider, model: "", key: None, secret: None }.error(kind, "in the middle of its answer", message)
}

fn kind(error: &Value) -> Option<ModelErrorKind> {
    let message = error["message"].as_str().unwrap_or_default();
    Some(match error["type"].as_str()? {
        "invalid_request_error" | "request_too_large" if failure::says_too_long(message) => {
            ModelErrorKind::ContextTooLong
        }
        "request_too_large" => ModelErrorKind::ContextTooLong,
        "invalid_request_error" => ModelErrorKind::BadRequest,
        "authentication_error" | "permission_error" | "billing_error" => ModelErrorKind::Auth,
        "not_found_error" => ModelErrorKind::NotFound,
        "rate_limit_error" => ModelErrorKind::Throttled,
        "timeout_error" => ModelErrorKind::Timeout,
        "api_error" | "overloaded_error" => ModelErrorKind::Unavailable,
        _ => return None,
    })
}
