//! A2A 1.0, the HTTP+JSON binding: a run is a task, its session the context, its answer the artifact `answer`.
//!
//! What A2A has no form for (the agent's tools) stands in the metadata of status updates, under `loquat`.

use std::io::Write as _;

use loquat_agent::event::{Event, Outcome};
use serde_json::{Value, json};

use super::answer::{Answer, End, Seam};
use super::{Encoder, Facts, Flow};
use crate::runs::log::Entry;
use crate::runs::run::{Look, RunInfo};

/// The artifact that the answer is.
const ARTIFACT: &str = "answer";

/// Encodes the stream of a task.
#[derive(Debug, Default)]
pub(super) struct A2a {
    seam: Seam,
    /// The first piece makes the artifact, the others are appended.
    begun: bool,
    /// What the end depends on, without the text.
    answer: Answer,
}

impl A2a {
    fn other(&mut self, event: &Event, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        let info = facts.info;
        self.answer.take(info, event);
        match event {
            Event::Started { .. } => {
                let status = json!({"state": "TASK_STATE_WORKING", "timestamp": info.created_at});
                frame(out, &json!({"task": {"id": info.id, "contextId": info.session_id, "status": status}}));
            }
            Event::ToolCall { id, name, input, .. } => {
                let told = json!({"tool_call": {"id": id, "name": name, "input": input}});
                update(info, json!({"state": "TASK_STATE_WORKING"}), told, out);
            }
            Event::ToolProgress { id, progress } => {
                let told = json!({"tool_progress": {"id": id, "progress": progress}});
                update(info, json!({"state": "TASK_STATE_WORKING"}), told, out);
            }
            Event::ToolResult { id, .. } => {
                self.seam.cut();
                let told = self.answer.tools.iter().find(|tool| tool.id == *id);
                update(info, json!({"state": "TASK_STATE_WORKING"}), json!({"tool_result": told}), out);
            }
            Event::Custom { name, data } => {
                let told = json!({"custom": {"name": name, "data": data}});
                update(info, json!({"state": "TASK_STATE_WORKING"}), told, out);
            }
            // Said already, and a client cannot take it back.
            Event::Reset { .. } => {
                let error = "The answer broke off and is being written again. Please ask again.";
                let end =
                    End::Failed { error: error.into(), code: "answer_restarted".into(), retryable: true };
                self.answer.end = Some(end);
                let (status, told) = status(info, &self.answer);
                update(info, status, told, out);
                return Flow::End;
            }
            Event::Finished { .. } | Event::Failed { .. } => {
                self.answer.cost_usd = facts.cost_usd;
                let (status, told) = status(info, &self.answer);
                update(info, status, told, out);
                return Flow::End;
            }
            Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::ToolStart { .. }
            | Event::ToolInput { .. }
            | Event::ApprovalRequested { .. }
            | Event::ClientCall { .. }
            | Event::Usage { .. } => {}
        }
        Flow::Continue
    }
}

impl Encoder for A2a {
    fn encode(&mut self, _: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        match entry {
            Entry::Text(text) => {
                let _ = write!(
                    out,
                    "data: {{\"artifactUpdate\":{{\"taskId\":\"{}\",\"contextId\":\"{}\",\"append\":{},\
                    \"artifact\":{{\"artifactId\":\"{ARTIFACT}\",\"parts\":[{{\"text\":",
                    facts.info.id, facts.info.session_id, self.begun
                );
                self.begun = true;
                // Writing to a vector cannot fail, and a text has a JSON form.
                let _ = match self.seam.before(text) {
                    "" => serde_json::to_writer(&mut *out, text),
                    seam => serde_json::to_writer(&mut *out, &[seam, text].concat()),
                };
                out.extend_from_slice(b"}]}}}\n\n");
                Flow::Continue
            }
            Entry::Reasoning(_) => Flow::Continue,
            Entry::Other(event) => self.other(event, facts, out),
        }
    }

    fn failure(&mut self, error: &str, code: &str, retryable: bool, out: &mut Vec<u8>) {
        let status = if retryable { 503 } else { 400 };
        let _ = write!(out, "event: error\ndata: {}\n\n", error_body(status, error, code));
    }

    fn stateful(&self) -> bool {
        true
    }
}

