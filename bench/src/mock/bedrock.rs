//! ConverseStream, as Bedrock streams it: binary frames with two checksums each.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Value, json};

use super::anthropic::REDACTED;
use super::fault::Fault;
use super::plan::{Frame, Kind, Plan, Step};

fn message(headers: [(&'static str, String); 3], payload: &Value) -> Vec<u8> {
    let mut message = Message::new(payload.to_string());
    for (name, value) in headers {
        message = message.add_header(Header::new(name, HeaderValue::String(value.into())));
    }
    let mut bytes = Vec::new();
    // It fails on lengths that do not fit into 32 bits only.
    write_message_to(&message, &mut bytes).unwrap_or_default();
    bytes
}

fn event(kind: Kind, name: &str, payload: &Value) -> Frame {
    let headers = [
        (":event-type", name.to_owned()),
        (":content-type", "application/json".to_owned()),
        (":message-type", "event".to_owned()),
    ];
    Frame { kind, bytes: message(headers, payload) }
}

fn delta(kind: Kind, index: usize, delta: &Value) -> Frame {
    event(kind, "contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta}))
}

/// The frames of an answer.
pub(super) fn frames(plan: &Plan) -> Vec<Frame> {
    let mut frames = vec![event(Kind::Mark, "messageStart", &json!({"role": "assistant"}))];
    let mut index = 0;
    let mut open = None;
    for step in &plan.steps {
        let kind = match step {
            Step::Redacted => "redacted",
            Step::Reasoning(_) | Step::Signature(_) => "reasoning",
            Step::Text(_) => "text",
            Step::ToolStart { .. } | Step::ToolInput(_) => "tool",
        };
        if open.is_some_and(|open| open != kind || matches!(step, Step::ToolStart { .. })) {
            frames.push(event(Kind::Mark, "contentBlockStop", &json!({"contentBlockIndex": index})));
            index += 1;
        }
        open = Some(kind);
        frames.push(match step {
            Step::Redacted => {
                delta(Kind::Piece, index, &json!({"reasoningContent": {"redactedContent": REDACTED}}))
            }
            Step::Reasoning(text) => delta(Kind::Piece, index, &json!({"reasoningContent": {"text": text}})),
            Step::Signature(text) => {
                delta(Kind::Mark, index, &json!({"reasoningContent": {"signature": text}}))
            }
            // No contentBlockStart for text: the real service sends none.
            Step::Text(text) => delta(Kind::Piece, index, &json!({"text": text})),
            Step::ToolStart { id, name } => {
                let start = json!({"toolUse": {"toolUseId": id, "name": name}});
                event(Kind::Mark, "contentBlockStart", &json!({"contentBlockIndex": index, "start": start}))
            }
            Step::ToolInput(piece) => delta(Kind::Piece, index, &json!({"toolUse": {"input": piece}})),
        });
    }
    if open.is_some() {
        frames.push(event(Kind::Mark, "contentBlockStop", &json!({"contentBlockIndex": index})));
    }
    frames.push(event(Kind::Terminal, "messageStop", &json!({"stopReason": plan.reason})));
    let input = plan.input_tokens + plan.cached_tokens;
    let usage = json!({"inputTokens": plan.input_tokens, "outputTokens": plan.output_tokens,
        "totalTokens": input + plan.output_tokens, "cacheReadInputTokens": plan.cached_tokens,
        "cacheWriteInputTokens": 0});
    frames.push(event(Kind::Terminal, "metadata", &json!({"usage": usage, "metrics": {"latencyMs": 1}})));
    frames
}

/// A fault in the middle of a stream.
pub(super) fn fault(fault: Fault) -> Vec<u8> {
    let face = fault.bedrock();
    // In a stream the names begin with a small letter.
    let mut name = face.kind.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let headers = [
        (":exception-type", name),
        (":content-type", "application/json".to_owned()),
        (":message-type", "exception".to_owned()),
    ];
    message(headers, &json!({"message": face.message}))
}

/// A fault as the body of a response; its name goes into the header `x-amzn-errortype`.
pub(super) fn error(fault: Fault) -> Value {
    json!({"message": fault.bedrock().message})
}

/// A refusal of the request.
pub(super) fn refusal(message: &str) -> Value {
    json!({"message": message})
}
