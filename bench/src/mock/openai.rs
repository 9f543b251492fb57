//! Chat completions, as OpenAI streams them.

use serde_json::{Value, json};

use super::fault::Fault;
use super::plan::{Frame, Kind, Plan, Step};

fn data(kind: Kind, value: &Value) -> Frame {
    Frame { kind, bytes: format!("data: {value}\n\n").into_bytes() }
}

/// The frames of an answer. `usage` is whether the client asked for the usage chunk.
pub(super) fn frames(plan: &Plan, model: &str, usage: bool) -> Vec<Frame> {
    let chunk = |choices: Value, totals: Value| {
        let mut chunk = json!({"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": model, "choices": choices});
        if usage {
            chunk["usage"] = totals;
        }
        chunk
    };
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]), Value::Null)
    };
    let mut frames = vec![data(Kind::Mark, &delta(json!({"role": "assistant", "content": ""}), Value::Null))];
    let mut calls = 0;
    for step in &plan.steps {
        let (kind, piece) = match step {
            Step::Reasoning(text) => (Kind::Piece, json!({"reasoning_content": text})),
            // This protocol has neither.
            Step::Signature(_) | Step::Redacted => continue,
            Step::Text(text) => (Kind::Piece, json!({"content": text})),
            Step::ToolStart { id, name } => {
                calls += 1;
                let function = json!({"name": name, "arguments": ""});
                let call = json!({"index": calls - 1, "id": id, "type": "function", "function": function});
                (Kind::Mark, json!({"tool_calls": [call]}))
            }
            Step::ToolInput(piece) => {
                (Kind::Piece, json!({"tool_calls": [{"index": calls - 1, "function": {"arguments": piece}}]}))
            }
        };
        frames.push(data(kind, &delta(piece, Value::Null)));
    }
    let reason = match plan.reason {
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "guardrail_intervened" | "content_filtered" => "content_filter",
        _ => "stop",
    };
    frames.push(data(Kind::Terminal, &delta(json!({}), reason.into())));
    if usage {
        let prompt = plan.input_tokens + plan.cached_tokens;
        let totals = json!({"prompt_tokens": prompt, "completion_tokens": plan.output_tokens,
            "total_tokens": prompt + plan.output_tokens,
            "prompt_tokens_details": {"cached_tokens": plan.cached_tokens}});
        frames.push(data(Kind::Terminal, &chunk(json!([]), totals)));
    }
    frames.push(Frame { kind: Kind::Terminal, bytes: b"data: [DONE]\n\n".to_vec() });
    frames
}

/// A fault in the middle of a stream.
pub(super) fn fault(fault: Fault) -> Vec<u8> {
    data(Kind::Mark, &error(fault)).bytes
}

/// A fault as the body of a response.
pub(super) fn error(fault: Fault) -> Value {
    let face = fault.openai();
    json!({"error": {"message": face.message, "type": face.kind, "param": null, "code": face.kind}})
}

/// A refusal of the request.
pub(super) fn refusal(message: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": null}})
}
