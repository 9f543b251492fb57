//! AG-UI 1.0: a conversation that only the client keeps.

use loquat_agent::message::{Content, Message, Role, ToolUse};
use serde_json::Value;

use super::input::{Said, text_of};
use super::messages::MESSAGE_ID;
use crate::dialects::told::{add_result, result};

/// What was said, with the calls of tools and their answers.
pub(crate) fn conversation<'a>(all: impl IntoIterator<Item = &'a Said>) -> Vec<Message> {
    let mut messages = Vec::new();
    for said in all {
        let role = match said.role.as_str() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => {
                if let Some(call) = &said.tool_call_id {
                    add_result(&mut messages, result(call, said.output()));
                }
                continue;
            }
            _ => continue,
        };
        let text = text_of(&said.content);
        let mut content: Vec<Content> =
            (!text.is_empty()).then_some(Content::Text(text)).into_iter().collect();
        content.extend(said.tool_calls.iter().filter_map(call).map(Content::ToolUse));
        if !content.is_empty() {
            let mut message = Message::new(role, content);
            message.metadata.insert(MESSAGE_ID.into(), said.id.as_str().into());
            messages.push(message);
        }
    }
    messages
}

fn call(told: &Value) -> Option<ToolUse> {
    let function = &told["function"];
    let input = serde_json::from_str(function["arguments"].as_str()?).ok().filter(Value::is_object);
    Some(ToolUse {
        tool_use_id: told["id"].as_str()?.to_owned(),
        name: function["name"].as_str()?.to_owned(),
        input: input.unwrap_or_else(|| serde_json::json!({})),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_and_their_answers_stand_where_they_were() {
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "locate", "arguments": "{\"a\":1}"}});
        let said: Vec<Said> = serde_json::from_value(json!([
            {"id": "s", "role": "system", "content": "Be brief."},
            {"id": "u1", "role": "user", "content": [{"type": "text", "text": "Where?"}]},
            {"id": "r1", "role": "reasoning", "content": "Hm."},
            {"id": "a1", "role": "assistant", "content": null, "toolCalls": [call("c1"), call("c2")]},
            {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "Rome"},
            {"id": "t2", "role": "tool", "toolCallId": "c2", "content": "", "error": "denied"},
            {"id": "a2", "role": "assistant", "content": "In Rome.", "toolCalls": null},
        ]))
        .unwrap();
        let told = serde_json::to_value(conversation(&said)).unwrap();
        let content: Vec<_> = told.as_array().unwrap().iter().map(|m| (&m["role"], &m["content"])).collect();
        let uses = |id: &str| json!({"toolUse": {"toolUseId": id, "name": "locate", "input": {"a": 1}}});
        let answer = |id: &str, text: &str, status: &str| json!({"toolResult": {"toolUseId": id, "content": [{"text": text}], "status": status}});
        assert_eq!(
            content,
            [
                (&json!("user"), &json!([{"text": "Where?"}])),
                (&json!("assistant"), &json!([uses("c1"), uses("c2")])),
                (&json!("user"), &json!([answer("c1", "Rome", "success"), answer("c2", "denied", "error")])),
                (&json!("assistant"), &json!([{"text": "In Rome."}])),
            ]
        );
    }
}
