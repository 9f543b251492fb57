//! AG-UI 1.0: stored messages as a client sees them.
//!
//! The ids are a function of what is stored, so that a snapshot names the messages of a stream as the stream did: the
//! n-th assistant's message of a run is `{run}-{n}`, its m-th reasoning `{run}-{n}-r{m}`, the answer to a call
//! `{call}-result`. A user's message has the id that its client gave it.

use std::collections::HashMap;

use base64::Engine as _;
use loquat_agent::event::Event;
use loquat_agent::message::{
    Content, Document, Image, Message, Role, Source, ToolContent, ToolResult, ToolStatus,
};
use loquat_agent::transcript::Transcript;
use serde_json::{Map, Value, json};

use super::events::Ran;
use crate::dialects::chat::output;
use crate::runs::log::{Log, Pace};

/// Where the id that a client gave its message is noted.
pub(crate) const MESSAGE_ID: &str = "message_id";

/// The id of a run's n-th assistant's message.
pub(crate) fn assistant_id(run: &str, n: usize) -> String {
    format!("{run}-{n}")
}

/// The id of the m-th reasoning of an assistant's message.
pub(crate) fn reasoning_id(message: &str, m: usize) -> String {
    format!("{message}-r{m}")
}

/// The id of the message that answers a call.
pub(crate) fn result_id(call: &str) -> String {
    format!("{call}-result")
}

/// All messages of a conversation.
pub(crate) fn all(messages: &[Message]) -> Vec<Value> {
    let mut told = Vec::new();
    each(messages, |message, run, n| one(message, run, n, &mut told));
    told
}

/// What the assistant's messages say, by their ids.
pub(super) fn texts(messages: &[Message]) -> HashMap<String, String> {
    let mut told = HashMap::new();
    each(messages, |message, run, n| {
        if message.role == Role::Assistant {
            let text = message.content.iter().filter_map(Content::as_text).collect();
            told.insert(assistant_id(run, n), text);
        }
    });
    told
}

/// Visits messages, each with its run and the number of assistant's messages in it so far.
fn each(messages: &[Message], mut visit: impl FnMut(&Message, &str, usize)) {
    let mut run = String::new();
    let mut n = 0;
    for (at, message) in messages.iter().enumerate() {
        let noted = message.metadata.get("run_id").and_then(Value::as_str);
        // A file of another program notes no runs.
        let of = noted.map_or_else(|| format!("m{at}"), str::to_owned);
        if of != run {
            run = of;
            n = 0;
        }
        n += usize::from(message.role == Role::Assistant);
        visit(message, &run, n);
    }
}

/// The messages of a run, as its log has them up to event number `until`.
pub(super) fn of_run(log: &Log, until: u64, run: &str) -> Vec<Value> {
    let mut transcript = Transcript::new();
    let mut written = Written::default();
    log.read(0, Pace::EachPiece, |at, entry| {
        if at <= until {
            let event = entry.to_event();
            written.take(&event);
            transcript.apply(&event);
        }
        at < until
    });
    let mut told = Vec::new();
    let mut n = 0;
    for message in transcript.messages() {
        n += usize::from(message.role == Role::Assistant);
        one(&message, run, n, &mut told);
    }
    written.restore(&mut told);
    told
}

/// What a stream told of calls and a message does not hold: a snapshot tells it too, so that a client that comes back has
/// what it would have had.
#[derive(Default)]
struct Written {
    /// The inputs as the model wrote them, every letter.
    inputs: HashMap<String, String>,
    /// How the tools ran.
    results: HashMap<String, Ran>,
}

impl Written {
    fn take(&mut self, event: &Event) {
        match event {
            Event::ToolStart { id, .. } => drop(self.inputs.insert(id.clone(), String::new())),
            Event::ToolInput { id, delta } => {
                if let Some(known) = self.inputs.get_mut(id) {
                    known.push_str(delta);
                }
            }
            Event::ToolResult { id, is_error, duration_ms, .. } => {
                let ran = Ran { is_error: *is_error, duration_ms: *duration_ms };
                self.results.insert(id.clone(), ran);
            }
            _ => {}
        }
    }

    fn restore(&self, told: &mut [Value]) {
        for message in told.iter_mut().filter_map(Value::as_object_mut) {
            for call in message.get_mut("toolCalls").and_then(Value::as_array_mut).into_iter().flatten() {
                let written = call["id"].as_str().and_then(|id| self.inputs.get(id));
                // What is no JSON was not what the call got.
                if let Some(text) = written.filter(|text| serde_json::from_str::<Value>(text).is_ok()) {
                    call["function"]["arguments"] = text.as_str().into();
                }
            }
            let ran = message.get("toolCallId").and_then(Value::as_str).and_then(|id| self.results.get(id));
            if let Some(ran) = ran {
                message.insert("metadata".into(), json!(ran));
                message.remove("error");
            }
        }
    }
}

