//! The input items of a response request, as the conversation that a model gets.

use loquat_agent::message::{Content, Message, Role, ToolContent, ToolResult, ToolStatus, ToolUse};
use loquat_agent::{Decision, Verdict};
use serde_json::Value;

use super::fields::{Fields, unsupported, wrong};
use super::messages::{Conversation, arguments_of, data_url, file_content, said, text};
use crate::app::AppState;
use crate::http::problem::Problem;

/// What the input says.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) conversation: Conversation,
    /// What is decided on calls that wait for consent.
    pub(super) decisions: Vec<Decision>,
}

impl Input {
    /// Reads the input: a text, or items.
    pub(super) fn read(state: &AppState, input: Value) -> Result<Self, Problem> {
        let mut read = Self::default();
        match input {
            Value::String(text) => {
                let content = vec![said(state, "input", text)?];
                read.conversation.messages.push(Message::new(Role::User, content));
            }
            Value::Array(items) => {
                for (n, item) in items.into_iter().enumerate() {
                    read.item(state, &format!("input[{n}]"), item)?;
                }
            }
            _ => return Err(wrong("input", "has to be a text or an array of items")),
        }
        Ok(read)
    }

    fn item(&mut self, state: &AppState, place: &str, item: Value) -> Result<(), Problem> {
        let mut fields = Fields::within(place, item)?;
        fields.ignore(&["status"]);
        let item_id: Option<String> = fields.take("id")?;
        let kind = fields.take::<String>("type")?.unwrap_or_else(|| "message".to_owned());
        match kind.as_str() {
            "message" => self.message(state, &mut fields)?,
            "function_call" => {
                let id: String = fields.need("call_id")?;
                let name: String = fields.need("name")?;
                let arguments: String = fields.need("arguments")?;
                let input = arguments_of(&fields.name("arguments"), &arguments)?;
                fields.ignore(&["async", "caller", "namespace"]);
                self.speak(Content::ToolUse(ToolUse { tool_use_id: id, name, input }));
            }
            "function_call_output" => {
                let id: String = fields.need("call_id")?;
                fields.ignore(&["caller"]);
                let text = text(&fields.name("output"), fields.need("output")?, "input_text")?;
                self.conversation.answer(result(id, text, ToolStatus::Success));
            }
            // A call of one of the agent's own tools, as an earlier response told it.
            "mcp_call" => {
                fields.ignore(&["server_label", "approval_request_id"]);
                let id = item_id.ok_or_else(|| wrong(&fields.name("id"), "is missing"))?;
                let id = id.strip_prefix("mcp_").unwrap_or(&id).to_owned();
                let name: String = fields.need("name")?;
                let arguments: String = fields.need("arguments")?;
                let input = arguments_of(&fields.name("arguments"), &arguments)?;
                let error: Option<Value> = fields.take("error")?;
                let output: Option<String> = fields.take("output")?;
                self.speak(Content::ToolUse(ToolUse { tool_use_id: id.clone(), name, input }));
                self.conversation.answer(match error {
                    Some(error) => result(id, error.to_string(), ToolStatus::Error),
                    None => result(id, output.unwrap_or_default(), ToolStatus::Success),
                });
            }
            // Signed for the provider that wrote it, in a form that has no place here.
            "reasoning" => fields.ignore(&["summary", "content", "encrypted_content"]),
            "mcp_approval_request" => fields.ignore(&["arguments", "name", "server_label"]),
            "mcp_approval_response" => {
                let id: String = fields.need("approval_request_id")?;
                let reason: Option<String> = fields.take("reason")?;
                let approve: bool = fields.need("approve")?;
                let id = id.strip_prefix("mcpr_").unwrap_or(&id).to_owned();
                let verdict = if approve { Verdict::Approve } else { Verdict::Refuse(reason) };
                self.decisions.push(Decision { id, verdict });
            }
            _ => return Err(unsupported(&fields.name("type"), "items of this type are not read here")),
        }
        fields.finish()
    }

    fn message(&mut self, state: &AppState, fields: &mut Fields) -> Result<(), Problem> {
        fields.ignore(&["phase"]);
        let role: String = fields.need("role")?;
        let place = fields.name("content");
        let content: Value = fields.need("content")?;
        match role.as_str() {
            "system" | "developer" => {
                self.conversation.instructions.push(text(&place, content, "input_text")?);
            }
            "user" => {
                let content = user_content(state, &place, content)?;
                self.conversation.messages.push(Message::new(Role::User, content));
            }
            "assistant" => {
                for text in assistant_texts(&place, content)? {
                    self.speak(Content::Text(text));
                }
            }
            _ => return Err(wrong(&fields.name("role"), "has to be system, developer, user or assistant")),
        }
        Ok(())
    }

    /// What the assistant said and called in a row is one message.
    fn speak(&mut self, content: Content) {
        match self.conversation.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => last.content.push(content),
            _ => self.conversation.messages.push(Message::new(Role::Assistant, vec![content])),
        }
    }
}

fn result(id: String, text: String, status: ToolStatus) -> ToolResult {
    ToolResult { tool_use_id: id, content: vec![ToolContent::Text(text)], status }
}

fn user_content(state: &AppState, place: &str, value: Value) -> Result<Vec<Content>, Problem> {
    let parts = match value {
        Value::String(text) => return Ok(vec![said(state, place, text)?]),
        Value::Array(parts) => parts,
        _ => return Err(wrong(place, "has to be a text or an array of parts")),
    };
    let mut content = Vec::with_capacity(parts.len());
    for (n, part) in parts.into_iter().enumerate() {
        let place = format!("{place}[{n}]");
        let mut part = Fields::within(&place, part)?;
        part.ignore(&["detail", "prompt_cache_breakpoint"]);
        let kind: String = part.need("type")?;
        content.push(match kind.as_str() {
            "input_text" => said(state, &place, part.need("text")?)?,
            "input_image" => {
                if part.value("file_id").is_some() {
                    return Err(unsupported(&part.name("file_id"), "send the image itself as a data: URL"));
                }
                let url: String = part.need("image_url")?;
                data_url(state, &part.name("image_url"), n, "image", &url)?
            }
            "input_file" => file_content(state, &mut part, n)?,
            _ => return Err(wrong(&part.name("type"), "has to be input_text, input_image or input_file")),
        });
        part.finish()?;
    }
    if content.is_empty() {
        return Err(wrong(place, "is empty"));
    }
    Ok(content)
}

fn assistant_texts(place: &str, value: Value) -> Result<Vec<String>, Problem> {
    let parts = match value {
        Value::String(text) => return Ok(vec![text]),
        Value::Array(parts) => parts,
        _ => return Err(wrong(place, "has to be a text or an array of parts")),
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (n, part) in parts.into_iter().enumerate() {
        let mut part = Fields::within(&format!("{place}[{n}]"), part)?;
        part.ignore(&["annotations", "logprobs"]);
        let kind: String = part.need("type")?;
        texts.push(match kind.as_str() {
            "output_text" | "input_text" => part.need("text")?,
            "refusal" => part.need("refusal")?,
            _ => return Err(wrong(&part.name("type"), "has to be output_text or refusal")),
        });
        part.finish()?;
    }
    Ok(texts)
}
