//! The UI message stream's chunks as they are sent.

use loquat_agent::event::Usage;
use serde::Serialize;
use serde_json::Value;

/// A chunk. Fields that the version 5 of the SDK does not know are not sent: it refuses them.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum Chunk<'a> {
    Start {
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<&'a str>,
        message_metadata: Begun<'a>,
    },
    StartStep,
    FinishStep,
    ResetStep,
    TextStart {
        id: &'a str,
    },
    TextDelta {
        id: &'a str,
        delta: &'a str,
    },
    TextEnd {
        id: &'a str,
    },
    ReasoningStart {
        id: &'a str,
    },
    ReasoningDelta {
        id: &'a str,
        delta: &'a str,
    },
    ReasoningEnd {
        id: &'a str,
    },
    ToolInputStart {
        tool_call_id: &'a str,
        tool_name: &'a str,
        #[serde(skip_serializing_if = "is_false")]
        dynamic: bool,
    },
    ToolInputDelta {
        tool_call_id: &'a str,
        input_text_delta: &'a str,
    },
    ToolInputAvailable {
        tool_call_id: &'a str,
        tool_name: &'a str,
        input: &'a Value,
        #[serde(skip_serializing_if = "is_false")]
        dynamic: bool,
    },
    ToolInputError {
        tool_call_id: &'a str,
        tool_name: &'a str,
        input: &'a Value,
        #[serde(skip_serializing_if = "is_false")]
        dynamic: bool,
        error_text: &'a str,
    },
    ToolApprovalRequest {
        approval_id: &'a str,
        tool_call_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    ToolOutputAvailable {
        tool_call_id: &'a str,
        output: &'a Value,
    },
    ToolOutputError {
        tool_call_id: &'a str,
        error_text: &'a str,
    },
    ToolOutputDenied {
        tool_call_id: &'a str,
    },
    File {
        url: &'a str,
        media_type: &'a str,
    },
    MessageMetadata {
        message_metadata: Spent<'a>,
    },
    Abort {
        reason: &'a str,
    },
    Error {
        error_text: &'a str,
    },
    Finish {
        finish_reason: &'a str,
        message_metadata: Ended<'a>,
    },
}

/// A chunk of a tool's own kind.
#[derive(Serialize)]
pub(super) struct Data<'a, T> {
    pub(super) r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) data: T,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) transient: bool,
}

/// What a message is marked with when it begins.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Begun<'a> {
    pub(super) session_id: &'a str,
    pub(super) run_id: &'a str,
    pub(super) model: &'a str,
}

/// … after each call of the model: the tokens so far.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spent<'a> {
    pub(super) model: &'a str,
    pub(super) usage: Tokens,
}

/// … and when it ends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ended<'a> {
    pub(super) outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure<'a>>,
    pub(super) usage: Tokens,
}

#[derive(Debug, Serialize)]
pub(super) struct Failure<'a> {
    pub(super) code: &'a str,
    pub(super) retryable: bool,
}

/// Tokens in the SDK's words: the parts are included in the totals.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) total_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) cached_input_tokens: u64,
    /// What they cost in US dollars, where the prices are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<f64>,
}

impl Tokens {
    pub(super) fn of(usage: Usage, cost_usd: Option<f64>) -> Self {
        let input_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
        Self {
            input_tokens,
            output_tokens: usage.output_tokens,
            total_tokens: input_tokens + usage.output_tokens,
            cached_input_tokens: usage.cache_read_tokens,
            cost_usd,
        }
    }
}

// serde's `skip_serializing_if` hands a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
