//! The output items of a response: what is said and called, in order.

use std::io::Write as _;

use loquat_agent::event::Event;
use serde_json::{Value, json};

use super::Frame;
use crate::dialects::chat::output;
use crate::runs::log::{Entry, Log, Pace};
use crate::runs::run::RunInfo;

/// The label of the server whose tools the agent's own are.
const SERVER: &str = "loquat";

/// The items so far.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: Vec<Value>,
    open: Option<Open>,
    /// The calls of the agent's own tools that run: the call's id, and the item's place.
    running: Vec<(String, usize)>,
    /// How many items there were when the current model call began.
    step: usize,
}

/// Where in a run something is told.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// What is known of the run.
    pub(super) info: &'a RunInfo,
    /// Its events.
    pub(super) log: &'a Log,
    /// The last event before the one that is told: pieces of text may be told as one, under the number of the last.
    pub(super) after: u64,
}

/// A text that is being written.
#[derive(Debug)]
struct Open {
    /// Reasoning, not the answer.
    reasoning: bool,
    id: String,
    at: usize,
    /// The event before its first piece. The text itself stays in the log: a reader holds no copy of it.
    after: u64,
    /// What a frame with a piece of it begins with.
    head: String,
}

impl Items {
    /// All items as they are now; of an open text what the log has of it after the first event that was told.
    pub(super) fn list(&self, log: &Log) -> Vec<Value> {
        let mut items = self.items.clone();
        if let Some(open) = &self.open
            && let Some(item) = items.get_mut(open.at)
        {
            item["content"] = json!([part(open, &open.text(log, log.len()))]);
        }
        items
    }

    /// Takes back what the current model call has said.
    pub(super) fn reset(&mut self) {
        self.open = None;
        self.items.truncate(self.step);
    }

