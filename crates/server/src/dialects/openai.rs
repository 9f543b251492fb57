//! OpenAI chat completions: chunks, and the answer as a whole.
//!
//! The client sees one assistant's message. The agent's own tools run here and show only in the member `loquat`, which
//! OpenAI's clients pass over; calls of the client's tools are told when it is certain that they are the client's to
//! answer. There is no `id:` line: the Python SDK takes the empty line after a comment for a frame once it has seen one.

use std::io::Write as _;

use loquat_agent::event::{Event, Outcome, Usage};
use serde_json::{Map, Value, json};

use super::answer::{Answer, End, Seam, Waiting};
use super::{Encoder, Facts, Flow};
use crate::runs::log::Entry;
use crate::runs::run::{Form, Look, RunInfo};

/// Encodes chunks.
#[derive(Debug)]
pub(super) struct Openai {
    /// Whether the usage is told.
    usage: bool,
    /// Whether the client named the session.
    named: bool,
    /// What every chunk begins with.
    head: String,
    seam: Seam,
    /// What the end depends on.
    answer: Answer,
}

impl Openai {
    pub(super) fn new(form: &Form) -> Self {
        Self {
            usage: form.options["usage"] == true,
            named: form.options["named"] == true,
            head: String::new(),
            seam: Seam::default(),
            answer: Answer::default(),
        }
    }

