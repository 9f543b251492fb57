//! What AWS answers when it says no.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AwsError {
    /// No region.
    #[error("no AWS region: set it in loquat.toml ([deploy] region), in AWS_REGION or in your profile")]
    NoRegion,
    /// No credentials.
    #[error("no AWS credentials: run `aws sso login`, or set AWS_PROFILE or AWS_ACCESS_KEY_ID ({0})")]
    NoCredentials(String),
    /// Nobody answered.
    #[error("{action}: {problem}")]
    Transport {
        /// What was attempted.
        action: String,
        /// What went wrong.
        problem: String,
    },
    /// AWS refused.
    #[error("{action}: {code}: {message}")]
    Refused {
        /// What was attempted.
        action: String,
        /// The HTTP status.
        status: u16,
        /// AWS's word for it.
        code: String,
        /// AWS's sentence.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("{action}: the answer cannot be read: {problem}")]
    Unreadable {
        /// What was attempted.
        action: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl AwsError {
    /// Reads an error in any of AWS's three spellings: query XML, S3's XML, JSON.
    pub(super) fn answer(action: &str, status: u16, headers: &HeaderMap, body: &Bytes) -> Self {
        let text = String::from_utf8_lossy(body);
        let json: Option<Value> = serde_json::from_str(&text).ok();
        let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (code, message) = match json {
            Some(json) => {
                let field =
                    |names: &[&str]| names.iter().find_map(|name| json[*name].as_str()).map(str::to_owned);
                (
                    field(&["__type", "code", "Code"]).or(header),
                    field(&["message", "Message", "errorMessage"]),
                )
            }
            None => (element(&text, "Code").or(header), element(&text, "Message")),
        };
        let code = code.unwrap_or_else(|| format!("HTTP {status}"));
        // `com.amazonaws…#Name` and `Name:http://…` are both just the name.
        let code =
            code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
        Self::Refused { action: action.to_owned(), status, code, message: message.unwrap_or_default() }
    }

    pub(crate) fn unreadable(action: &str, problem: impl std::fmt::Display) -> Self {
        Self::Unreadable { action: action.to_owned(), problem: problem.to_string() }
    }

    /// Whether the same call may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                *status >= 500
                    || *status == 429
                    || code.contains("Throttl")
                    || code == "TooManyRequestsException"
            }
            _ => false,
        }
    }

    /// AWS's word for a refusal.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// AWS's sentence for a refusal.
    pub fn message(&self) -> &str {
        match self {
            Self::Refused { message, .. } => message,
            _ => "",
        }
    }
}

/// The text of the first element of that name.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let end = xml[start..].find(&format!("</{name}>"))? + start;
    let text = quick_xml::escape::unescape(&xml[start..end]).ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        let cases = [
            (
                r#"{"__type":"com.amazonaws.x#NotAuthorizedException","message":"no"}"#,
                "NotAuthorizedException",
                "no",
            ),
            (
                "<ErrorResponse><Error><Code>ValidationError</Code><Message>a &lt; b</Message></Error></ErrorResponse>",
                "ValidationError",
                "a < b",
            ),
            ("<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>", "NoSuchKey", "gone"),
            ("", "HTTP 400", ""),
        ];
        for (body, code, message) in cases {
            let error = AwsError::answer("x", 400, &HeaderMap::new(), &Bytes::from_static(body.as_bytes()));
            assert_eq!((error.code(), error.message()), (code, message));
        }
    }
}
