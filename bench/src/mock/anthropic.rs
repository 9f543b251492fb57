//! Messages, as Anthropic streams them.

use serde_json::{Value, json};

use super::fault::Fault;
use super::plan::{Frame, Kind, Plan, Step};

/// Redacted reasoning of the mock, base64.
pub(super) const REDACTED: &str = "bW9jayByZWRhY3RlZA==";

fn event(kind: Kind, value: &Value) -> Frame {
    let name = value["type"].as_str().unwrap_or_default();
    Frame { kind, bytes: format!("event: {name}\ndata: {value}\n\n").into_bytes() }
}

/// The blocks of an answer: each is begun, filled and ended.
struct Blocks {
    frames: Vec<Frame>,
    index: usize,
    open: Option<&'static str>,
}

impl Blocks {
    fn open(&mut self, kind: &'static str, block: &Value) {
        self.close();
        self.open = Some(kind);
        let start = json!({"type": "content_block_start", "index": self.index, "content_block": block});
        self.frames.push(event(Kind::Mark, &start));
    }

    fn delta(&mut self, kind: Kind, delta: &Value) {
        let value = json!({"type": "content_block_delta", "index": self.index, "delta": delta});
        self.frames.push(event(kind, &value));
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.frames.push(event(Kind::Mark, &json!({"type": "content_block_stop", "index": self.index})));
            self.index += 1;
        }
    }
}

/// The frames of an answer.
pub(super) fn frames(plan: &Plan, model: &str) -> Vec<Frame> {
    let usage = json!({"input_tokens": plan.input_tokens, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": plan.cached_tokens, "output_tokens": 1});
    let message = json!({"id": "msg_mock", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage});
    let mut blocks = Blocks {
        frames: vec![
            event(Kind::Mark, &json!({"type": "message_start", "message": message})),
            event(Kind::Mark, &json!({"type": "ping"})),
        ],
        index: 0,
        open: None,
    };
    for step in &plan.steps {
        match step {
            Step::Redacted => {
                blocks.open("redacted", &json!({"type": "redacted_thinking", "data": REDACTED}));
                blocks.close();
            }
            Step::Reasoning(text) => {
                if blocks.open != Some("thinking") {
                    blocks.open("thinking", &json!({"type": "thinking", "thinking": "", "signature": ""}));
                }
                blocks.delta(Kind::Piece, &json!({"type": "thinking_delta", "thinking": text}));
            }
            Step::Signature(signature) => {
                blocks.delta(Kind::Mark, &json!({"type": "signature_delta", "signature": signature}));
                blocks.close();
            }
            Step::Text(text) => {
                if blocks.open != Some("text") {
                    blocks.open("text", &json!({"type": "text", "text": ""}));
                }
                blocks.delta(Kind::Piece, &json!({"type": "text_delta", "text": text}));
            }
            Step::ToolStart { id, name } => {
                blocks.open("tool", &json!({"type": "tool_use", "id": id, "name": name, "input": {}}));
                // The real service begins each input with an empty piece.
                blocks.delta(Kind::Mark, &json!({"type": "input_json_delta", "partial_json": ""}));
            }
            Step::ToolInput(piece) => {
                blocks.delta(Kind::Piece, &json!({"type": "input_json_delta", "partial_json": piece}));
            }
        }
    }
    blocks.close();
    let mut frames = blocks.frames;
    let reason = match plan.reason {
        "guardrail_intervened" | "content_filtered" => "refusal",
        "malformed_model_output" | "malformed_tool_use" => "end_turn",
        other => other,
    };
    let end = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": plan.output_tokens}});
    frames.push(event(Kind::Terminal, &end));
    frames.push(event(Kind::Terminal, &json!({"type": "message_stop"})));
    frames
}

/// A fault in the middle of a stream.
pub(super) fn fault(fault: Fault) -> Vec<u8> {
    event(Kind::Mark, &error(fault)).bytes
}

/// A fault as the body of a response.
pub(super) fn error(fault: Fault) -> Value {
    let face = fault.anthropic();
    json!({"type": "error", "error": {"type": face.kind, "message": face.message}, "request_id": "req_mock"})
}

/// A refusal of the request.
pub(super) fn refusal(message: &str) -> Value {
    json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "req_mock"})
}
