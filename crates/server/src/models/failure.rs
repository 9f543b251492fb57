//! Words for failures: what happened, and what to do about it.

use loquat_agent::model::{ModelError, ModelErrorKind};

use crate::secret::Secret;

/// The longest part of a provider's own message that is passed on.
const MAX_DETAIL: usize = 240;

/// What is known about the call when it fails.
pub(crate) struct Words<'a> {
    /// Who refused.
    pub(crate) provider: &'a str,
    /// The provider's name of the model; empty if it does not matter.
    pub(crate) model: &'a str,
    /// The variable and setting that hold the key, if there is one.
    pub(crate) key: Option<&'a str>,
    /// The key itself, so that it can be taken out of the provider's message.
    pub(crate) secret: Option<&'a Secret>,
}

impl Words<'_> {
    /// An error of a class. `status` is what the provider answered, `detail` its own words.
    pub(crate) fn error(&self, kind: ModelErrorKind, status: &str, detail: &str) -> ModelError {
        let Self { provider, model, .. } = self;
        let detail = self.detail(detail);
        let what = match kind {
            // The provider's words may quote the key: they are left out.
            ModelErrorKind::Auth => match self.key {
                Some(key) => format!("{provider} refused the credentials ({status}): check {key}"),
                None => format!("{provider} refused the credentials ({status}){detail}"),
            },
            ModelErrorKind::NotFound if model.is_empty() => {
                format!("{provider} does not know what was asked for ({status}){detail}")
            }
            ModelErrorKind::NotFound => format!(
                "{provider} does not know the model \"{model}\" ({status}){detail}: check its name and that this account may use it"
            ),
            ModelErrorKind::Throttled => {
                format!("{provider} is limiting this account's requests ({status}){detail}: try again later")
            }
            ModelErrorKind::Unavailable => {
                format!("{provider} is not available ({status}){detail}: try again later")
            }
            ModelErrorKind::Timeout => format!("{provider} took too long ({status}){detail}"),
            ModelErrorKind::ContextTooLong => {
                format!("the conversation is too long for the model ({status}){detail}")
            }
            _ => format!("{provider} refused the request ({status}){detail}"),
        };
        ModelError::new(kind, what)
    }

    /// The provider's message, shortened. Validation errors of some servers quote the whole input; what follows such a
    /// quotation's beginning is cut off, so that no message of a user gets into a log.
    fn detail(&self, detail: &str) -> String {
        let line = detail.lines().next().unwrap_or_default();
        let end = ["'input'", "\"input\"", "input_value="]
            .iter()
            .filter_map(|mark| line.find(mark))
            .min()
            .unwrap_or(line.len());
        let mut line = line[..end].trim_end_matches([',', ' ', '{', '[']).trim().to_owned();
        if let Some(secret) = self.secret.filter(|secret| !secret.expose().is_empty()) {
            line = line.replace(secret.expose(), "***");
        }
        if line.len() > MAX_DETAIL {
            let end = (0..=MAX_DETAIL).rev().find(|at| line.is_char_boundary(*at)).unwrap_or_default();
            line.truncate(end);
            line.push('…');
        }
        if line.is_empty() { line } else { format!(": {line}") }
    }
}

/// The class of an HTTP status.
pub(crate) fn kind_of_status(status: u16) -> ModelErrorKind {
    match status {
        401..=403 => ModelErrorKind::Auth,
        404 => ModelErrorKind::NotFound,
        408 => ModelErrorKind::Timeout,
        413 => ModelErrorKind::ContextTooLong,
        429 => ModelErrorKind::Throttled,
        400..=499 => ModelErrorKind::BadRequest,
        500..=599 => ModelErrorKind::Unavailable,
        // Not an error and not a success: a redirect, say, from something that is no model server.
        _ => ModelErrorKind::BadRequest,
    }
}

/// Whether a provider's message says that the input does not fit into the context window.
pub(crate) fn says_too_long(message: &str) -> bool {
    const PHRASES: &[&str] = &[
        "maximum context length",
        "context length exceeded",
        "context_length_exceeded",
        "context window",
        "context size",
        "exceeds the available context",
        "prompt is too long",
        "input is too long",
        "input length and `max_tokens` exceed",
        "too many input tokens",
        "too many total text bytes",
        "request_too_large",
    ];
    let lower = message.to_ascii_lowercase();
    PHRASES.iter().any(|phrase| lower.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_neither_keys_nor_quoted_input() {
        let secret = Secret::new("sk-123");
        let words = Words { provider: "P", model: "m", key: Some("P_KEY"), secret: Some(&secret) };
        let error =
            words.error(ModelErrorKind::BadRequest, "HTTP 400", "bad field for sk-123, 'input': 'my diary'");
        assert_eq!(error.message, "P refused the request (HTTP 400): bad field for ***");
        let error = words.error(ModelErrorKind::Auth, "HTTP 401", "Incorrect API key provided: sk-1*3");
        assert_eq!(error.message, "P refused the credentials (HTTP 401): check P_KEY");
        let error = words.error(ModelErrorKind::Throttled, "HTTP 429", &"é".repeat(500));
        assert!(error.message.len() < 350, "{}", error.message);
    }
}
