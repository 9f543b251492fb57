//! A ConverseStream, as model events.
//!
//! The payloads are those of `ConverseStreamOutput` in the Bedrock API reference. What is not named here is passed over:
//! `messageStart`, `contentBlockStop`, citations, traces, and what future versions add.

use std::collections::VecDeque;

use base64::Engine as _;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::{ModelError, ModelEvent};
use serde::Deserialize;

use super::error;
use super::frame::Frame;

/// The state of one answer.
#[derive(Default)]
pub(super) struct Decoder {
    /// The id of the tool call in each block that is one.
    calls: Vec<(i32, String)>,
    usage: Option<Usage>,
    /// Known from `messageStop` on.
    pub(super) stop: Option<StopReason>,
}

impl Decoder {
    /// Takes one frame. `true` means that the answer is whole.
    pub(super) fn frame(
        &mut self,
        frame: &Frame<'_>,
        out: &mut VecDeque<ModelEvent>,
    ) -> Result<bool, ModelError> {
        match (frame.kind, frame.name) {
            (b"event", b"contentBlockDelta") => {
                let event: BlockDelta = parsed(frame)?;
                if let Some(delta) = event.delta {
                    self.delta(event.content_block_index, delta, out)?;
                }
            }
            (b"event", b"contentBlockStart") => {
                let event: BlockStart = parsed(frame)?;
                if let Some(call) = event.start.and_then(|start| start.tool_use) {
                    self.calls.push((event.content_block_index, call.tool_use_id.clone()));
                    out.push_back(ModelEvent::ToolStart { id: call.tool_use_id, name: call.name });
                }
            }
            (b"event", b"messageStop") => {
                self.stop = Some(stop_reason(&parsed::<MessageStop>(frame)?.stop_reason));
            }
            (b"event", b"metadata") => {
                self.usage = parsed::<Metadata>(frame)?.usage.map(Usage::from);
                // It is the last event, and comes after the stop.
                if self.stop.is_some() {
                    self.finish(out);
                    return Ok(true);
                }
            }
            (b"event", _) => {}
            (b"exception", name) => {
                let said = serde_json::from_slice::<Exception>(frame.payload).unwrap_or_default();
                return Err(error::in_stream(&String::from_utf8_lossy(name), &said.message));
            }
            (b"error", code) => {
                let [code, message] = [code, frame.message].map(String::from_utf8_lossy);
                return Err(error::in_stream(&code, &message));
            }
            _ => return Err(error::not_the_protocol()),
        }
        Ok(false)
    }

    fn delta(&self, index: i32, delta: Delta, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if let Some(text) = delta.text.filter(|text| !text.is_empty()) {
            out.push_back(ModelEvent::Text(text));
        }
        if let Some(piece) = delta.tool_use.filter(|piece| !piece.input.is_empty())
            && let Some((_, id)) = self.calls.iter().rfind(|(at, _)| *at == index)
        {
            out.push_back(ModelEvent::ToolInput { id: id.clone(), delta: piece.input });
        }
        let Some(piece) = delta.reasoning_content else { return Ok(()) };
        if let Some(text) = piece.text.filter(|text| !text.is_empty()) {
            out.push_back(ModelEvent::Reasoning(text));
        }
        if let Some(signature) = piece.signature.filter(|signature| !signature.is_empty()) {
            out.push_back(ModelEvent::ReasoningSignature(signature));
        }
        if let Some(text) = piece.redacted_content {
            // It has to go back as it came; that it can is better known now than at the next turn.
            let engine = base64::engine::general_purpose::STANDARD;
            engine.decode(&text).map_err(|_| error::not_the_protocol())?;
            out.push_back(ModelEvent::RedactedReasoning(text));
        }
        Ok(())
    }

    /// Says the end. Nothing if there was no `messageStop`.
    pub(super) fn finish(&self, out: &mut VecDeque<ModelEvent>) {
        let Some(stop) = self.stop else { return };
        if let Some(usage) = self.usage {
            out.push_back(ModelEvent::Usage { usage, model: None });
        }
        out.push_back(ModelEvent::Stop(stop));
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta {
    #[serde(default)]
    content_block_index: i32,
    delta: Option<Delta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta {
    text: Option<String>,
    tool_use: Option<ToolPiece>,
    reasoning_content: Option<ReasoningPiece>,
}

#[derive(Deserialize)]
struct ToolPiece {
    input: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningPiece {
    text: Option<String>,
    signature: Option<String>,
    /// Base64.
    redacted_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart {
    #[serde(default)]
    content_block_index: i32,
    start: Option<Start>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    tool_use: Option<ToolStart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolStart {
    tool_use_id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop {
    stop_reason: String,
}

#[derive(Deserialize)]
struct Metadata {
    usage: Option<TokenUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenUsage {
    #[serde(default)]
    input_tokens: i64,
    #[serde(default)]
    output_tokens: i64,
    cache_read_input_tokens: Option<i64>,
    cache_write_input_tokens: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Exception {
    // Some services write it with a capital.
    #[serde(alias = "Message", default)]
    message: String,
}

fn parsed<'a, T: Deserialize<'a>>(frame: &Frame<'a>) -> Result<T, ModelError> {
    // Checked once as a whole, not string by string.
    let text = std::str::from_utf8(frame.payload).map_err(|_| error::not_the_protocol())?;
    serde_json::from_str(text).map_err(|_| error::not_the_protocol())
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        Self {
            input_tokens: count(usage.input_tokens),
            output_tokens: count(usage.output_tokens),
            cache_read_tokens: count(usage.cache_read_input_tokens.unwrap_or_default()),
            cache_write_tokens: count(usage.cache_write_input_tokens.unwrap_or_default()),
        }
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "guardrail_intervened" => StopReason::GuardrailIntervened,
        "content_filtered" => StopReason::ContentFiltered,
        "malformed_model_output" => StopReason::MalformedModelOutput,
        "malformed_tool_use" => StopReason::MalformedToolUse,
        "model_context_window_exceeded" => StopReason::ModelContextWindowExceeded,
        // `end_turn` and what future versions add.
        _ => StopReason::EndTurn,
    }
}
