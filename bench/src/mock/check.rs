//! The rules a conversation must satisfy, and what each provider says when it does not.

use serde_json::Value;

use super::Provider;
use super::plan::signature;

/// What a rule looks at, the same for every provider.
struct Turn<'a> {
    /// Its place in the request.
    at: usize,
    assistant: bool,
    /// Ids of tool calls.
    uses: Vec<&'a str>,
    /// Ids of answers to tool calls.
    results: Vec<&'a str>,
    empty: bool,
    /// Text blocks without text.
    blank_text: bool,
}

/// Refuses a request that breaks a rule.
pub(super) fn check(provider: Provider, body: &Value) -> Result<(), String> {
    let empty = Vec::new();
    let messages = body["messages"].as_array().unwrap_or(&empty);
    match provider {
        Provider::OpenAi => return openai(body, messages),
        Provider::Anthropic => {
            if body["max_tokens"].as_u64().is_none_or(|most| most == 0) {
                return Err("max_tokens: Field required".into());
            }
            if body["stream"] != true {
                return Err("mock: only streams are answered".into());
            }
            anthropic_thinking(body, messages)?;
            let points = count(body, &|value| value.get("cache_control").is_some_and(|mark| !mark.is_null()));
            if points > 4 {
                return Err(format!(
                    "A maximum of 4 blocks with cache_control may be provided. Found {points}."
                ));
            }
        }
        Provider::Bedrock => {
            let points = count(body, &|value| value.get("cachePoint").is_some());
            if points > 4 {
                return Err(format!("You can use up to 4 cache points. Found {points}."));
            }
            let names = std::cell::RefCell::new(std::collections::HashSet::new());
            let repeated = |value: &Value| {
                let name = value["document"]["name"].as_str();
                name.is_some_and(|name| !names.borrow_mut().insert(name.to_lowercase()))
            };
            if count(body, &repeated) > 0 {
                return Err("Messages can't contain duplicate document names. Rename the document and retry your request.".into());
            }
        }
    }
    let turns: Vec<Turn<'_>> = messages.iter().enumerate().map(|(at, message)| turn(at, message)).collect();
    let tools = match provider {
        Provider::Bedrock => &body["toolConfig"]["tools"],
        _ => &body["tools"],
    };
    let uses_tools = turns.iter().any(|turn| !turn.uses.is_empty() || !turn.results.is_empty());
    if uses_tools && tools.as_array().is_none_or(Vec::is_empty) {
        return Err(match provider {
            Provider::Bedrock => {
                "The toolConfig field must be defined when using toolUse and toolResult content blocks."
                    .into()
            }
            _ => "Requests which include `tool_use` or `tool_result` blocks must define tools".into(),
        });
    }
    pairs(provider, &turns)
}

fn turn(at: usize, message: &Value) -> Turn<'_> {
    let assistant = message["role"] == "assistant";
    let mut turn =
        Turn { at, assistant, uses: Vec::new(), results: Vec::new(), empty: false, blank_text: false };
    match &message["content"] {
        Value::String(text) => turn.empty = text.trim().is_empty(),
        Value::Array(blocks) => {
            // Marks for the cache are not content.
            turn.empty = !blocks.iter().any(|block| block.get("cachePoint").is_none());
            for block in blocks {
                if let Some(text) = block["text"].as_str() {
                    turn.blank_text |= text.trim().is_empty();
                }
                if block["type"] == "tool_use" {
                    turn.uses.extend(block["id"].as_str());
                }
                if block["type"] == "tool_result" {
                    turn.results.extend(block["tool_use_id"].as_str());
                }
                turn.uses.extend(block["toolUse"]["toolUseId"].as_str());
                turn.results.extend(block["toolResult"]["toolUseId"].as_str());
            }
        }
        _ => turn.empty = true,
    }
    turn
}

