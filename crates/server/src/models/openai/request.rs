//! A conversation, as the body of a chat completion request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loquat_agent::message::{
    Bytes, Content, Document, Image, Message, Role, Source, ToolContent, ToolStatus,
};
use loquat_agent::model::{ModelError, ModelErrorKind, ModelRequest, OutputForm, Params, ToolChoice};
use serde_json::{Map, Value, json};

/// How one server differs from another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// OpenAI itself: newer parameter names, and no unknown fields in messages.
    pub(super) openai: bool,
    /// Reasoning goes back with tool calls, as `reasoning_content` (DeepSeek refuses the request without it).
    pub(super) echo_reasoning: bool,
}

/// The body of the request.
pub(super) fn body(
    model: &str,
    request: &ModelRequest,
    params: &Params,
    extra: &Map<String, Value>,
    dialect: Dialect,
) -> Result<Value, ModelError> {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("stream".into(), true.into());
    body.insert("stream_options".into(), json!({"include_usage": true}));
    body.insert("messages".into(), Value::Array(messages(request, dialect)?));
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({"type": "function", "function": {
                    "name": tool.name, "description": tool.description, "parameters": tool.input_schema}})
            })
            .collect();
        body.insert("tools".into(), Value::Array(tools));
    }
    if let Some(value) = params.temperature {
        body.insert("temperature".into(), number(value));
    }
    if let Some(value) = params.top_p {
        body.insert("top_p".into(), number(value));
    }
    if let Some(value) = params.max_output_tokens {
        // Compatible servers know the older name, some of them only that; OpenAI's reasoning models only the newer.
        let name = if dialect.openai { "max_completion_tokens" } else { "max_tokens" };
        body.insert(name.into(), value.into());
    }
    if !params.stop_sequences.is_empty() {
        body.insert("stop".into(), json!(params.stop_sequences));
    }
    if let Some(value) = &params.reasoning_effort {
        body.insert("reasoning_effort".into(), value.as_str().into());
    }
    if let Some(seed) = params.seed {
        body.insert("seed".into(), seed.into());
    }
    match &params.output {
        None => {}
        Some(OutputForm::Json) => {
            body.insert("response_format".into(), json!({"type": "json_object"}));
        }
        Some(OutputForm::Schema(schema)) => {
            body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": schema}));
        }
    }
    match &params.tool_choice {
        None => {}
        Some(ToolChoice::Required) => {
            body.insert("tool_choice".into(), "required".into());
        }
        Some(ToolChoice::Tool(name)) => {
            body.insert("tool_choice".into(), json!({"type": "function", "function": {"name": name}}));
        }
    }
    crate::models::params::merge(&mut body, extra);
    Ok(Value::Object(body))
}

/// `0.2_f32` as `0.2` and not as `0.20000000298023224`.
fn number(value: f32) -> Value {
    crate::models::params::number(value)
}

fn messages(request: &ModelRequest, dialect: Dialect) -> Result<Vec<Value>, ModelError> {
    let mut out = Vec::with_capacity(request.messages.len() + 1);
    if let Some(system) = request.system.as_deref().filter(|system| !system.is_empty()) {
        out.push(json!({"role": "system", "content": system}));
    }
    let turn = request.messages.iter().rposition(Message::starts_turn).unwrap_or_default();
    for (at, message) in request.messages.iter().enumerate() {
        match message.role {
            Role::User => user(message, &mut out)?,
            Role::Assistant => assistant(message, dialect.echo_reasoning && at > turn, &mut out),
        }
    }
    Ok(out)
}

