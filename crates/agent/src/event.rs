//! What happens in a run, as a closed list.
//!
//! A run is an append-only sequence of events that ends in exactly one terminal one. The messages of the turn are a
//! function of its events (see [`crate::transcript`]), so the log alone is enough to repair a session.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::ToolContent;

/// One fact of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The run began. Always the first event.
    Started {
        /// The model that answers.
        model: String,
    },
    /// A piece of the answer.
    Text {
        /// The piece, never empty.
        text: String,
    },
    /// A piece of the model's reasoning.
    Reasoning {
        /// The readable piece; empty where only a signature or redacted content arrived.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// The provider's signature over the block, carried back to it in the next call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        /// Redacted reasoning, base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redacted: Option<String>,
    },
    /// The model begins to write a tool call.
    ToolStart {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// A piece of a tool call's input, as the model writes it (JSON text, not yet whole).
    ToolInput {
        /// The call's id.
        id: String,
        /// The piece.
        delta: String,
    },
    /// A tool call is whole. It is the intent: it stands in the log before the tool runs.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The input.
        input: Value,
        /// Whether running it a second time could do harm.
        #[serde(default)]
        effects: bool,
    },
    /// A tool reports how far it is.
    ToolProgress {
        /// The call's id.
        id: String,
        /// What it reports.
        progress: Progress,
    },
    /// A tool answered.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The answer, as the model will read it.
        content: Vec<ToolContent>,
        /// Whether the call failed.
        #[serde(default)]
        is_error: bool,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The part of the answer that was over the limit and that the model does not see.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rest: Option<String>,
    },
    /// A tool call waits for the user's consent; the run ends as [`Outcome::Interrupted`].
    ApprovalRequested {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The input that would run.
        input: Value,
        /// Why consent is needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// When the question becomes void (RFC 3339). Noted by whoever keeps the session; the agent knows no clock.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<String>,
    },
    /// A tool call waits for the client, whose tool it is; the run ends as [`Outcome::Interrupted`].
    ClientCall {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The input.
        input: Value,
    },
    /// A tool sends something to the client that the model does not read.
    Custom {
        /// The kind of message, chosen by the tool.
        name: String,
        /// Its payload.
        data: Value,
    },
    /// What the current model call has said so far (text, reasoning, tool calls) is void; it will be said again.
    Reset {
        /// Why, for people.
        reason: String,
    },
    /// A model call ended: its cost, and a boundary between steps.
    Usage {
        /// The number of the model call in this run, from 1.
        step: u32,
        /// The model that answered (a fallback may differ from [`Event::Started`]).
        model: String,
        /// Tokens.
        usage: Usage,
        /// Why the call stopped.
        stop_reason: StopReason,
        /// What it cost in US dollars; added where the prices are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost_usd: Option<f64>,
        /// What was spent by then, this call included; added where the prices are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        totals_usd: Option<Box<TotalsUsd>>,
    },
    /// The run ended as one of the ways it can. Terminal.
    Finished {
        /// How.
        outcome: Outcome,
    },
    /// The run failed. Terminal.
    Failed {
        /// What happened, for people.
        error: String,
        /// What happened, for programs: a stable word.
        code: String,
        /// Whether trying again may work.
        retryable: bool,
    },
}

impl Event {
    /// Whether nothing can follow this event.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. })
    }
}

/// What a tool reports while it runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How far, in the tool's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Of how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// What was spent when a model call ended, in US dollars.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TotalsUsd {
    /// By the run.
    pub run: f64,
    /// By the session, all its runs together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<f64>,
    /// By the user today (UTC), without other runs that are still under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<f64>,
}

/// Tokens of one or more model calls. Cached tokens are not part of `input_tokens` (the sum of the three input fields
/// is what the model read).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read anew.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens written, reasoning included.
    #[serde(default)]
    pub output_tokens: u64,
    /// Tokens read from the provider's prompt cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's prompt cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_tokens: u64,
}

// serde's `skip_serializing_if` hands a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
    }
}

/// Why one model call stopped: Bedrock's nine, which cover the other providers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model had said everything.
    EndTurn,
    /// It wants tools.
    ToolUse,
    /// The limit of output tokens.
    MaxTokens,
    /// A stop sequence.
    StopSequence,
    /// A guardrail stepped in.
    GuardrailIntervened,
    /// The model or its provider refused.
    ContentFiltered,
    /// The model's output could not be read by its provider.
    MalformedModelOutput,
    /// The model wrote a tool call that could not be read.
    MalformedToolUse,
    /// The context window is full.
    ModelContextWindowExceeded,
}

/// How a run that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is complete.
    Complete,
    /// The user stopped it.
    Cancelled,
    /// The limit of output tokens.
    MaxTokens,
    /// The limit of model calls in a run.
    MaxSteps,
    /// The limit of time.
    MaxSeconds,
    /// A stop sequence.
    StopSequence,
    /// The model or its provider refused.
    Refusal,
    /// A guardrail stepped in.
    Guardrail,
    /// Tool calls wait for the user's consent or for the client's own tools.
    Interrupted,
}

impl Outcome {
    /// The stable word used on the wire and in stored messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::MaxTokens => "max_tokens",
            Self::MaxSteps => "max_steps",
            Self::MaxSeconds => "max_seconds",
            Self::StopSequence => "stop_sequence",
            Self::Refusal => "refusal",
            Self::Guardrail => "guardrail",
            Self::Interrupted => "interrupted",
        }
    }
}