/// First role, alternation, emptiness, and every call answered in the next message.
fn pairs(provider: Provider, turns: &[Turn<'_>]) -> Result<(), String> {
    let bedrock = provider == Provider::Bedrock;
    let Some(first) = turns.first() else {
        return Err(if bedrock {
            "A conversation must start with a user message. Try again with a conversation that starts with a user message."
        } else {
            "messages: at least one message is required"
        }
        .into());
    };
    if first.assistant {
        return Err(if bedrock {
            "A conversation must start with a user message. Try again with a conversation that starts with a user message."
        } else {
            "messages: first message must use the \"user\" role"
        }
        .into());
    }
    for (at, turn) in turns.iter().enumerate() {
        if turn.empty {
            return Err(if bedrock {
                format!(
                    "The content field in the Message object at messages.{at} is empty. Add a ContentBlock object to the content field and try again."
                )
            } else {
                format!("messages.{at}: all messages must have non-empty content")
            });
        }
        if turn.blank_text {
            return Err(if bedrock {
                format!(
                    "The text field in the ContentBlock object at messages.{at}.content.0 is blank. Add text to the text field, and try again."
                )
            } else {
                "messages: text content blocks must be non-empty".into()
            });
        }
        if at > 0 && turn.assistant == turns[at - 1].assistant {
            return Err(if bedrock {
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.".into()
            } else {
                format!(
                    "messages: roles must alternate between \"user\" and \"assistant\", but found multiple \"{}\" roles in a row",
                    if turn.assistant { "assistant" } else { "user" }
                )
            });
        }
        let asked = if at > 0 { turns[at - 1].uses.as_slice() } else { &[] };
        let missing: Vec<&str> = asked.iter().filter(|id| !turn.results.contains(id)).copied().collect();
        if !missing.is_empty() {
            let ids = missing.join(", ");
            return Err(if bedrock {
                format!(
                    "Expected toolResult blocks at messages.{}.content for the following Ids: {ids}",
                    turn.at
                )
            } else {
                format!(
                    "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                    turn.at - 1
                )
            });
        }
        if turn.results.len() > asked.len() || turn.results.iter().any(|id| !asked.contains(id)) {
            return Err(if bedrock {
                format!(
                    "The number of toolResult blocks at messages.{}.content exceeds the number of toolUse blocks of previous turn.",
                    turn.at
                )
            } else {
                format!(
                    "messages.{}: unexpected `tool_use_id` found in `tool_result` blocks. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
                    turn.at
                )
            });
        }
    }
    match turns.last() {
        Some(last) if !last.uses.is_empty() => Err(if bedrock {
            format!(
                "Expected toolResult blocks at messages.{}.content for the following Ids: {}",
                turns.len(),
                last.uses.join(", ")
            )
        } else {
            format!(
                "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
                last.at,
                last.uses.join(", ")
            )
        }),
        _ => Ok(()),
    }
}

/// With thinking on, an assistant's message that calls tools begins with its thinking, signature included.
fn anthropic_thinking(body: &Value, messages: &[Value]) -> Result<(), String> {
    for (at, message) in messages.iter().enumerate() {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block["type"] == "thinking") {
            let text = block["thinking"].as_str().unwrap_or_default();
            if block["signature"].as_str() != Some(&signature(text)) {
                return Err(format!(
                    "messages.{at}.content.{index}: Invalid `signature` in `thinking` block"
                ));
            }
        }
        let last_turn = at + 2 >= messages.len();
        if body["thinking"]["type"] == "enabled" && last_turn && message["role"] == "assistant" {
            let first = blocks.first().and_then(|block| block["type"].as_str()).unwrap_or("text");
            let calls = blocks.iter().any(|block| block["type"] == "tool_use");
            if calls && !matches!(first, "thinking" | "redacted_thinking") {
                return Err(format!(
                    "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block."
                ));
            }
        }
    }
    Ok(())
}

fn openai(body: &Value, messages: &[Value]) -> Result<(), String> {
    if body["stream"] != true {
        return Err("mock: only streams are answered".into());
    }
    if messages.is_empty() {
        return Err("Invalid 'messages': empty array. Expected an array with minimum length 1.".into());
    }
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|open| *open == id) else {
                return Err("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.".into());
            };
            open.remove(place);
            continue;
        }
        unanswered(&open)?;
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        open = calls.iter().filter_map(|call| call["id"].as_str()).collect();
        let empty = match &message["content"] {
            Value::Null => calls.is_empty(),
            Value::String(text) => text.is_empty() && role == "user",
            Value::Array(parts) => parts.is_empty(),
            _ => true,
        };
        if empty {
            return Err(format!(
                "Invalid value for 'content': expected a string, got null. (messages[{at}])"
            ));
        }
    }
    unanswered(&open)
}

