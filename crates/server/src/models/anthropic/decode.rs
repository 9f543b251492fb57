//! A Messages stream, as model events.

use std::borrow::Cow;
use std::collections::VecDeque;

use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error;
use crate::models::http::Decode;
use crate::models::sse::SseEvent;

/// One event of the stream; which fields there are depends on the type.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: usize,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(default)]
    message: Option<Start>,
    #[serde(default)]
    usage: Option<EventUsage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    thinking: Cow<'a, str>,
    #[serde(borrow, default)]
    signature: Cow<'a, str>,
    #[serde(borrow, default)]
    partial_json: Cow<'a, str>,
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    input: Map<String, Value>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Option<EventUsage>,
}

/// Later events repeat some of the counts, cumulatively.
#[derive(Clone, Copy, Deserialize)]
struct EventUsage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
}

/// The state of one answer.
#[derive(Default)]
pub(super) struct Decoder {
    provider: String,
    /// The id of the tool call in each block that is one.
    calls: Vec<(usize, String)>,
    usage: Usage,
    stop: Option<StopReason>,
}

impl Decoder {
    pub(super) fn new(provider: String) -> Self {
        Self { provider, ..Self::default() }
    }

    fn count(&mut self, usage: EventUsage) {
        let set = |count: &mut u64, value: Option<u64>| *count = value.unwrap_or(*count);
        set(&mut self.usage.input_tokens, usage.input_tokens);
        set(&mut self.usage.output_tokens, usage.output_tokens);
        set(&mut self.usage.cache_read_tokens, usage.cache_read_input_tokens);
        set(&mut self.usage.cache_write_tokens, usage.cache_creation_input_tokens);
    }

    fn begin(&mut self, index: usize, block: Block, out: &mut VecDeque<ModelEvent>) {
        match block.kind.as_str() {
            "text" if !block.text.is_empty() => out.push_back(ModelEvent::Text(block.text)),
            "thinking" if !block.thinking.is_empty() => out.push_back(ModelEvent::Reasoning(block.thinking)),
            "redacted_thinking" => out.push_back(ModelEvent::RedactedReasoning(block.data)),
            "tool_use" => {
                self.calls.push((index, block.id.clone()));
                out.push_back(ModelEvent::ToolStart { id: block.id.clone(), name: block.name });
                // Some compatible servers send the whole input at once.
                if !block.input.is_empty() {
                    let delta = Value::Object(block.input).to_string();
                    out.push_back(ModelEvent::ToolInput { id: block.id, delta });
                }
            }
            _ => {}
        }
    }

    fn delta(&self, index: usize, delta: Delta<'_>, out: &mut VecDeque<ModelEvent>) {
        match &*delta.kind {
            "text_delta" if !delta.text.is_empty() => {
                out.push_back(ModelEvent::Text(delta.text.into_owned()));
            }
            "thinking_delta" if !delta.thinking.is_empty() => {
                out.push_back(ModelEvent::Reasoning(delta.thinking.into_owned()));
            }
            "signature_delta" if !delta.signature.is_empty() => {
                out.push_back(ModelEvent::ReasoningSignature(delta.signature.into_owned()));
            }
            "input_json_delta" if !delta.partial_json.is_empty() => {
                // Only calls of our tools: the provider's own tools write input as well.
                if let Some((_, id)) = self.calls.iter().rfind(|(at, _)| *at == index) {
                    out.push_back(ModelEvent::ToolInput {
                        id: id.clone(),
                        delta: delta.partial_json.into_owned(),
                    });
                }
            }
            _ => {}
        }
    }

    fn finish(&self, stop: StopReason, out: &mut VecDeque<ModelEvent>) {
        if self.usage != Usage::default() {
            out.push_back(ModelEvent::Usage { usage: self.usage, model: None });
        }
        out.push_back(ModelEvent::Stop(stop));
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "tool_use" => StopReason::ToolUse,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "refusal" => StopReason::ContentFiltered,
        "model_context_window_exceeded" => StopReason::ModelContextWindowExceeded,
        // `end_turn`, `pause_turn` (of the provider's own tools, which are not used) and what is not known yet.
        _ => StopReason::EndTurn,
    }
}

impl Decode for Decoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelEvent>) -> Result<bool, ModelError> {
        let Ok(event) = serde_json::from_str::<Event<'_>>(&event.data) else {
            let what = format!("{} sent an event that is not one of its protocol", self.provider);
            return Err(ModelError::new(ModelErrorKind::Protocol, what));
        };
        match &*event.kind {
            "message_start" => {
                if let Some(usage) = event.message.and_then(|message| message.usage) {
                    self.count(usage);
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.begin(event.index, block, out);
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(event.index, delta, out);
                }
            }
            "message_delta" => {
                if let Some(usage) = event.usage {
                    self.count(usage);
                }
                if let Some(reason) = event.delta.and_then(|delta| delta.stop_reason) {
                    self.stop = Some(stop_reason(&reason));
                }
            }
            "message_stop" => {
                let Some(stop) = self.stop else {
                    let what = format!("{} ended its answer without a stop reason", self.provider);
                    return Err(ModelError::new(ModelErrorKind::Truncated, what));
                };
                self.finish(stop, out);
                return Ok(true);
            }
            "error" => return Err(error::in_stream(&self.provider, &event.error.unwrap_or_default())),
            // `ping`, `content_block_stop`, and what future versions add.
            _ => {}
        }
        Ok(false)
    }

    fn end(&mut self, cause: ModelError, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        // After the stop reason nothing but `message_stop` is missing: the answer is whole.
        let stop = self.stop.ok_or(cause)?;
        self.finish(stop, out);
        Ok(())
    }

    fn provider(&self) -> &str {
        &self.provider
    }
}