/// Tool results become messages of their own, which have to follow the calls directly; everything else comes after.
fn user(message: &Message, out: &mut Vec<Value>) -> Result<(), ModelError> {
    let mut parts = Vec::new();
    for block in &message.content {
        match block {
            Content::ToolResult(result) => {
                let mut texts = Vec::new();
                for content in &result.content {
                    match content {
                        ToolContent::Text(text) => texts.push(text.clone()),
                        ToolContent::Json(value) => texts.push(value.to_string()),
                        // A tool's message holds text only: pictures follow in the user's.
                        ToolContent::Image(value) => {
                            texts.push("(The picture follows.)".to_owned());
                            parts.push(image(value)?);
                        }
                        ToolContent::Document(value) => {
                            texts.push(format!("(The document \"{}\" follows.)", value.name));
                            parts.push(document(value)?);
                        }
                        ToolContent::Other(_) => {}
                    }
                }
                let mut text = texts.join("\n");
                if text.is_empty() {
                    // Several servers refuse an empty message.
                    text.push_str(match result.status {
                        ToolStatus::Success => "(no output)",
                        ToolStatus::Error => "(failed without a message)",
                    });
                }
                out.push(json!({"role": "tool", "tool_call_id": result.tool_use_id, "content": text}));
            }
            Content::Text(text) if !text.is_empty() => parts.push(json!({"type": "text", "text": text})),
            Content::Image(value) => parts.push(image(value)?),
            Content::Document(value) => parts.push(document(value)?),
            _ => {}
        }
    }
    match parts.as_slice() {
        [] => {}
        // A plain string is what every server understands.
        [one] if one["type"] == "text" => out.push(json!({"role": "user", "content": one["text"]})),
        _ => out.push(json!({"role": "user", "content": parts})),
    }
    Ok(())
}

fn assistant(message: &Message, echo: bool, out: &mut Vec<Value>) {
    let text = message.text();
    let calls: Vec<Value> = message
        .tool_uses()
        .map(|call| {
            json!({"id": call.tool_use_id, "type": "function",
                "function": {"name": call.name, "arguments": call.input.to_string()}})
        })
        .collect();
    if text.is_empty() && calls.is_empty() {
        return;
    }
    let mut value = Map::new();
    value.insert("role".into(), "assistant".into());
    value.insert("content".into(), if text.is_empty() { Value::Null } else { text.into() });
    if echo && !calls.is_empty() {
        let reasoning: String = message
            .content
            .iter()
            .filter_map(|block| match block {
                Content::Reasoning(reasoning) => reasoning.reasoning_text.as_ref(),
                _ => None,
            })
            .map(|reasoning| reasoning.text.as_str())
            .collect();
        value.insert("reasoning_content".into(), reasoning.into());
    }
    if !calls.is_empty() {
        value.insert("tool_calls".into(), Value::Array(calls));
    }
    out.push(Value::Object(value));
}

fn image(image: &Image) -> Result<Value, ModelError> {
    let Bytes(bytes) = inline(&image.source, "picture")?;
    let url = format!("data:image/{};base64,{}", image.format, STANDARD.encode(bytes));
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(document: &Document) -> Result<Value, ModelError> {
    let Bytes(bytes) = inline(&document.source, "document")?;
    match document.format.as_str() {
        "pdf" => {
            let data = format!("data:application/pdf;base64,{}", STANDARD.encode(bytes));
            Ok(
                json!({"type": "file", "file": {"filename": format!("{}.pdf", document.name), "file_data": data}}),
            )
        }
        "txt" | "md" | "csv" | "html" => {
            let text = String::from_utf8_lossy(bytes);
            let text = format!("<document name=\"{}\">\n{text}\n</document>", document.name);
            Ok(json!({"type": "text", "text": text}))
        }
        format => {
            let what = format!(
                "OpenAI-compatible models read pdf, txt, md, csv and html, not {format}: convert the document"
            );
            Err(ModelError::new(ModelErrorKind::BadRequest, what))
        }
    }
}

fn inline<'a>(source: &'a Source, what: &str) -> Result<&'a Bytes, ModelError> {
    match source {
        Source::Bytes(bytes) => Ok(bytes),
        Source::Other(_) => Err(ModelError::new(
            ModelErrorKind::BadRequest,
            format!("only Bedrock can read a {what} from where this one is stored"),
        )),
    }
}