    /// Writes the frame of another piece of the open text; `false` if none is open.
    pub(super) fn piece(&mut self, text: &str, number: u64, out: &mut Vec<u8>) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| !open.reasoning) else { return false };
        out.extend_from_slice(open.head.as_bytes());
        let _ = serde_json::to_writer(&mut *out, text);
        let _ = write!(out, ",\"logprobs\":[],\"sequence_number\":{number}}}\n\n");
        true
    }

    /// Takes in an event that is neither the first nor the last.
    pub(super) fn take(&mut self, place: Place<'_>, event: &Event, frames: &mut Vec<Frame>) {
        let info = place.info;
        match event {
            Event::Text { text } => self.say(place, false, text, frames),
            Event::Reasoning { text, .. } if !text.is_empty() => self.say(place, true, text, frames),
            Event::Usage { .. } => {
                self.close(place, true, frames);
                self.step = self.items.len();
            }
            Event::ToolCall { id, name, input, .. } if !info.client_tools.contains(name) => {
                self.close(place, true, frames);
                let at = self.items.len();
                self.running.push((id.clone(), at));
                let arguments = input.to_string();
                let item_id = format!("mcp_{id}");
                let item = mcp_call(&item_id, name, "", "in_progress");
                self.add(item, frames);
                let of = json!({"item_id": item_id, "output_index": at});
                frames.push(Frame::new("response.mcp_call.in_progress", of.clone()));
                let mut delta = of.clone();
                delta["delta"] = arguments.as_str().into();
                frames.push(Frame::new("response.mcp_call_arguments.delta", delta));
                let mut done = of;
                done["arguments"] = arguments.as_str().into();
                frames.push(Frame::new("response.mcp_call_arguments.done", done));
                self.items[at]["arguments"] = arguments.into();
            }
            Event::ToolResult { id, name, content, is_error, .. } if !info.client_tools.contains(name) => {
                self.close(place, true, frames);
                let running = self.running.iter().position(|(running, _)| running == id);
                let at = match running {
                    Some(place) => self.running.swap_remove(place).1,
                    // Called in the response before, and allowed now.
                    None => {
                        let mut item = mcp_call(&format!("mcp_{id}"), name, "", "in_progress");
                        item["approval_request_id"] = format!("mcpr_{id}").into();
                        self.add(item, frames);
                        self.items.len() - 1
                    }
                };
                let told = match output(content) {
                    Value::String(text) => text,
                    value => value.to_string(),
                };
                let item = &mut self.items[at];
                let kind = if *is_error {
                    let error = json!({"type": "mcp_tool_execution_error",
                        "content": [{"type": "text", "text": told}]});
                    item["error"] = error;
                    item["status"] = "failed".into();
                    "response.mcp_call.failed"
                } else {
                    item["output"] = told.into();
                    item["status"] = "completed".into();
                    "response.mcp_call.completed"
                };
                frames.push(Frame::new(kind, json!({"item_id": item["id"], "output_index": at})));
                self.done(at, frames);
                self.step = self.items.len();
            }
            Event::ApprovalRequested { id, name, input, .. } => {
                // It was taken for one that runs.
                if let Some(place) = self.running.iter().position(|(running, _)| running == id) {
                    let at = self.running.swap_remove(place).1;
                    self.items[at]["status"] = "incomplete".into();
                    self.done(at, frames);
                }
                let item = json!({"type": "mcp_approval_request", "id": format!("mcpr_{id}"), "name": name,
                    "arguments": input.to_string(), "server_label": SERVER});
                self.add(item, frames);
                self.done(self.items.len() - 1, frames);
            }
            Event::ClientCall { id, name, input } => {
                self.close(place, true, frames);
                let at = self.items.len();
                let arguments = input.to_string();
                let item_id = format!("fc_{id}");
                let item = json!({"type": "function_call", "id": item_id, "call_id": id, "name": name,
                    "arguments": "", "status": "in_progress"});
                self.add(item, frames);
                let delta = json!({"item_id": item_id, "output_index": at, "delta": arguments});
                frames.push(Frame::new("response.function_call_arguments.delta", delta));
                let done =
                    json!({"item_id": item_id, "output_index": at, "name": name, "arguments": arguments});
                frames.push(Frame::new("response.function_call_arguments.done", done));
                self.items[at]["arguments"] = arguments.into();
                self.items[at]["status"] = "completed".into();
                self.done(at, frames);
            }
            // OpenAI has no form for the rest.
            _ => {}
        }
    }

    fn say(&mut self, place: Place<'_>, reasoning: bool, text: &str, frames: &mut Vec<Frame>) {
        if self.open.as_ref().is_some_and(|open| open.reasoning != reasoning) {
            self.close(place, true, frames);
        }
        if self.open.is_none() {
            self.begin(place, reasoning, frames);
        }
        let Some(open) = &self.open else { return };
        let mut delta =
            json!({"item_id": open.id, "output_index": open.at, "content_index": 0, "delta": text});
        let kind = if reasoning {
            "response.reasoning_text.delta"
        } else {
            delta["logprobs"] = json!([]);
            "response.output_text.delta"
        };
        frames.push(Frame::new(kind, delta));
    }

    fn begin(&mut self, place: Place<'_>, reasoning: bool, frames: &mut Vec<Frame>) {
        let at = self.items.len();
        let (prefix, item) = if reasoning {
            ("rs", json!({"type": "reasoning", "summary": []}))
        } else {
            ("msg", json!({"type": "message", "role": "assistant"}))
        };
        let id = format!("{prefix}_{}_{at}", place.info.id);
        let mut item = item;
        item["id"] = id.as_str().into();
        item["status"] = "in_progress".into();
        item["content"] = json!([]);
        self.add(item, frames);
        let head = format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\
            \"item_id\":\"{id}\",\"output_index\":{at},\"content_index\":0,\"delta\":"
        );
        let open = Open { reasoning, id, at, after: place.after, head };
        let part =
            json!({"item_id": open.id, "output_index": at, "content_index": 0, "part": part(&open, "")});
        frames.push(Frame::new("response.content_part.added", part));
        self.open = Some(open);
    }

    /// Ends the open text, `whole` or broken off. Calls that ran when the run ended are ended too.
    pub(super) fn close(&mut self, place: Place<'_>, whole: bool, frames: &mut Vec<Frame>) {
        if !whole {
            for (_, at) in std::mem::take(&mut self.running) {
                self.items[at]["status"] = "incomplete".into();
                self.done(at, frames);
            }
        }
        let Some(open) = self.open.take() else { return };
        let of = json!({"item_id": open.id, "output_index": open.at, "content_index": 0});
        let text = open.text(place.log, place.after);
        let mut done = of.clone();
        done["text"] = text.as_str().into();
        let kind = if open.reasoning {
            "response.reasoning_text.done"
        } else {
            done["logprobs"] = json!([]);
            "response.output_text.done"
        };
        frames.push(Frame::new(kind, done));
        let part = part(&open, &text);
        let mut part_done = of;
        part_done["part"] = part.clone();
        frames.push(Frame::new("response.content_part.done", part_done));
        self.items[open.at]["content"] = json!([part]);
        self.items[open.at]["status"] = if whole { "completed" } else { "incomplete" }.into();
        self.done(open.at, frames);
    }

    fn add(&mut self, item: Value, frames: &mut Vec<Frame>) {
        let added = json!({"output_index": self.items.len(), "item": item});
        frames.push(Frame::new("response.output_item.added", added));
        self.items.push(item);
    }

    fn done(&self, at: usize, frames: &mut Vec<Frame>) {
        let done = json!({"output_index": at, "item": self.items[at]});
        frames.push(Frame::new("response.output_item.done", done));
    }
}

impl Open {
    /// What the log has of it, up to event number `last`.
    fn text(&self, log: &Log, last: u64) -> String {
        let mut whole = String::new();
        log.read(self.after, Pace::Joined, |n, entry| {
            match entry {
                Entry::Text(text) if !self.reasoning => whole.push_str(text),
                Entry::Reasoning(text) if self.reasoning => whole.push_str(text),
                Entry::Other(Event::Reasoning { text, .. }) if self.reasoning => whole.push_str(text),
                _ => {}
            }
            n < last
        });
        whole
    }
}

fn part(open: &Open, text: &str) -> Value {
    if open.reasoning {
        return json!({"type": "reasoning_text", "text": text});
    }
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn mcp_call(id: &str, name: &str, arguments: &str, status: &str) -> Value {
    json!({"type": "mcp_call", "id": id, "name": name, "arguments": arguments, "server_label": SERVER,
        "status": status, "output": null, "error": null, "approval_request_id": null})
}
