//! A chat completion stream, as model events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent};

use super::chunk::{Choice, Chunk, ChunkUsage, ToolCallDelta};
use super::error;
use crate::models::http::Decode;
use crate::models::sse::SseEvent;

/// The state of one answer.
pub(super) struct Decoder {
    provider: Arc<str>,
    /// Set when the server shows reasoning as `reasoning_content`: such servers want it back with tool calls.
    echoes: Arc<AtomicBool>,
    calls: Vec<Call>,
    usage: Option<Usage>,
    finish: Option<StopReason>,
    refused: bool,
}

/// A tool call that is being written.
struct Call {
    index: Option<u64>,
    id: String,
    /// Empty as long as the server has not sent it; the call is not announced before.
    name: String,
    /// Input that came before the name.
    held: String,
}

impl Decoder {
    pub(super) fn new(provider: Arc<str>, echoes: Arc<AtomicBool>) -> Self {
        Self { provider, echoes, calls: Vec::new(), usage: None, finish: None, refused: false }
    }

    fn choice(&mut self, choice: Choice<'_>, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        if let Some(delta) = choice.delta {
            if !delta.reasoning_content.text.is_empty() {
                self.echoes.store(true, Ordering::Relaxed);
                out.push_back(ModelEvent::Reasoning(delta.reasoning_content.text.into_owned()));
            } else if !delta.reasoning.text.is_empty() {
                out.push_back(ModelEvent::Reasoning(delta.reasoning.text.into_owned()));
            }
            if !delta.content.thinking.is_empty() {
                out.push_back(ModelEvent::Reasoning(delta.content.thinking));
            }
            if !delta.content.text.is_empty() {
                out.push_back(ModelEvent::Text(delta.content.text.into_owned()));
            }
            if let Some(refusal) = delta.refusal.filter(|text| !text.is_empty()) {
                self.refused = true;
                out.push_back(ModelEvent::Text(refusal.into_owned()));
            }
            for call in delta.tool_calls.unwrap_or_default() {
                self.call(&call, out);
            }
        }
        match choice.finish_reason.as_deref() {
            // Some servers send an empty reason with every piece.
            None | Some("") => {}
            Some(reason) => self.finish = Some(self.stop_reason(reason)?),
        }
        Ok(())
    }

    /// Finds the call a piece belongs to, or begins one.
    ///
    /// By the protocol the index decides. Some servers leave it out, others send 0 for each of several calls; a new id
    /// together with a name is a new call whatever the index says.
    fn call(&mut self, delta: &ToolCallDelta<'_>, out: &mut VecDeque<ModelEvent>) {
        let id = delta.id.as_deref().filter(|id| !id.is_empty());
        let (name, arguments) = match &delta.function {
            Some(function) => {
                (function.name.as_deref().filter(|name| !name.is_empty()), &*function.arguments.0)
            }
            None => (None, ""),
        };
        let found = match (delta.index, id) {
            (_, Some(id)) if self.calls.iter().any(|call| call.id == id) => {
                self.calls.iter().position(|call| call.id == id)
            }
            (Some(index), id) => self
                .calls
                .iter()
                .rposition(|call| call.index == Some(index))
                .filter(|at| id.is_none() || name.is_none() || self.calls[*at].name.is_empty()),
            (None, Some(_)) => None,
            // Without index and id a name begins a call; anything else goes on with the last one.
            (None, None) => self.calls.len().checked_sub(1).filter(|_| name.is_none()),
        };
        let at = found.unwrap_or_else(|| {
            let id = id.map_or_else(|| format!("call_{}", uuid::Uuid::new_v4().simple()), str::to_owned);
            self.calls.push(Call { index: delta.index, id, name: String::new(), held: String::new() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        if call.name.is_empty() {
            call.held.push_str(arguments);
            let Some(name) = name else { return };
            name.clone_into(&mut call.name);
            out.push_back(ModelEvent::ToolStart { id: call.id.clone(), name: call.name.clone() });
            if !call.held.is_empty() {
                let delta = std::mem::take(&mut call.held);
                out.push_back(ModelEvent::ToolInput { id: call.id.clone(), delta });
            }
        } else if !arguments.is_empty() {
            out.push_back(ModelEvent::ToolInput { id: call.id.clone(), delta: arguments.to_owned() });
        }
    }

    fn stop_reason(&self, reason: &str) -> Result<StopReason, ModelError> {
        Ok(match reason {
            "stop" | "end_turn" | "eos" | "eos_token" | "stop_sequence" => StopReason::EndTurn,
            "tool_calls" | "tool_use" | "function_call" => StopReason::ToolUse,
            "length" | "max_tokens" => StopReason::MaxTokens,
            "model_length" => StopReason::ModelContextWindowExceeded,
            "content_filter" | "refusal" | "safety" => StopReason::ContentFiltered,
            "error" | "abort" | "insufficient_system_resource" => {
                let what = format!("{} gave up in the middle of its answer ({reason})", self.provider);
                return Err(ModelError::new(ModelErrorKind::Unavailable, what));
            }
            _ => StopReason::EndTurn,
        })
    }

    /// The end of an answer whose finish reason is known.
    fn stop(&mut self, finish: StopReason, out: &mut VecDeque<ModelEvent>) {
        if let Some(usage) = self.usage {
            out.push_back(ModelEvent::Usage { usage, model: None });
        }
        let nameless = self.calls.iter().any(|call| call.name.is_empty());
        out.push_back(ModelEvent::Stop(match finish {
            StopReason::EndTurn | StopReason::ToolUse if nameless => StopReason::MalformedToolUse,
            // Several servers say "stop" after tool calls.
            StopReason::EndTurn if !self.calls.is_empty() => StopReason::ToolUse,
            StopReason::ToolUse if self.calls.is_empty() => StopReason::MalformedToolUse,
            StopReason::EndTurn if self.refused => StopReason::ContentFiltered,
            other => other,
        }));
    }
}

impl Decode for Decoder {
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelEvent>) -> Result<bool, ModelError> {
        let data = event.data.trim();
        if data == "[DONE]" {
            let Some(finish) = self.finish else {
                let what = format!("{} ended its answer without a finish reason", self.provider);
                return Err(ModelError::new(ModelErrorKind::Truncated, what));
            };
            self.stop(finish, out);
            return Ok(true);
        }
        if data.is_empty() {
            return Ok(false);
        }
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            // Some servers say what is wrong in words and not in JSON.
            if event.name == "error" {
                return Err(error::in_stream(&self.provider, &serde_json::Value::String(data.to_owned())));
            }
            let what = format!("{} sent a piece that is not a chat completion chunk", self.provider);
            return Err(ModelError::new(ModelErrorKind::Protocol, what));
        };
        if let Some(value) = chunk.error.filter(|value| !value.is_null()) {
            return Err(error::in_stream(&self.provider, &value));
        }
        if event.name == "error" || chunk.object.as_deref() == Some("error") {
            let value = serde_json::from_str(data).unwrap_or_default();
            return Err(error::in_stream(&self.provider, &value));
        }
        if chunk.message.is_some() && chunk.choices.is_none() && chunk.usage.is_none() {
            let value = serde_json::from_str(data).unwrap_or_default();
            return Err(error::in_stream(&self.provider, &value));
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(convert(usage));
        }
        // Only one answer is asked for.
        if let Some(choice) = chunk.choices.unwrap_or_default().into_iter().next() {
            self.choice(choice, out)?;
        }
        Ok(false)
    }

    fn end(&mut self, cause: ModelError, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        // After the finish reason only usage and `[DONE]` are missing: the answer is whole.
        let finish = self.finish.ok_or(cause)?;
        self.stop(finish, out);
        Ok(())
    }

    fn provider(&self) -> &str {
        &self.provider
    }
}

fn convert(usage: ChunkUsage) -> Usage {
    let details = usage.prompt_tokens_details;
    let cache_read = details
        .and_then(|details| details.cached_tokens)
        .or(usage.prompt_cache_hit_tokens)
        .unwrap_or_default();
    let cache_write = details.and_then(|details| details.cache_write_tokens).unwrap_or_default();
    Usage {
        input_tokens: usage.prompt_tokens.unwrap_or_default().saturating_sub(cache_read + cache_write),
        output_tokens: usage.completion_tokens.unwrap_or_default(),
        cache_read_tokens: cache_read,
        cache_write_tokens: cache_write,
    }
}
