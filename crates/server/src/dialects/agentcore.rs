//! Bedrock AgentCore Runtime: the events of Bedrock's Converse stream, wrapped as agents made with Strands send them
//! (`{"event":{"contentBlockDelta":…}}`), and the answer as a whole.
//!
//! Readers take lines that begin with `data: `; the `id:` before an event's last frame is the cursor for
//! `{"run_id","after"}` at the same route.

use std::io::Write as _;

use loquat_agent::event::{Event, Usage};
use loquat_agent::message::{Content, Message, Role, ToolResult, ToolStatus};
use serde_json::{Value, json};

use super::answer::{Answer, End};
use super::{Encoder, Facts, Flow};
use crate::runs::log::Entry;
use crate::runs::run::{Look, RunInfo};

/// Encodes events.
#[derive(Debug, Default)]
pub(super) struct Agentcore {
    /// A message of the assistant is open.
    speaking: bool,
    open: Option<Block>,
    index: usize,
}

/// The block that is being written.
#[derive(Clone, Debug, PartialEq)]
enum Block {
    Text,
    Reasoning,
    Tool(String),
}

impl Agentcore {
    /// Begins a block of this kind, unless it is open.
    fn block(&mut self, block: Block, out: &mut Vec<u8>) {
        if !self.speaking {
            self.speaking = true;
            self.index = 0;
            frame(out, &json!({"event": {"messageStart": {"role": "assistant"}}}));
        }
        if self.open.as_ref() != Some(&block) {
            self.stop(out);
            self.open = Some(block);
        }
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            frame(out, &json!({"event": {"contentBlockStop": {"contentBlockIndex": self.index}}}));
            self.index += 1;
        }
    }

    /// A piece of the open block. `kind` is what stands before the text.
    fn piece(&self, n: u64, kind: &str, text: &str, end: &str, out: &mut Vec<u8>) {
        let _ = write!(
            out,
            "id: {n}\ndata: {{\"event\":{{\"contentBlockDelta\":{{\"contentBlockIndex\":{},\"delta\":{{{kind}",
            self.index
        );
        let _ = serde_json::to_writer(&mut *out, text);
        let _ = write!(out, "{end}}}}}}}}}\n\n");
    }

    fn other(&mut self, n: u64, event: &Event, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        match event {
            Event::Started { model } => {
                let info = facts.info;
                last(
                    n,
                    out,
                    &json!({"run": {"session_id": info.session_id, "run_id": info.id, "model": model}}),
                );
            }
            Event::ToolStart { id, name } => {
                self.stop(out);
                self.block(Block::Tool(id.clone()), out);
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                let start = json!({"contentBlockIndex": self.index, "start": start});
                last(n, out, &json!({"event": {"contentBlockStart": start}}));
            }
            Event::ToolInput { id, delta } => {
                self.block(Block::Tool(id.clone()), out);
                self.piece(n, "\"toolUse\":{\"input\":", delta, "}", out);
            }
            Event::Usage { usage, stop_reason, .. } => {
                self.stop(out);
                self.speaking = false;
                frame(out, &json!({"event": {"messageStop": {"stopReason": stop_reason}}}));
                last(n, out, &json!({"event": {"metadata": {"usage": usage_of(*usage)}}}));
            }
            Event::ToolResult { id, content, is_error, .. } => {
                let status = if *is_error { ToolStatus::Error } else { ToolStatus::Success };
                let result = ToolResult { tool_use_id: id.clone(), content: content.clone(), status };
                let message = Message::new(Role::User, vec![Content::ToolResult(result)]);
                last(n, out, &json!({"message": message}));
            }
            Event::ToolProgress { id, progress } => {
                let told = json!({"tool_use": {"toolUseId": id}, "data": progress});
                last(n, out, &json!({"tool_stream_event": told}));
            }
            Event::ApprovalRequested { id, name, input, reason, expires_at } => {
                let mut told = json!({"id": id, "name": name, "input": input});
                for (field, value) in [("reason", reason), ("expires_at", expires_at)] {
                    if let Some(value) = value {
                        told[field] = value.as_str().into();
                    }
                }
                last(n, out, &json!({"approval": told}));
            }
            Event::Custom { name, data } => last(n, out, &json!({"custom": {"name": name, "data": data}})),
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
                self.stop(out);
                let mut told = json!({"stop_reason": outcome.as_str(), "usage": usage_of(facts.usage)});
                if let Some(count) = facts.message_count {
                    told["message_count"] = count.into();
                }
                if let Some(cost) = facts.cost_usd {
                    told["cost_usd"] = cost.into();
                }
                last(n, out, &json!({"result": told}));
                return Flow::End;
            }
            Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::ToolCall { .. }
            | Event::ClientCall { .. } => {}
        }
        Flow::Continue
    }
}

impl Encoder for Agentcore {
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        match entry {
            Entry::Text(text) => {
                self.block(Block::Text, out);
                self.piece(n, "\"text\":", text, "", out);
                Flow::Continue
            }
            Entry::Reasoning(text) => {
                self.block(Block::Reasoning, out);
                self.piece(n, "\"reasoningContent\":{\"text\":", text, "}", out);
                Flow::Continue
            }
            Entry::Other(event) => self.other(n, event, facts, out),
        }
    }

    fn failure(&mut self, error: &str, code: &str, _: bool, out: &mut Vec<u8>) {
        frame(out, &error_body(error, code));
    }

    fn stateful(&self) -> bool {
        true
    }
}

/// A failure as AgentCore's SDK tells it.
pub(crate) fn error_body(error: &str, code: &str) -> Value {
    json!({"error": error, "error_type": code, "message": error})
}

fn frame(out: &mut Vec<u8>, data: &Value) {
    let _ = write!(out, "data: {data}\n\n");
}

/// The last frame of an event.
fn last(n: u64, out: &mut Vec<u8>, data: &Value) {
    let _ = write!(out, "id: {n}\ndata: {data}\n\n");
}

fn usage_of(usage: Usage) -> Value {
    json!({
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
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
    let mut told = json!({
        "result": {"role": "assistant", "content": [{"text": answer.text}]},
        "stop_reason": outcome.as_str(),
        "session_id": info.session_id,
        "run_id": info.id,
        "usage": usage_of(answer.usage),
    });
    if let Some(cost) = answer.cost_usd {
        told["cost_usd"] = cost.into();
    }
    if !answer.tools.is_empty() {
        told["tools"] = json!(answer.tools);
    }
    if !answer.approvals.is_empty() {
        told["approvals"] = json!(answer.approvals);
    }
    Ok(told)
}
