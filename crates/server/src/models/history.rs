//! What every provider needs to know about a conversation.

use loquat_agent::message::{Content, Message, Reasoning, Role};
use loquat_agent::model::ModelRequest;
use serde_json::json;

/// The tools to declare: the request's own, and one for each tool that is only in the history. Anthropic and Bedrock
/// refuse a conversation with tool calls that declares no tools, which happens when a tool was removed meanwhile.
pub(super) fn tools(request: &ModelRequest) -> Vec<(&str, &str, serde_json::Value)> {
    let mut tools: Vec<(&str, &str, serde_json::Value)> = request
        .tools
        .iter()
        .map(|tool| (tool.name.as_str(), tool.description.as_str(), tool.input_schema.clone()))
        .collect();
    if tools.is_empty() {
        for call in request.messages.iter().flat_map(Message::tool_uses) {
            if tools.iter().all(|(name, ..)| *name != call.name) {
                tools.push((&call.name, "No longer available.", json!({"type": "object"})));
            }
        }
    }
    tools
}

/// Whether the reasoning of a message may go back to the model called `name`: another model's signature is refused.
pub(super) fn own_reasoning(message: &Message, name: &str) -> bool {
    message.metadata.get("model").and_then(serde_json::Value::as_str).is_none_or(|model| model == name)
}

/// Whether a block of reasoning can be sent back: redacted, or with its signature.
pub(super) fn is_signed(reasoning: &Reasoning) -> bool {
    reasoning.redacted_content.is_some()
        || reasoning.reasoning_text.as_ref().is_some_and(|text| text.signature.is_some())
}

/// Whether the model may think in this call. In the middle of a tool use the last assistant message has to begin with
/// its thinking; if it has none (it was written with thinking off, or by another model) thinking must be off as well.
pub(super) fn can_think(messages: &[Message], name: &str) -> bool {
    let Some(last) = messages.iter().rfind(|message| message.role == Role::Assistant) else { return true };
    if messages.last().is_none_or(Message::starts_turn) || last.tool_uses().next().is_none() {
        return true;
    }
    own_reasoning(last, name)
        && matches!(last.content.first(), Some(Content::Reasoning(reasoning)) if is_signed(reasoning))
}

#[cfg(test)]
mod tests {
    use loquat_agent::message::{ReasoningText, ToolResult, ToolStatus, ToolUse};

    use super::*;

    #[test]
    fn thinking_needs_its_beginning() {
        let thought = |signature: Option<&str>| {
            let text = ReasoningText { text: "hm".into(), signature: signature.map(str::to_owned) };
            Content::Reasoning(Reasoning { reasoning_text: Some(text), redacted_content: None })
        };
        let call =
            || Content::ToolUse(ToolUse { tool_use_id: "t".into(), name: "n".into(), input: json!({}) });
        let result = || {
            let result = ToolResult { tool_use_id: "t".into(), content: vec![], status: ToolStatus::Success };
            Message::new(Role::User, vec![Content::ToolResult(result)])
        };
        let turn = |blocks| vec![Message::user("x"), Message::new(Role::Assistant, blocks), result()];
        assert!(can_think(&[Message::user("x")], "m"));
        assert!(can_think(&turn(vec![thought(Some("s")), call()]), "m"));
        assert!(!can_think(&turn(vec![thought(None), call()]), "m"));
        assert!(!can_think(&turn(vec![call()]), "m"));
        let mut other = turn(vec![thought(Some("s")), call()]);
        other[1].metadata.insert("model".into(), "other".into());
        assert!(!can_think(&other, "m"));
        other.extend([Message::assistant("done"), Message::user("next")]);
        assert!(can_think(&other, "m"));
    }
}
