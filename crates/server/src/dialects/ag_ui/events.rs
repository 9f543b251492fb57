//! AG-UI 1.0: events and messages as they are sent. Optional fields are left out, never null.

use serde::Serialize;
use serde_json::Value;

/// The version of the protocol.
pub(super) const VERSION: &str = "1.0";

/// An event.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE", rename_all_fields = "camelCase")]
pub(super) enum Ev<'a> {
    RunStarted {
        thread_id: &'a str,
        run_id: &'a str,
        protocol_version: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parent_run_id: Option<&'a str>,
        metadata: Started<'a>,
    },
    RunFinished {
        thread_id: &'a str,
        run_id: &'a str,
        outcome: Outcome<'a>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        usage: &'a [TokenUsage],
        metadata: Finished<'a>,
    },
    RunError {
        message: &'a str,
        code: &'a str,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        usage: &'a [TokenUsage],
        metadata: Failed,
    },
    StepStarted {
        step_name: &'a str,
    },
    StepFinished {
        step_name: &'a str,
    },
    TextMessageStart {
        message_id: &'a str,
        role: &'static str,
    },
    TextMessageContent {
        message_id: &'a str,
        delta: &'a str,
    },
    TextMessageEnd {
        message_id: &'a str,
    },
    ReasoningStart {
        message_id: &'a str,
    },
    ReasoningMessageStart {
        message_id: &'a str,
        role: &'static str,
    },
    ReasoningMessageContent {
        message_id: &'a str,
        delta: &'a str,
    },
    ReasoningMessageEnd {
        message_id: &'a str,
    },
    ReasoningEnd {
        message_id: &'a str,
    },
    ToolCallStart {
        tool_call_id: &'a str,
        tool_call_name: &'a str,
        parent_message_id: &'a str,
    },
    ToolCallArgs {
        tool_call_id: &'a str,
        delta: &'a str,
    },
    ToolCallEnd {
        tool_call_id: &'a str,
    },
    ToolCallResult {
        message_id: &'a str,
        tool_call_id: &'a str,
        content: Value,
        role: &'static str,
        metadata: Ran,
    },
    StateSnapshot {
        snapshot: &'a Value,
    },
    StateDelta {
        delta: &'a Value,
    },
    MessagesSnapshot {
        messages: &'a [Value],
    },
    Custom {
        name: &'a str,
        value: &'a Value,
    },
}

/// What is told of a run at its start.
#[derive(Debug, Serialize)]
pub(super) struct Started<'a> {
    pub(super) model: &'a str,
    pub(super) history_length: usize,
}

/// What is told of a run at its end.
#[derive(Debug, Serialize)]
pub(super) struct Finished<'a> {
    /// More exact than AG-UI's own.
    pub(super) outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_count: Option<usize>,
    /// AG-UI's usage has tokens alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<f64>,
}

/// What is told of a failure.
#[derive(Debug, Serialize)]
pub(super) struct Failed {
    pub(super) retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<f64>,
}

/// What is told of a tool's run.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    pub(super) is_error: bool,
    pub(super) duration_ms: u64,
}

/// How a run ended.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(super) enum Outcome<'a> {
    Success {
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        pending_tool_call_ids: &'a [String],
    },
    Interrupt {
        interrupts: &'a [Interrupt],
    },
    Cancelled,
}

/// A call that waits for the user's consent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interrupt {
    pub(super) id: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) tool_call_id: String,
    pub(super) response_schema: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
}

/// The tokens of one model. The parts are included in the totals.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider: Option<String>,
    pub(super) model: String,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) total_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) cached_input_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) cache_write_input_tokens: u64,
}

// serde's `skip_serializing_if` hands a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
