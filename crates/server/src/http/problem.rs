//! Errors outside a stream: `application/problem+json` (RFC 9457) with a stable `code`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::auth::AuthError;
use crate::limits::Limited;
use crate::runs::engine::StartError;
use crate::runs::journal::JournalError;
use crate::sessions::blob::BlobError;
use crate::sessions::index::IndexError;
use crate::sessions::service::SessionError;
use crate::telemetry::scope;

/// An answer that is an error. What it says is for the client; what went wrong inside is logged, never shown.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    retry_after: Option<u64>,
    /// The part of the request that is wrong, for forms that have a place for it.
    param: Option<String>,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem with a stable code and words for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            retry_after: None,
            param: None,
            more: Map::new(),
        }
    }

    /// A request that is wrong.
    pub fn bad(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Unknown and foreign look the same.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing here.")
    }

    /// A run that failed, where nothing of its answer has been sent.
    #[must_use]
    pub fn of_run(error: &str, code: &str) -> Self {
        let status = match code {
            "model_throttled" => StatusCode::TOO_MANY_REQUESTS,
            "model_unavailable" | "model_not_installed" | "run_lost" | "run_not_started" => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            "model_timeout" => StatusCode::GATEWAY_TIMEOUT,
            "model_stream_cut" | "model_protocol" | "model_malformed_output" => StatusCode::BAD_GATEWAY,
            "context_too_long" | "model_refused_request" => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { code: code.to_owned().into(), ..Self::new(status, "", error) }
    }

    /// Says when to try again, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Names the part of the request that is wrong.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The part of the request that is wrong, where that was said.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The words for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether trying again may work.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "a request failed inside");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on the server. It was logged.",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = self.clone();
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.more);
        }
        let mut response = (self.status, body.to_string()).into_response();
        // For routes that tell it in another form.
        response.extensions_mut().insert(told);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthorized { reason } => {
                tracing::info!(reason, "not signed in");
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Please sign in.")
            }
            AuthError::Unavailable { retry_after } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "sign_in_unavailable",
                "Sign-in cannot be checked at the moment. Please try again.",
            )
            .retry_after(retry_after.as_secs().max(1)),
        }
    }
}

impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let seconds = limited.retry_after().as_secs().max(1);
        match limited {
            Limited::Rate { what, .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", format!("{what}. Please wait."))
            }
            Limited::Overloaded { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "The server is busy. Please try again.",
            ),
        }
        .retry_after(seconds)
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotFound => Self::not_found(),
            SessionError::Busy(run) => busy(run.as_str()),
            SessionError::SameRun(_) | SessionError::LeaseLost => Self::new(
                StatusCode::CONFLICT,
                "session_changed",
                "The conversation was changed by another request. Please try again.",
            ),
            SessionError::Invalid(detail) => Self::bad("invalid_field", detail),
            SessionError::Unreadable(error) => {
                tracing::error!(%error, "a stored session cannot be read");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "session_unreadable",
                    "The stored conversation cannot be read. Start a new one; the file was left as it is.",
                )
            }
            SessionError::Store(error) => error.into(),
            SessionError::Journal(error) => error.into(),
            SessionError::Index(IndexError::Cursor) => {
                Self::bad("invalid_field", "cursor: not one of this server's")
            }
            SessionError::Index(IndexError::Store(error)) => error.into(),
        }
    }
}

fn busy(run: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "session_busy",
        "An answer is still being written in this conversation. Wait for it, stop it, or send with \"on_busy\".",
    )
    .with("run_id", run)
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            BlobError::Conflict | BlobError::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "The conversation store does not answer. Nothing was lost; please try again.",
            )
            .retry_after(2),
            BlobError::Refused(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "store_refused",
                "The conversation store refuses the server's request. Its operator finds the reason in the log.",
            ),
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match error {
            // Not as an error of a start: it would be counted twice.
            JournalError::Exists => Self::of_start(StartError::RunConflict),
            JournalError::Store(error) => error.into(),
            error @ JournalError::Io(_) => Self::internal(&error),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let problem = Self::of_start(error);
        // Whoever asks for what is not there, or asks wrongly, was not refused a run.
        let refused = problem.status.is_server_error()
            || matches!(problem.status, StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS);
        if let (true, Some(telemetry)) = (refused, scope::telemetry()) {
            telemetry.run_refused(problem.code());
        }
        problem
    }
}

impl Problem {
    fn of_start(error: StartError) -> Self {
        match error {
            StartError::Busy(run) => busy(run.as_str()),
            StartError::RunConflict => Self::new(
                StatusCode::CONFLICT,
                "run_conflict",
                "run_id: used before, in another conversation",
            ),
            StartError::Draining => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "The server is about to stop. Please try again.",
            )
            .retry_after(1),
            StartError::Limited(limited) => limited.into(),
            StartError::Session(error) => error.into(),
            StartError::Journal(error) => error.into(),
            StartError::Stateless => {
                Self::new(StatusCode::NOT_FOUND, "not_found", "This service keeps no conversations.")
            }
            error @ StartError::Lost => Self::internal(&error),
        }
    }
}
