//! The messages of a chat completion request, as the conversation that a model gets.

use loquat_agent::message::{Content, Message, Role, ToolContent, ToolResult, ToolStatus, ToolUse};
use loquat_agent::tool::ToolSpec;
use serde_json::{Map, Value, json};

use super::fields::{Fields, unsupported, wrong};
use crate::app::AppState;
use crate::dialects::told::add_result;
use crate::http::chat::{Attachment, attached};
use crate::http::problem::Problem;

/// What the messages say.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// The `system` and `developer` messages.
    pub(super) instructions: Vec<String>,
    /// The others.
    pub(super) messages: Vec<Message>,
}

impl Conversation {
    /// Reads messages.
    pub(super) fn read(state: &AppState, messages: Vec<Value>) -> Result<Self, Problem> {
        let mut read = Self::default();
        for (n, message) in messages.into_iter().enumerate() {
            read.message(state, &format!("messages[{n}]"), message)?;
        }
        Ok(read)
    }

    /// The instructions as one text.
    pub(super) fn instructions(&self) -> Option<String> {
        (!self.instructions.is_empty()).then(|| self.instructions.join("\n\n"))
    }

    fn message(&mut self, state: &AppState, place: &str, message: Value) -> Result<(), Problem> {
        let mut fields = Fields::within(place, message)?;
        let role: String = fields.need("role")?;
        match role.as_str() {
            "system" | "developer" => {
                fields.ignore(&["name"]);
                let text = text(&fields.name("content"), fields.need("content")?, "text")?;
                self.instructions.push(text);
            }
            "user" => {
                if fields.value("name").is_some() {
                    return Err(unsupported(
                        &fields.name("name"),
                        "this agent speaks with one person at a time",
                    ));
                }
                let content = user_content(state, &fields.name("content"), fields.need("content")?)?;
                self.messages.push(Message::new(Role::User, content));
            }
            "assistant" => {
                let content = assistant_content(&mut fields)?;
                if !content.is_empty() {
                    self.messages.push(Message::new(Role::Assistant, content));
                }
            }
            "tool" => {
                fields.ignore(&["name"]);
                let id: String = fields.need("tool_call_id")?;
                let text = text(&fields.name("content"), fields.need("content")?, "text")?;
                self.answer(ToolResult {
                    tool_use_id: id,
                    content: vec![ToolContent::Text(text)],
                    status: ToolStatus::Success,
                });
            }
            "function" => {
                let why = "functions are called tools now: use `tools` and messages of the role `tool`";
                return Err(unsupported(&fields.name("role"), why));
            }
            _ => {
                let why = "has to be system, developer, user, assistant or tool";
                return Err(wrong(&fields.name("role"), why));
            }
        }
        fields.finish()
    }

    /// Answers of tools that follow each other are one message.
    pub(super) fn answer(&mut self, result: ToolResult) {
        add_result(&mut self.messages, result);
    }
}

/// A text, whole or in parts.
pub(super) fn text(place: &str, value: Value, part_type: &str) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let mut whole = String::new();
            for (n, part) in parts.into_iter().enumerate() {
                let mut part = Fields::within(&format!("{place}[{n}]"), part)?;
                let kind: String = part.need("type")?;
                if kind != part_type {
                    return Err(unsupported(&part.name("type"), &format!("only {part_type} is read here")));
                }
                whole.push_str(&part.need::<String>("text")?);
                part.ignore(&["prompt_cache_breakpoint"]);
                part.finish()?;
            }
            Ok(whole)
        }
        _ => Err(wrong(place, "has to be a text or an array of parts")),
    }
}

/// What a user says, with pictures and files.
fn user_content(state: &AppState, place: &str, value: Value) -> Result<Vec<Content>, Problem> {
    let parts = match value {
        Value::String(text) => return said(state, place, text).map(|text| vec![text]),
        Value::Array(parts) => parts,
        _ => return Err(wrong(place, "has to be a text or an array of parts")),
    };
    let mut content = Vec::with_capacity(parts.len());
    for (n, part) in parts.into_iter().enumerate() {
        let place = format!("{place}[{n}]");
        let mut part = Fields::within(&place, part)?;
        part.ignore(&["prompt_cache_breakpoint"]);
        let kind: String = part.need("type")?;
        content.push(match kind.as_str() {
            "text" => said(state, &place, part.need("text")?)?,
            "image_url" => {
                let mut image = Fields::within(&part.name("image_url"), part.need("image_url")?)?;
                image.ignore(&["detail"]);
                let url: String = image.need("url")?;
                let content = data_url(state, &image.name("url"), n, "image", &url)?;
                image.finish()?;
                content
            }
            "file" => {
                let mut file = Fields::within(&part.name("file"), part.need("file")?)?;
                let content = file_content(state, &mut file, n)?;
                file.finish()?;
                content
            }
            "input_audio" => return Err(unsupported(&part.name("type"), "this agent takes no audio")),
            _ => return Err(wrong(&part.name("type"), "has to be text, image_url or file")),
        });
        part.finish()?;
    }
    if content.is_empty() {
        return Err(wrong(place, "is empty"));
    }
    Ok(content)
}

