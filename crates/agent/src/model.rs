//! The seam to a language model.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::event::{StopReason, Usage};
use crate::message::Message;
use crate::tool::ToolSpec;

/// A language model, or something that behaves like one (a retrying stack of models, for one).
///
/// Contract: the stream yields any number of [`ModelEvent`]s and ends after exactly one [`ModelEvent::Stop`], or yields
/// one `Err` and ends. A stream that ends in any other way is a failure, whatever arrived before. Dropping the stream
/// cancels the call and closes the connection behind it. The stream does nothing before it is first polled.
pub trait Model: Send + Sync {
    /// The model's full name (`bedrock/…`, `openai/…`), as shown to people and in logs.
    fn name(&self) -> &str;

    /// Whether it can do what these parameters ask for, so that a request can be refused before anything is said. What
    /// this lets pass may still fail the call.
    ///
    /// # Errors
    /// A [`ModelErrorKind::BadRequest`] that names the parameter.
    fn accepts(&self, _params: &Params) -> Result<(), ModelError> {
        Ok(())
    }

    /// Begins one call.
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>>;
}

/// One call of a model.
#[derive(Clone, Debug, Default)]
pub struct ModelRequest {
    /// The system prompt.
    pub system: Option<Arc<str>>,
    /// The conversation; satisfies [`crate::invariants::check`].
    pub messages: Vec<Message>,
    /// The tools it may ask for, in a stable order.
    pub tools: Arc<[ToolSpec]>,
    /// Overrides of the model's own parameters for this call.
    pub params: Params,
    /// What a model may do when it has to start over after it has said something.
    pub on_restart: OnRestart,
}

/// What a model may do when its answer broke off after a part of it was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRestart {
    /// Say [`ModelEvent::Reset`] and start over.
    #[default]
    Reset,
    /// Fail: the client cannot take text back.
    Fail,
}

/// Sampling parameters. `None` means the provider's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// 0 to 2 (providers differ in the upper bound).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Most tokens to write in one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Texts at which the model stops.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
    /// How hard to think: `low`, `medium`, `high`, where the provider has such a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// How many tokens to think, where the provider has such a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_budget: Option<u32>,
    /// Where the dice begin: the same seed tends to give the same answer, where the provider has such a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// The form that an answer has to have; free text without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputForm>,
    /// The tool that has to be called before the first answer of a run; without it the model chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
}

/// The form of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputForm {
    /// Any JSON object.
    Json,
    /// JSON that a schema allows.
    Schema(Box<OutputSchema>),
}

/// A form of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSchema {
    /// Its name, which some providers want.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON Schema.
    pub schema: serde_json::Value,
    /// Whether the provider makes sure that the answer keeps to it; `None` is the provider's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// A call that has to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// Of any tool.
    Required,
    /// Of this one.
    Tool(String),
}

/// One thing a model says.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// A piece of the answer.
    Text(String),
    /// A piece of reasoning.
    Reasoning(String),
    /// The signature of the reasoning block that ends here.
    ReasoningSignature(String),
    /// Redacted reasoning, base64.
    RedactedReasoning(String),
    /// A tool call begins.
    ToolStart {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A piece of a tool call's input. An input with no piece at all means `{}`.
    ToolInput {
        /// The call's id.
        id: String,
        /// A piece of JSON text.
        delta: String,
    },
    /// Everything since the start of this call is void; it will be said again.
    Reset {
        /// Why, for people.
        reason: String,
    },
    /// Tokens of this call so far; the last one counts. `model` is the one that answered, where it is not the named one.
    Usage {
        /// Tokens.
        usage: Usage,
        /// The model that answered, if another than [`Model::name`] says.
        model: Option<String>,
    },
    /// The proper end of the call.
    Stop(StopReason),
}

/// Why a model call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// The class of the failure, which decides what happens next.
    pub kind: ModelErrorKind,
    /// What happened and what to do, for people. No credentials, no message text.
    pub message: String,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
}

impl ModelError {
    /// A failure of a class, with words for people.
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None }
    }
}

/// The classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelErrorKind {
    /// 429 and its like.
    Throttled,
    /// 500, 502, 503, 504, 529 and their like.
    Unavailable,
    /// No answer, or silence between two pieces, for too long.
    Timeout,
    /// The stream ended without its proper end.
    Truncated,
    /// Something arrived that is not the provider's protocol.
    Protocol,
    /// The request is too long for the model.
    ContextTooLong,
    /// The provider refused the request as wrong.
    BadRequest,
    /// Credentials are missing, wrong or lack a permission.
    Auth,
    /// The model does not exist, or not for this account.
    NotFound,
    /// The model is not installed on this machine.
    NotInstalled,
    /// A bug on our side.
    Internal,
}

impl ModelErrorKind {
    /// Whether the same call may work a little later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable | Self::Timeout | Self::Truncated | Self::Protocol)
    }

    /// The stable word used in `error` frames.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Throttled => "model_throttled",
            Self::Unavailable => "model_unavailable",
            Self::Timeout => "model_timeout",
            Self::Truncated => "model_stream_cut",
            Self::Protocol => "model_protocol",
            Self::ContextTooLong => "context_too_long",
            Self::BadRequest => "model_refused_request",
            Self::Auth => "model_auth",
            Self::NotFound => "model_not_found",
            Self::NotInstalled => "model_not_installed",
            Self::Internal => "internal",
        }
    }
}
