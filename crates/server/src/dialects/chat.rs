//! The `chat` dialect: the reference's own, and with `"events":"all"` everything else as named events.
//!
//! The reference's client shows the `text` of every frame that is not `metadata`, `done` or `error`. So the text form
//! sends nothing but these four, and no other frame of the full form has a field of that name.

use loquat_agent::event::{Event, Progress, TotalsUsd, Usage};
use loquat_agent::message::ToolContent;
use serde::Serialize;
use serde_json::Value;

use super::{Encoder, Facts, Flow, frames};
use crate::runs::log::Entry;
use crate::runs::run::RunInfo;

/// Encodes the `chat` dialect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chat {
    all: bool,
}

impl Chat {
    pub(super) fn new(all: bool) -> Self {
        Self { all }
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    session_id: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    more: Option<MoreMetadata<'a>>,
}

#[derive(Serialize)]
struct MoreMetadata<'a> {
    run_id: &'a str,
    model: &'a str,
    history_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<&'a str>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Reasoning<'a> {
    reasoning: &'a str,
}

#[derive(Serialize)]
struct ToolStart<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct ToolInput<'a> {
    id: &'a str,
    delta: &'a str,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    name: &'a str,
    input: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<&'a str>,
}

#[derive(Serialize)]
struct ToolProgress<'a> {
    id: &'a str,
    #[serde(flatten)]
    progress: &'a Progress,
}

#[derive(Serialize)]
struct ToolResult<'a> {
    id: &'a str,
    name: &'a str,
    output: Value,
    is_error: bool,
    duration_ms: u64,
}

#[derive(Serialize)]
struct Custom<'a> {
    name: &'a str,
    data: &'a Value,
}

#[derive(Serialize)]
struct Reset<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct UsageFrame<'a> {
    step: u32,
    model: &'a str,
    #[serde(flatten)]
    usage: &'a Usage,
    stop_reason: loquat_agent::event::StopReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals_usd: Option<&'a TotalsUsd>,
}

#[derive(Serialize)]
struct Error<'a> {
    error: &'a str,
    code: &'a str,
    retryable: bool,
}

#[derive(Serialize)]
struct HandOver<'a> {
    run_id: &'a str,
    after: u64,
}

#[derive(Serialize)]
struct Done<'a> {
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_count: Option<usize>,
    usage: DoneUsage,
}

#[derive(Serialize)]
struct DoneUsage {
    #[serde(flatten)]
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
}

