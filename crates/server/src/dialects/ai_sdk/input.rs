//! The AI SDK: what a client sends.

use std::collections::BTreeMap;

use loquat_agent::message::{ToolContent, ToolUse};
use loquat_agent::tool::ToolOutput;
use loquat_agent::{Decision, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// The body of `POST /api/chat`. Applications add fields of their own, which are passed over.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChatBody {
    pub(crate) id: String,
    pub(crate) messages: Vec<UiMessage>,
    #[serde(default)]
    pub(crate) trigger: Option<Trigger>,
    /// Instructions of the application (the form of assistant-ui's transport).
    #[serde(default)]
    pub(crate) system: Option<String>,
    /// Tools that run in the client (the form of assistant-ui's transport).
    #[serde(default)]
    pub(crate) tools: Option<BTreeMap<String, ClientTool>>,
}

/// Why a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trigger {
    SubmitMessage,
    RegenerateMessage,
}

/// A tool that runs in the client.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClientTool {
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default, alias = "inputSchema")]
    pub(crate) parameters: Option<Value>,
}

/// A message as the page holds it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct UiMessage {
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) parts: Vec<Value>,
}

impl UiMessage {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        let texts = self.parts.iter().filter(|part| part["type"] == "text");
        let texts: Vec<&str> = texts.filter_map(|part| part["text"].as_str()).collect();
        texts.join("\n")
    }

    /// What its parts say to open calls.
    pub(crate) fn decisions(&self, open: &[ToolUse]) -> Vec<Decision> {
        let decision = |call: &ToolUse| {
            let of_call = |part: &&Value| part["toolCallId"].as_str() == Some(call.tool_use_id.as_str());
            let part = self.parts.iter().rev().find(of_call)?;
            let approval = &part["approval"];
            let verdict = match (part["state"].as_str()?, approval["approved"].as_bool()) {
                ("output-available" | "output-error", _) => Verdict::Answer(output(part)?),
                ("approval-responded", Some(true)) => Verdict::Approve,
                ("approval-responded" | "output-denied", Some(false)) => {
                    Verdict::Refuse(approval["reason"].as_str().map(str::to_owned))
                }
                _ => return None,
            };
            Some(Decision { id: call.tool_use_id.clone(), verdict })
        };
        open.iter().filter_map(decision).collect()
    }
}

/// The answer to a call in its part, if it has one.
pub(super) fn output(part: &Value) -> Option<ToolOutput> {
    let block = match (part["state"].as_str()?, &part["output"]) {
        ("output-error", _) => {
            return Some(ToolOutput::error(part["errorText"].as_str().unwrap_or("The tool failed.")));
        }
        ("output-available", Value::String(text)) => ToolContent::Text(text.clone()),
        ("output-available", value) => ToolContent::Json(value.clone()),
        _ => return None,
    };
    Some(ToolOutput { content: vec![block], is_error: false })
}

/// A file that is part of a message: its media type, its name, and its bytes in base64.
pub(crate) fn file(part: &Value) -> Option<(&str, &str, &str)> {
    let url = part["url"].as_str()?;
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let named = part["mediaType"].as_str().filter(|kind| !kind.is_empty());
    Some((named.unwrap_or(media_type), part["filename"].as_str().unwrap_or("document"), data))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_say_what_becomes_of_open_calls() {
        let open: Vec<ToolUse> = ["a", "b", "c", "d", "e"]
            .map(|id| ToolUse { tool_use_id: id.into(), name: "t".into(), input: json!({}) })
            .into();
        let message: UiMessage = serde_json::from_value(json!({"id": "m", "role": "assistant", "parts": [
            {"type": "step-start"},
            {"type": "dynamic-tool", "toolCallId": "a", "state": "approval-responded", "approval": {"id": "a", "approved": true}},
            {"type": "dynamic-tool", "toolCallId": "b", "state": "approval-responded",
             "approval": {"id": "b", "approved": false, "reason": "no"}},
            {"type": "tool-t", "toolCallId": "c", "state": "output-available", "output": {"x": 1}},
            {"type": "tool-t", "toolCallId": "d", "state": "output-error", "errorText": "broken"},
            {"type": "tool-t", "toolCallId": "e", "state": "input-available"},
        ]}))
        .unwrap();
        let said: Vec<String> =
            message.decisions(&open).iter().map(|d| format!("{} {:?}", d.id, d.verdict)).collect();
        assert_eq!(said.len(), 4);
        assert_eq!(said[0], "a Approve");
        assert_eq!(said[1], "b Refuse(Some(\"no\"))");
        assert!(said[2].contains("Json"), "{}", said[2]);
        assert!(said[3].contains("broken") && said[3].contains("is_error: true"), "{}", said[3]);
    }

    #[test]
    fn a_files_bytes_come_in_its_address() {
        let part = json!({"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,AAEC"});
        assert_eq!(file(&part), Some(("image/png", "document", "AAEC")));
        assert_eq!(file(&json!({"type": "file", "url": "https://example.com/a.png"})), None);
    }
}