fn frame(out: &mut Vec<u8>, data: &Value) {
    let _ = write!(out, "data: {data}\n\n");
}

fn update(info: &RunInfo, status: Value, told: Value, out: &mut Vec<u8>) {
    let update = json!({"taskId": info.id, "contextId": info.session_id, "status": status,
        "metadata": {"loquat": told}});
    frame(out, &json!({"statusUpdate": update}));
}

/// The status of a task, and what else there is to say of it.
fn status(info: &RunInfo, answer: &Answer) -> (Value, Value) {
    let said = |text: &str| {
        json!({"messageId": format!("{}-status", info.id), "role": "ROLE_AGENT", "taskId": info.id,
            "contextId": info.session_id, "parts": [{"text": text}]})
    };
    let mut told = json!({});
    if let Some(cost) = answer.cost_usd {
        told["cost_usd"] = cost.into();
    }
    if !answer.tools.is_empty() {
        told["tools"] = json!(answer.tools);
    }
    let outcome = match &answer.end {
        None => return (json!({"state": "TASK_STATE_WORKING", "timestamp": info.created_at}), told),
        Some(End::Failed { error, code, retryable }) => {
            told["error"] = json!({"code": code, "retryable": retryable});
            return (json!({"state": "TASK_STATE_FAILED", "message": said(error)}), told);
        }
        Some(End::Finished(outcome)) => *outcome,
    };
    told["outcome"] = outcome.as_str().into();
    let status = match outcome {
        Outcome::Cancelled => json!({"state": "TASK_STATE_CANCELED"}),
        Outcome::Refusal | Outcome::Guardrail => json!({"state": "TASK_STATE_REJECTED"}),
        Outcome::Interrupted => {
            told["approvals"] = json!(answer.approvals);
            let mut asks = said("These calls need your consent before they run.");
            if let Some(parts) = asks["parts"].as_array_mut() {
                parts.push(json!({"data": {"approvals": answer.approvals}}));
            }
            json!({"state": "TASK_STATE_INPUT_REQUIRED", "message": asks})
        }
        // An answer that met a limit is an answer; `outcome` says which limit.
        Outcome::Complete
        | Outcome::StopSequence
        | Outcome::MaxTokens
        | Outcome::MaxSteps
        | Outcome::MaxSeconds => json!({"state": "TASK_STATE_COMPLETED"}),
    };
    (status, told)
}

/// A task as it is now, and whether it has ended.
pub(crate) fn task(info: &RunInfo, look: &Look<'_>) -> (Value, bool) {
    let answer = Answer::of(info, look);
    let (status, told) = status(info, &answer);
    let mut task = json!({"id": info.id, "contextId": info.session_id, "status": status,
        "metadata": {"loquat": told}});
    if !answer.text.is_empty() {
        task["artifacts"] = json!([{"artifactId": ARTIFACT, "parts": [{"text": answer.text}]}]);
    }
    (task, answer.end.is_some())
}

/// The frame with which a reader begins that comes later.
pub(crate) fn snapshot(task: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, &json!({"task": task}));
    out
}

/// An error as `google.rpc.Status`.
pub(crate) fn error_body(status: u16, message: &str, code: &str) -> Value {
    let reason = match code {
        "not_found" => "TASK_NOT_FOUND".to_owned(),
        "invalid_field" | "empty_message" | "message_too_long" => "INVALID_PARAMS".to_owned(),
        "invalid_json" | "invalid_request" | "invalid_body" => "INVALID_REQUEST".to_owned(),
        "internal" => "INTERNAL_ERROR".to_owned(),
        code => code.to_uppercase(),
    };
    let ours = ["UNSUPPORTED_OPERATION", "TASK_NOT_CANCELABLE", "VERSION_NOT_SUPPORTED"];
    let of_a2a = ours.contains(&reason.as_str()) || reason.ends_with("_NOT_SUPPORTED");
    let word = match status {
        400 if of_a2a && reason != "CONTENT_TYPE_NOT_SUPPORTED" => "FAILED_PRECONDITION",
        400 | 413 | 415 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        405 => "UNIMPLEMENTED",
        408 | 504 => "DEADLINE_EXCEEDED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        502 | 503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason,
        "domain": "a2a-protocol.org", "metadata": {}});
    json!({"error": {"code": status, "status": word, "message": message, "details": [info]}})
}