/// Adds one frame. The order of lines is the reference's, with the cursor first.
fn frame(out: &mut Vec<u8>, n: Option<u64>, event: Option<&str>, data: &impl Serialize) {
    // Writing to a vector cannot fail, and all data here has a JSON form.
    if let Some(n) = n {
        frames::cursor(n, out);
    }
    if let Some(event) = event {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    let _ = serde_json::to_writer(&mut *out, data);
    out.extend_from_slice(b"\n\n");
}

/// A tool's answer for people: its text, or its one JSON value, or all blocks.
pub(super) fn output(content: &[ToolContent]) -> Value {
    match content {
        [ToolContent::Text(text)] => Value::String(text.clone()),
        [ToolContent::Json(value)] => value.clone(),
        blocks if blocks.iter().all(|block| matches!(block, ToolContent::Text(_))) => {
            let texts: Vec<&str> = blocks
                .iter()
                .filter_map(|block| match block {
                    ToolContent::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            Value::String(texts.join("\n"))
        }
        blocks => serde_json::to_value(blocks).unwrap_or_default(),
    }
}

impl Encoder for Chat {
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        let event = match entry {
            Entry::Text(text) => {
                frame(out, Some(n), None, &Text { text });
                return Flow::Continue;
            }
            Entry::Reasoning(reasoning) => {
                if self.all {
                    frame(out, Some(n), Some("reasoning"), &Reasoning { reasoning });
                }
                return Flow::Continue;
            }
            Entry::Other(event) => event,
        };
        match event {
            Event::Started { model } => {
                let more = self.all.then(|| MoreMetadata {
                    run_id: facts.info.id.as_str(),
                    model,
                    history_length: facts.info.history_length,
                    continues: facts.info.continues.as_ref().map(crate::ids::Id::as_str),
                });
                let session_id = facts.info.session_id.as_str();
                frame(out, Some(n), Some("metadata"), &Metadata { session_id, more });
            }
            Event::Failed { error, code, retryable } => {
                frame(out, Some(n), Some("error"), &Error { error, code, retryable: *retryable });
                return Flow::End;
            }
            Event::Finished { outcome } if self.all => {
                let done = Done {
                    outcome: outcome.as_str(),
                    message_count: facts.message_count,
                    usage: DoneUsage { usage: facts.usage, cost_usd: facts.cost_usd },
                };
                frame(out, Some(n), Some("done"), &done);
                return Flow::End;
            }
            Event::Finished { .. } => {
                frame(out, Some(n), Some("done"), &serde_json::Map::new());
                return Flow::End;
            }
            // This client cannot take text back: it gets one clean error instead of a second copy.
            Event::Reset { .. } if !self.all => {
                let error =
                    "The answer broke off and is being written again. Load the conversation to see it.";
                frame(
                    out,
                    Some(n),
                    Some("error"),
                    &Error { error, code: "answer_restarted", retryable: true },
                );
                return Flow::End;
            }
            event if self.all => all(n, event, out),
            _ => {}
        }
        Flow::Continue
    }

    fn hand_over(&mut self, info: &RunInfo, after: u64, out: &mut Vec<u8>) -> bool {
        if self.all {
            frame(out, None, Some("continue"), &HandOver { run_id: info.id.as_str(), after });
        }
        self.all
    }

    fn failure(&mut self, error: &str, code: &str, retryable: bool, out: &mut Vec<u8>) {
        frame(out, None, Some("error"), &Error { error, code, retryable });
    }
}

/// The frames that only clients with `"events":"all"` get.
fn all(n: u64, event: &Event, out: &mut Vec<u8>) {
    let n = Some(n);
    match event {
        Event::ToolStart { id, name } => frame(out, n, Some("tool_start"), &ToolStart { id, name }),
        Event::ToolInput { id, delta } => frame(out, n, Some("tool_input"), &ToolInput { id, delta }),
        Event::ToolCall { id, name, input, .. } => {
            frame(out, n, Some("tool_call"), &ToolCall { id, name, input, reason: None, expires_at: None });
        }
        Event::ToolProgress { id, progress } => {
            frame(out, n, Some("tool_progress"), &ToolProgress { id, progress });
        }
        Event::ToolResult { id, name, content, is_error, duration_ms, .. } => {
            let output = output(content);
            let result = ToolResult { id, name, output, is_error: *is_error, duration_ms: *duration_ms };
            frame(out, n, Some("tool_result"), &result);
        }
        Event::ApprovalRequested { id, name, input, reason, expires_at } => {
            let (reason, expires_at) = (reason.as_deref(), expires_at.as_deref());
            frame(out, n, Some("approval"), &ToolCall { id, name, input, reason, expires_at });
        }
        Event::ClientCall { id, name, input } => {
            frame(out, n, Some("client_tool"), &ToolCall { id, name, input, reason: None, expires_at: None });
        }
        Event::Custom { name, data } => frame(out, n, Some("custom"), &Custom { name, data }),
        Event::Reset { reason } => frame(out, n, Some("reset"), &Reset { reason }),
        Event::Usage { step, model, usage, stop_reason, cost_usd, totals_usd } => {
            let (stop_reason, cost_usd) = (*stop_reason, *cost_usd);
            let totals_usd = totals_usd.as_deref();
            let usage = UsageFrame { step: *step, model, usage, stop_reason, cost_usd, totals_usd };
            frame(out, n, Some("usage"), &usage);
        }
        // Signatures and redacted reasoning are for the model's provider alone.
        Event::Reasoning { .. }
        | Event::Started { .. }
        | Event::Text { .. }
        | Event::Finished { .. }
        | Event::Failed { .. } => {}
    }
}
