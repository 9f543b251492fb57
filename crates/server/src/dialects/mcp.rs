//! The Model Context Protocol: the answer to one call of the agent as a tool, with notifications of progress before it.
//!
//! Each frame's `id:` holds all that is needed to go on after it (the run, the event, the request's id and its progress
//! token), so a client that lost the connection is served by any instance.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use loquat_agent::event::{Event, Outcome};
use serde_json::{Value, json};

use super::answer::{Answer, End};
use super::{Encoder, Facts, Flow};
use crate::ids::RunId;
use crate::runs::log::Entry;
use crate::runs::run::{Form, Look, RunInfo};

/// Encodes the answer to a call.
#[derive(Debug)]
pub(super) struct Mcp {
    /// What stands in `options`: `id`, `token`, `modern`.
    options: Value,
    writing: bool,
}

impl Mcp {
    pub(super) fn new(form: &Form) -> Self {
        Self { options: form.options.clone(), writing: false }
    }

    fn send(&self, n: u64, info: &RunInfo, message: &Value, out: &mut Vec<u8>) {
        let cursor = json!([info.id, n, self.options["id"], self.options["token"], self.options["modern"]]);
        let cursor = URL_SAFE_NO_PAD.encode(cursor.to_string());
        let _ = write!(out, "id: {cursor}\nevent: message\ndata: {message}\n\n");
    }

    /// Says how far the run is, if the client wants to know.
    fn progress(&self, n: u64, info: &RunInfo, words: &str, out: &mut Vec<u8>) {
        if self.options["token"].is_null() {
            return;
        }
        let params = json!({"progressToken": self.options["token"], "progress": n, "message": words});
        let message = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        self.send(n, info, &message, out);
    }
}

impl Encoder for Mcp {
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        let info = facts.info;
        match entry {
            Entry::Other(event) => {
                match event {
                    Event::Started { model } => self.progress(n, info, &format!("{model} is asked"), out),
                    Event::ToolCall { name, .. } => self.progress(n, info, &format!("runs {name}"), out),
                    Event::ToolResult { name, .. } => self.progress(n, info, &format!("ran {name}"), out),
                    Event::ToolProgress { progress, .. } => {
                        let words = progress.message.as_deref().unwrap_or("a tool is at work");
                        self.progress(n, info, words, out);
                    }
                    Event::Usage { .. } => self.writing = false,
                    Event::Finished { .. } | Event::Failed { .. } => {
                        // What was said is in the log: nothing is kept of it here.
                        let mut answer = Answer::folded(info, facts.usage, facts.cost_usd, facts.log);
                        answer.take(info, event);
                        let result = result(info, &answer, self.options["modern"] == true);
                        let message = json!({"jsonrpc": "2.0", "id": self.options["id"], "result": result});
                        self.send(n, info, &message, out);
                        return Flow::End;
                    }
                    _ => {}
                }
            }
            entry => {
                if !std::mem::replace(&mut self.writing, true) {
                    let words = if matches!(entry, Entry::Text(_)) { "writes" } else { "thinks" };
                    self.progress(n, info, words, out);
                }
            }
        }
        Flow::Continue
    }

    fn failure(&mut self, error: &str, code: &str, _: bool, out: &mut Vec<u8>) {
        let error = json!({"code": -32603, "message": error, "data": {"code": code}});
        let message = json!({"jsonrpc": "2.0", "id": self.options["id"], "error": error});
        let _ = write!(out, "event: message\ndata: {message}\n\n");
    }

    fn stateful(&self) -> bool {
        true
    }
}

/// Where a client goes on: the run, the last event it has, and the options of the encoder.
pub(crate) fn resume(cursor: &str) -> Option<(RunId, u64, Value)> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (run, n, id, token, modern): (RunId, u64, Value, Value, Value) =
        serde_json::from_slice(&bytes).ok()?;
    Some((run, n, json!({"id": id, "token": token, "modern": modern})))
}

/// The result of the call, once the run has ended.
pub(crate) fn whole(info: &RunInfo, look: &Look<'_>, modern: bool) -> Value {
    result(info, &Answer::of(info, look), modern)
}

fn result(info: &RunInfo, answer: &Answer, modern: bool) -> Value {
    let mut told = json!({"session_id": info.session_id, "run_id": info.id, "answer": answer.text});
    if let Some(cost) = answer.cost_usd {
        told["cost_usd"] = cost.into();
    }
    let mut words = vec![answer.text.clone()];
    let failed = match &answer.end {
        Some(End::Finished(outcome)) => {
            told["outcome"] = outcome.as_str().into();
            if *outcome == Outcome::Interrupted {
                told["approvals"] = json!(answer.approvals);
                words.push("A person has to consent before the agent goes on.".into());
            }
            false
        }
        Some(End::Failed { error, code, retryable }) => {
            told["outcome"] = "failed".into();
            told["error"] = json!({"message": error, "code": code, "retryable": retryable});
            words.push(error.clone());
            true
        }
        None => false,
    };
    let content: Vec<Value> = words
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| json!({"type": "text", "text": text}))
        .collect();
    let mut result = json!({"content": content, "structuredContent": told, "isError": failed});
    if modern {
        result["resultType"] = "complete".into();
    }
    result
}