fn unanswered(open: &[&str]) -> Result<(), String> {
    if open.is_empty() {
        return Ok(());
    }
    Err(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    ))
}

fn count(value: &Value, test: &dyn Fn(&Value) -> bool) -> usize {
    let inner: usize = match value {
        Value::Array(values) => values.iter().map(|value| count(value, test)).sum(),
        Value::Object(map) => map.values().map(|value| count(value, test)).sum(),
        _ => 0,
    };
    inner + usize::from(value.is_object() && test(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(provider: Provider, body: &Value, part: &str) {
        let message = check(provider, body).unwrap_err();
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn bedrock_refuses() {
        let user = json!({"role": "user", "content": [{"text": "hi"}]});
        let uses = json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}]});
        let result = json!({"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": []}}]});
        let tools = json!({"tools": [{"toolSpec": {}}]});
        let body = |messages: Value| json!({"messages": messages, "toolConfig": tools});
        check(Provider::Bedrock, &body(json!([user, uses, result]))).unwrap();
        refused(Provider::Bedrock, &body(json!([])), "must start with a user message");
        refused(Provider::Bedrock, &body(json!([uses])), "must start with a user message");
        refused(Provider::Bedrock, &body(json!([user, user])), "must alternate");
        refused(
            Provider::Bedrock,
            &body(json!([user, uses, user])),
            "Expected toolResult blocks at messages.2",
        );
        refused(Provider::Bedrock, &body(json!([user, uses])), "Expected toolResult blocks at messages.2");
        refused(Provider::Bedrock, &body(json!([result])), "exceeds the number");
        refused(Provider::Bedrock, &body(json!([{"role": "user", "content": []}])), "is empty");
        let document = |name: &str| json!({"document": {"name": name, "format": "pdf"}});
        let files =
            |one, two| json!([{"role": "user", "content": [document(one), document(two), {"text": "x"}]}]);
        check(Provider::Bedrock, &body(files("a", "b"))).unwrap();
        refused(Provider::Bedrock, &body(files("a", "A")), "duplicate document names");
        refused(Provider::Bedrock, &body(json!([{"role": "user", "content": [{"text": " "}]}])), "is blank");
        refused(
            Provider::Bedrock,
            &json!({"messages": [user, uses, result]}),
            "toolConfig field must be defined",
        );
    }

    #[test]
    fn anthropic_refuses() {
        let user = json!({"role": "user", "content": "hi"});
        let uses = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]});
        let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]});
        let body =
            |messages: Value| json!({"max_tokens": 9, "stream": true, "tools": [{}], "messages": messages});
        check(Provider::Anthropic, &body(json!([user, uses, result]))).unwrap();
        refused(Provider::Anthropic, &body(json!([user, uses, user])), "without `tool_result` blocks");
        refused(Provider::Anthropic, &body(json!([result])), "unexpected `tool_use_id`");
        refused(
            Provider::Anthropic,
            &json!({"stream": true, "messages": [user]}),
            "max_tokens: Field required",
        );
        let mut thinking = body(json!([user, uses, result]));
        thinking["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        refused(Provider::Anthropic, &thinking, "Expected `thinking`");
        let forged = json!({"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y"}]});
        refused(Provider::Anthropic, &body(json!([user, forged, user])), "Invalid `signature`");
    }

    #[test]
    fn openai_refuses() {
        let user = json!({"role": "user", "content": "hi"});
        let uses = json!({"role": "assistant", "content": null, "tool_calls": [{"id": "t"}]});
        let result = json!({"role": "tool", "tool_call_id": "t", "content": "x"});
        let body = |messages: Value| json!({"stream": true, "messages": messages});
        check(Provider::OpenAi, &body(json!([user, uses, result, user]))).unwrap();
        refused(Provider::OpenAi, &body(json!([user, uses, user])), "did not have response messages: t");
        refused(Provider::OpenAi, &body(json!([user, uses])), "did not have response messages: t");
        refused(Provider::OpenAi, &body(json!([user, result])), "must be a response to");
        refused(Provider::OpenAi, &body(json!([{"role": "assistant", "content": null}])), "got null");
    }
}