    /// A chunk whose delta has one text.
    fn piece(&self, field: &str, seam: &str, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(b"\"choices\":[{\"index\":0,\"delta\":{\"");
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\":");
        // Writing to a vector cannot fail, and a text has a JSON form.
        let _ = match seam {
            "" => serde_json::to_writer(&mut *out, text),
            seam => serde_json::to_writer(&mut *out, &[seam, text].concat()),
        };
        out.extend_from_slice(b"},\"finish_reason\":null}]");
        self.tail(out);
    }

    /// A chunk of any form.
    fn chunk(&self, choices: &Value, more: Option<(&str, Value)>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.as_bytes());
        let _ = write!(out, "\"choices\":{choices}");
        if let Some((name, value)) = more {
            let _ = write!(out, ",\"{name}\":{value}");
            if name == "usage" {
                out.extend_from_slice(b"}\n\n");
                return;
            }
        }
        self.tail(out);
    }

    fn tail(&self, out: &mut Vec<u8>) {
        if self.usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
    }

    /// A chunk that only programs that know Loquat look into.
    fn extension(&self, told: Value, out: &mut Vec<u8>) {
        self.chunk(&choice(&json!({}), None), Some(("loquat", told)), out);
    }

    fn other(&mut self, event: &Event, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        // Text does not matter to the end of a stream.
        self.answer.take(facts.info, event);
        match event {
            Event::Started { model } => {
                self.head = format!(
                    "data: {{\"id\":\"{}\",\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},",
                    id(facts.info),
                    facts.info.created_at.as_second(),
                    Value::from(model.as_str()),
                );
                let first = choice(&json!({"role": "assistant", "content": ""}), None);
                self.chunk(&first, Some(("loquat", Value::Object(ids(facts.info, self.named)))), out);
            }
            Event::ToolCall { id, name, input, .. } if !facts.info.client_tools.contains(name) => {
                self.extension(json!({"tool_call": {"id": id, "name": name, "input": input}}), out);
            }
            Event::ToolProgress { id, progress } => {
                self.extension(json!({"tool_progress": {"id": id, "progress": progress}}), out);
            }
            Event::ToolResult { id, .. } => {
                self.seam.cut();
                if let Some(tool) = self.answer.tools.iter().find(|tool| tool.id == *id) {
                    self.extension(json!({"tool_result": tool}), out);
                }
            }
            Event::ApprovalRequested { .. } => {
                self.extension(json!({"approval": self.answer.approvals.last()}), out);
            }
            Event::Custom { name, data } => {
                self.extension(json!({"custom": {"name": name, "data": data}}), out);
            }
            // Said already, and a client cannot take it back.
            Event::Reset { .. } => {
                let error = "The answer broke off and is being written again. Please ask again.";
                self.failure(error, "answer_restarted", true, out);
                return Flow::End;
            }
            Event::Failed { error, code, retryable } => {
                self.failure(error, code, *retryable, out);
                return Flow::End;
            }
            Event::Finished { outcome } => {
                self.end(*outcome, facts, out);
                return Flow::End;
            }
            Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::ToolStart { .. }
            | Event::ToolInput { .. }
            | Event::ToolCall { .. }
            | Event::ClientCall { .. }
            | Event::Usage { .. } => {}
        }
        Flow::Continue
    }

    fn end(&self, outcome: Outcome, facts: &Facts<'_>, out: &mut Vec<u8>) {
        for (n, call) in self.answer.calls.iter().enumerate() {
            let mut told = tool_call(call);
            told["index"] = n.into();
            self.chunk(&choice(&json!({"tool_calls": [told]}), None), None, out);
        }
        let reason = finish_reason(outcome, !self.answer.calls.is_empty());
        let mut told = json!({"outcome": outcome.as_str()});
        if let Some(cost) = facts.cost_usd {
            told["cost_usd"] = cost.into();
        }
        self.chunk(&choice(&json!({}), Some(reason)), Some(("loquat", told)), out);
        if self.usage {
            self.chunk(&json!([]), Some(("usage", usage_of(facts.usage))), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl Encoder for Openai {
    fn encode(&mut self, _: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        match entry {
            Entry::Text(text) => {
                let seam = self.seam.before(text);
                self.piece("content", seam, text, out);
                Flow::Continue
            }
            // As DeepSeek and vLLM name it.
            Entry::Reasoning(text) => {
                self.piece("reasoning_content", "", text, out);
                Flow::Continue
            }
            Entry::Other(event) => self.other(event, facts, out),
        }
    }

    fn failure(&mut self, error: &str, code: &str, retryable: bool, out: &mut Vec<u8>) {
        let kind = if retryable { "server_error" } else { "invalid_request_error" };
        let told = json!({"error": {"message": error, "type": kind, "param": null, "code": code}});
        let _ = write!(out, "data: {told}\n\n");
    }

    fn stateful(&self) -> bool {
        true
    }
}

fn id(info: &RunInfo) -> String {
    format!("chatcmpl-{}", info.id)
}

/// Under which names the run is known to the other routes.
fn ids(info: &RunInfo, named: bool) -> Map<String, Value> {
    let mut ids = Map::new();
    ids.insert("run_id".into(), info.id.as_str().into());
    if named {
        ids.insert("session_id".into(), info.session_id.as_str().into());
    }
    ids
}

fn choice(delta: &Value, reason: Option<&str>) -> Value {
    json!([{"index": 0, "delta": delta, "finish_reason": reason}])
}

fn tool_call(call: &Waiting) -> Value {
    let function = json!({"name": call.name, "arguments": call.input.to_string()});
    json!({"id": call.id, "type": "function", "function": function})
}

/// OpenAI's four words for how an answer ends.
fn finish_reason(outcome: Outcome, calls: bool) -> &'static str {
    match outcome {
        Outcome::Interrupted if calls => "tool_calls",
        Outcome::MaxTokens | Outcome::MaxSteps | Outcome::MaxSeconds => "length",
        Outcome::Refusal | Outcome::Guardrail => "content_filter",
        Outcome::Complete | Outcome::Cancelled | Outcome::StopSequence | Outcome::Interrupted => "stop",
    }
}

fn usage_of(usage: Usage) -> Value {
    let read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    json!({
        "prompt_tokens": read,
        "completion_tokens": usage.output_tokens,
        "total_tokens": read + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens},
    })
}

/// The answer of a run that has ended, whole.
///
/// # Errors
/// What it failed with: words for people, and the stable code.
pub(crate) fn whole(info: &RunInfo, look: &Look<'_>) -> Result<Value, (String, String)> {
    let answer = Answer::of(info, look);
    let outcome = match answer.end {
        Some(End::Finished(outcome)) => outcome,
        Some(End::Failed { error, code, .. }) => return Err((error, code)),
        None => return Err(("The answer is not complete.".into(), "internal".into())),
    };
    let said = !answer.text.is_empty() || answer.calls.is_empty();
    let content = said.then_some(answer.text);
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !answer.reasoning.is_empty() {
        message["reasoning_content"] = answer.reasoning.into();
    }
    if !answer.calls.is_empty() {
        message["tool_calls"] = answer.calls.iter().map(tool_call).collect();
    }
    let mut told = ids(info, info.form.options["named"] == true);
    told.insert("outcome".into(), outcome.as_str().into());
    if let Some(cost) = answer.cost_usd {
        told.insert("cost_usd".into(), cost.into());
    }
    if !answer.tools.is_empty() {
        told.insert("tools".into(), json!(answer.tools));
    }
    if !answer.approvals.is_empty() {
        told.insert("approvals".into(), json!(answer.approvals));
    }
    let reason = finish_reason(outcome, !answer.calls.is_empty());
    Ok(json!({
        "id": id(info),
        "object": "chat.completion",
        "created": info.created_at.as_second(),
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": null}],
        "usage": usage_of(answer.usage),
        "loquat": told,
    }))
}
