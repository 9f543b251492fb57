//! The AI SDK: a conversation that only the client keeps.

use loquat_agent::message::{Content, Message, Role, ToolResult, ToolUse};
use serde_json::{Value, json};

use super::input::{UiMessage, output};
use crate::dialects::told::{add_result, result};

/// What was said, with the calls of tools and their answers.
pub(crate) fn conversation(all: &[UiMessage]) -> Vec<Message> {
    let mut messages = Vec::new();
    for said in all {
        match said.role.as_str() {
            "user" if !said.text().is_empty() => messages.push(Message::user(said.text())),
            "assistant" => steps(&said.parts, &mut messages),
            _ => {}
        }
    }
    messages
}

/// One message of the SDK tells several calls of the model, each with the answers of its tools.
fn steps(parts: &[Value], messages: &mut Vec<Message>) {
    let (mut content, mut results) = (Vec::new(), Vec::new());
    for part in parts {
        let text = part["text"].as_str().filter(|text| part["type"] == "text" && !text.is_empty());
        if part["type"] == "step-start" || (text.is_some() && !results.is_empty()) {
            end(&mut content, &mut results, messages);
        }
        if let Some(text) = text {
            content.push(Content::Text(text.to_owned()));
        }
        if let Some((call, answer)) = answered(part) {
            content.push(Content::ToolUse(call));
            results.push(answer);
        }
    }
    end(&mut content, &mut results, messages);
}

fn end(content: &mut Vec<Content>, results: &mut Vec<ToolResult>, messages: &mut Vec<Message>) {
    if !content.is_empty() {
        messages.push(Message::new(Role::Assistant, std::mem::take(content)));
    }
    results.drain(..).for_each(|result| add_result(messages, result));
}

/// A call that has an answer. Others never ran.
fn answered(part: &Value) -> Option<(ToolUse, ToolResult)> {
    let name = match part["type"].as_str()? {
        "dynamic-tool" => part["toolName"].as_str()?,
        kind => kind.strip_prefix("tool-")?,
    };
    let id = part["toolCallId"].as_str()?;
    let answer = result(id, output(part)?);
    let input = Some(&part["input"]).filter(|input| input.is_object()).cloned().unwrap_or_else(|| json!({}));
    Some((ToolUse { tool_use_id: id.to_owned(), name: name.to_owned(), input }, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart_into_its_steps() {
        let all: Vec<UiMessage> = serde_json::from_value(json!([
            {"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Where?"}]},
            {"id": "a1", "role": "assistant", "parts": [
                {"type": "step-start"},
                {"type": "reasoning", "text": "Hm."},
                {"type": "text", "text": "I look."},
                {"type": "tool-locate", "toolCallId": "c1", "state": "output-available", "input": {"a": 1}, "output": {"b": 2}},
                {"type": "dynamic-tool", "toolName": "pay", "toolCallId": "c2", "state": "output-error", "errorText": "no"},
                {"type": "dynamic-tool", "toolName": "pay", "toolCallId": "c3", "state": "input-available", "input": {}},
                {"type": "step-start"},
                {"type": "text", "text": "There."},
            ]},
        ]))
        .unwrap();
        let told = serde_json::to_value(conversation(&all)).unwrap();
        let content: Vec<_> = told.as_array().unwrap().iter().map(|m| (&m["role"], &m["content"])).collect();
        let uses = |id: &str, name: &str, input: Value| json!({"toolUse": {"toolUseId": id, "name": name, "input": input}});
        let answer = |id: &str, content: Value, status: &str| json!({"toolResult": {"toolUseId": id, "content": [content], "status": status}});
        assert_eq!(
            content,
            [
                (&json!("user"), &json!([{"text": "Where?"}])),
                (
                    &json!("assistant"),
                    &json!([{"text": "I look."}, uses("c1", "locate", json!({"a": 1})), uses("c2", "pay", json!({}))])
                ),
                (
                    &json!("user"),
                    &json!([
                        answer("c1", json!({"json": {"b": 2}}), "success"),
                        answer("c2", json!({"text": "no"}), "error")
                    ])
                ),
                (&json!("assistant"), &json!([{"text": "There."}])),
            ]
        );
    }
}