/// A user's text, within the limit.
pub(super) fn said(state: &AppState, place: &str, text: String) -> Result<Content, Problem> {
    let limit = state.settings.message_bytes;
    if text.len() > limit {
        let detail = format!("{place}: {} bytes, the limit is {limit}", text.len());
        return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "message_too_long", detail).at(place));
    }
    Ok(Content::Text(text))
}

/// A file whose bytes come along.
pub(super) fn file_content(state: &AppState, file: &mut Fields, n: usize) -> Result<Content, Problem> {
    for reference in ["file_id", "file_url"] {
        if file.value(reference).is_some() {
            return Err(unsupported(&file.name(reference), "send the file itself as `file_data`"));
        }
    }
    let name: Option<String> = file.take("filename")?;
    let data: String = file.need("file_data")?;
    data_url(state, &file.name("file_data"), n, name.as_deref().unwrap_or("file"), &data)
}

/// A picture or a file in a `data:` URL.
pub(super) fn data_url(
    state: &AppState,
    place: &str,
    n: usize,
    name: &str,
    url: &str,
) -> Result<Content, Problem> {
    let parsed = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let Some((media_type, data)) = parsed else {
        return Err(unsupported(place, "has to be a data: URL in base64; this agent fetches no other"));
    };
    let media_type = media_type.split(';').next().unwrap_or_default().to_owned();
    attached(state, place, n, &Attachment { name: name.to_owned(), media_type, data: data.to_owned() })
}

fn assistant_content(fields: &mut Fields) -> Result<Vec<Content>, Problem> {
    // What this server itself adds to messages, and what does not matter to what follows.
    fields.ignore(&["name", "reasoning_content", "reasoning", "annotations", "loquat"]);
    fields.only("audio", &[], "this agent takes no audio")?;
    fields.only("function_call", &[], "use `tool_calls`")?;
    let mut content = Vec::new();
    let place = fields.name("content");
    match fields.value("content") {
        Some(Value::Array(parts)) => {
            for (n, part) in parts.into_iter().enumerate() {
                let mut part = Fields::within(&format!("{place}[{n}]"), part)?;
                let kind: String = part.need("type")?;
                let field = if kind == "refusal" { "refusal" } else { "text" };
                content.push(Content::Text(part.need(field)?));
                part.finish()?;
            }
        }
        Some(value) => content.push(Content::Text(text(&place, value, "text")?)),
        None => {}
    }
    if let Some(refusal) = fields.take::<String>("refusal")? {
        content.push(Content::Text(refusal));
    }
    content.retain(|block| block.as_text().is_none_or(|text| !text.is_empty()));
    let calls: Vec<Value> = fields.take("tool_calls")?.unwrap_or_default();
    for (n, call) in calls.into_iter().enumerate() {
        let mut call = Fields::within(&fields.name(&format!("tool_calls[{n}]")), call)?;
        call.ignore(&["index"]);
        call.only("type", &[json!("function")], "only functions are called here")?;
        let id: String = call.need("id")?;
        let mut function = Fields::within(&call.name("function"), call.need("function")?)?;
        let name: String = function.need("name")?;
        let arguments: String = function.need("arguments")?;
        let input = arguments_of(&function.name("arguments"), &arguments)?;
        content.push(Content::ToolUse(ToolUse { tool_use_id: id, name, input }));
        function.finish()?;
        call.finish()?;
    }
    Ok(content)
}

/// A call's arguments.
pub(super) fn arguments_of(place: &str, text: &str) -> Result<Value, Problem> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(wrong(place, "has to be the text of a JSON object")),
    }
}

/// The function tools of a request; `function` is the object with the name.
pub(super) fn tool(function: &mut Fields, taken: &[ToolSpec]) -> Result<ToolSpec, Problem> {
    // A call's arguments are checked against the schema here in any case.
    function.ignore(&["strict"]);
    let name: String = function.need("name")?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(wrong(&function.name("name"), "has to be 1 to 64 of A-Z a-z 0-9 _ -"));
    }
    if taken.iter().any(|tool| tool.name == name) {
        return Err(wrong(&function.name("name"), "is there twice"));
    }
    let description: String = function.take("description")?.unwrap_or_default();
    let schema: Value =
        function.take("parameters")?.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    if schema["type"] != "object" {
        return Err(wrong(&function.name("parameters"), "has to be a JSON Schema of the type object"));
    }
    let mut tool = ToolSpec::new(name, description, schema);
    tool.client_side = true;
    Ok(tool)
}

/// The client's tools must not have the names of the agent's own: the model could not tell them apart.
pub(super) async fn check_names(
    state: &AppState,
    tools: &[ToolSpec],
    place: impl Fn(usize) -> String,
) -> Result<(), Problem> {
    if tools.is_empty() {
        return Ok(());
    }
    let own = state.engine.tools().await;
    match tools.iter().position(|tool| own.spec(&tool.name).is_some()) {
        Some(n) => {
            let why = format!("the agent has a tool of its own named {:?}", tools[n].name);
            Err(wrong(&place(n), &why))
        }
        None => Ok(()),
    }
}