fn one(message: &Message, run: &str, n: usize, told: &mut Vec<Value>) {
    match message.role {
        Role::Assistant => {
            // Only a client that keeps its conversation itself has named it.
            let named = message.metadata.get(MESSAGE_ID).and_then(Value::as_str);
            assistant(message, &named.map_or_else(|| assistant_id(run, n), str::to_owned), told);
        }
        Role::User => {
            told.extend(message.tool_results().map(tool));
            let parts: Vec<Value> = message.content.iter().filter_map(part).collect();
            if !parts.is_empty() {
                let id = message.metadata.get(MESSAGE_ID).and_then(Value::as_str);
                let id = id.map_or_else(|| format!("{run}-u"), str::to_owned);
                let content = match message.content.as_slice() {
                    [Content::Text(text)] => Value::String(text.clone()),
                    _ => Value::Array(parts),
                };
                told.push(json!({"id": id, "role": "user", "content": content}));
            }
        }
    }
}

fn assistant(message: &Message, id: &str, told: &mut Vec<Value>) {
    let (mut text, mut calls, mut reasonings) = (String::new(), Vec::new(), 0);
    for block in &message.content {
        match block {
            Content::Text(piece) => text.push_str(piece),
            Content::Reasoning(reasoning) => {
                let thought = reasoning.reasoning_text.as_ref().map_or("", |block| &block.text);
                if !thought.is_empty() {
                    reasonings += 1;
                    told.push(
                        json!({"id": reasoning_id(id, reasonings), "role": "reasoning", "content": thought}),
                    );
                }
            }
            Content::ToolUse(call) => {
                calls.push(call_of(&call.tool_use_id, &call.name, &call.input.to_string()));
            }
            _ => {}
        }
    }
    if text.is_empty() && calls.is_empty() {
        return;
    }
    let mut said = Map::new();
    said.insert("id".into(), id.into());
    said.insert("role".into(), "assistant".into());
    if !text.is_empty() {
        said.insert("content".into(), text.into());
    }
    if !calls.is_empty() {
        said.insert("toolCalls".into(), calls.into());
    }
    told.push(said.into());
}

/// A call in an assistant's message.
pub(super) fn call_of(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn tool(result: &ToolResult) -> Value {
    let content = result_content(&result.content);
    let mut told =
        json!({"id": result_id(&result.tool_use_id), "role": "tool", "toolCallId": result.tool_use_id});
    if result.status == ToolStatus::Error {
        told["error"] = match &content {
            Value::String(_) => content.clone(),
            _ => "The tool failed.".into(),
        };
    }
    told["content"] = content;
    told
}

/// A tool's answer: text, or parts where there are pictures or documents. Other values are told as JSON text.
pub(super) fn result_content(content: &[ToolContent]) -> Value {
    let is_text = |block: &ToolContent| matches!(block, ToolContent::Text(_) | ToolContent::Json(_));
    if content.iter().all(is_text) {
        return match output(content) {
            Value::String(text) => text.into(),
            other => other.to_string().into(),
        };
    }
    let parts = content.iter().filter_map(|block| match block {
        ToolContent::Text(text) => Some(json!({"type": "text", "text": text})),
        ToolContent::Json(value) => Some(json!({"type": "text", "text": value.to_string()})),
        ToolContent::Image(image) => part(&Content::Image(image.clone())),
        ToolContent::Document(document) => part(&Content::Document(document.clone())),
        ToolContent::Other(_) => None,
    });
    parts.collect::<Vec<_>>().into()
}

fn part(block: &Content) -> Option<Value> {
    let data = |source: &Source, kind: String| match source {
        Source::Bytes(bytes) => {
            let value = base64::engine::general_purpose::STANDARD.encode(&bytes.0);
            Some(json!({"type": "data", "value": value, "mimeType": kind}))
        }
        Source::Other(_) => None,
    };
    match block {
        Content::Text(text) => Some(json!({"type": "text", "text": text})),
        Content::Image(Image { format, source }) => {
            Some(json!({"type": "image", "source": data(source, format!("image/{format}"))?}))
        }
        Content::Document(Document { format, source, .. }) => {
            Some(json!({"type": "document", "source": data(source, media_type(format).to_owned())?}))
        }
        _ => None,
    }
}

/// The media type of a document's format.
pub(crate) fn media_type(format: &str) -> &'static str {
    match format {
        "pdf" => "application/pdf",
        "csv" => "text/csv",
        "html" => "text/html",
        "md" => "text/markdown",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}
