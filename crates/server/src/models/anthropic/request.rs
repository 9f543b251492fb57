//! A conversation, as the body of a Messages request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use loquat_agent::message::{
    Bytes, Content, Document, Image, Message, Role, Source, ToolContent, ToolStatus,
};
use loquat_agent::model::{ModelError, ModelErrorKind, ModelRequest, OutputForm, Params, ToolChoice};
use serde_json::{Map, Value, json};

use crate::models::{history, params};

/// Tokens of an answer where nothing is configured; the protocol wants a number.
const MAX_TOKENS: u32 = 8192;

/// The body of the request. `name` is the model's full name, `model` the provider's own.
pub(super) fn body(
    name: &str,
    model: &str,
    request: &ModelRequest,
    params: &Params,
    extra: &Map<String, Value>,
    cache: bool,
) -> Result<Value, ModelError> {
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    body.insert("stream".into(), true.into());
    let thinks = history::can_think(&request.messages, name);
    let budget = params.reasoning_budget.filter(|_| thinks);
    // The first models took no more than 4096.
    let early = ["claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-2"];
    let default = if early.iter().any(|early| model.starts_with(early)) { 4096 } else { MAX_TOKENS };
    let most = params.max_output_tokens.unwrap_or(default + budget.unwrap_or_default());
    body.insert("max_tokens".into(), most.into());
    let mut messages = messages(request, name)?;
    let mut tools: Vec<Value> = history::tools(request)
        .into_iter()
        .map(|(name, description, schema)| {
            json!({"name": name, "description": description, "input_schema": schema})
        })
        .collect();
    let mut system: Vec<Value> = request
        .system
        .iter()
        .filter(|system| !system.trim().is_empty())
        .map(|system| json!({"type": "text", "text": &**system}))
        .collect();
    if cache {
        // Each mark caches everything before it: tools, then the system prompt, then the conversation so far, which
        // the next call repeats.
        let last = messages.last_mut().and_then(|message| message["content"].as_array_mut()?.last_mut());
        for block in [tools.last_mut(), system.last_mut(), last].into_iter().flatten() {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
    }
    body.insert("messages".into(), Value::Array(messages));
    if !tools.is_empty() {
        body.insert("tools".into(), Value::Array(tools));
    }
    if !system.is_empty() {
        body.insert("system".into(), Value::Array(system));
    }
    if let Some(value) = params.temperature {
        body.insert("temperature".into(), params::number(value));
    }
    if let Some(value) = params.top_p {
        body.insert("top_p".into(), params::number(value));
    }
    if !params.stop_sequences.is_empty() {
        body.insert("stop_sequences".into(), json!(params.stop_sequences));
    }
    if let Some(budget) = budget {
        body.insert("thinking".into(), json!({"type": "enabled", "budget_tokens": budget}));
    }
    match &params.tool_choice {
        None => {}
        Some(ToolChoice::Required) => {
            body.insert("tool_choice".into(), json!({"type": "any"}));
        }
        Some(ToolChoice::Tool(name)) => {
            body.insert("tool_choice".into(), json!({"type": "tool", "name": name}));
        }
    }
    let mut output = Map::new();
    if let Some(OutputForm::Schema(form)) = &params.output {
        output.insert("format".into(), json!({"type": "json_schema", "schema": form.schema}));
    }
    if let Some(effort) = &params.reasoning_effort {
        output.insert("effort".into(), effort.as_str().into());
        if thinks && params::is_adaptive(model) {
            body.insert("thinking".into(), json!({"type": "adaptive"}));
        }
    }
    if !output.is_empty() {
        body.insert("output_config".into(), Value::Object(output));
    }
    params::merge(&mut body, extra);
    Ok(Value::Object(body))
}

fn messages(request: &ModelRequest, name: &str) -> Result<Vec<Value>, ModelError> {
    let mut out = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        let (role, content) = match message.role {
            Role::User => ("user", user(message)?),
            Role::Assistant => ("assistant", assistant(message, history::own_reasoning(message, name))),
        };
        if !content.is_empty() {
            out.push(json!({"role": role, "content": content}));
        }
    }
    Ok(out)
}

/// Answers of tools come first: the service wants them directly after the calls.
fn user(message: &Message) -> Result<Vec<Value>, ModelError> {
    let (mut results, mut others) = (Vec::new(), Vec::new());
    for block in &message.content {
        match block {
            Content::ToolResult(result) => {
                let mut content = Vec::new();
                for block in &result.content {
                    match block {
                        ToolContent::Text(text) if text.trim().is_empty() => {}
                        ToolContent::Text(text) => content.push(json!({"type": "text", "text": text})),
                        ToolContent::Json(value) => {
                            content.push(json!({"type": "text", "text": value.to_string()}));
                        }
                        ToolContent::Image(value) => content.push(image(value)?),
                        ToolContent::Document(value) => content.push(document(value)?),
                        ToolContent::Other(_) => {}
                    }
                }
                let mut value = json!({"type": "tool_result", "tool_use_id": result.tool_use_id});
                if !content.is_empty() {
                    value["content"] = Value::Array(content);
                }
                if result.status == ToolStatus::Error {
                    value["is_error"] = true.into();
                }
                results.push(value);
            }
            Content::Text(text) if !text.trim().is_empty() => {
                others.push(json!({"type": "text", "text": text}));
            }
            Content::Image(value) => others.push(image(value)?),
            Content::Document(value) => others.push(document(value)?),
            _ => {}
        }
    }
    results.extend(others);
    Ok(results)
}

fn assistant(message: &Message, own_reasoning: bool) -> Vec<Value> {
    let mut out = Vec::new();
    for block in &message.content {
        match block {
            Content::Reasoning(reasoning) if own_reasoning => {
                if let Some(Bytes(bytes)) = &reasoning.redacted_content {
                    out.push(json!({"type": "redacted_thinking", "data": STANDARD.encode(bytes)}));
                } else if let Some(text) = &reasoning.reasoning_text
                    && let Some(signature) = &text.signature
                {
                    out.push(json!({"type": "thinking", "thinking": text.text, "signature": signature}));
                }
            }
            Content::Text(text) if !text.trim().is_empty() => out.push(json!({"type": "text", "text": text})),
            Content::ToolUse(call) => {
                // The protocol wants an object even where the model wrote something else.
                let input = if call.input.is_object() { call.input.clone() } else { json!({}) };
                out.push(
                    json!({"type": "tool_use", "id": call.tool_use_id, "name": call.name, "input": input}),
                );
            }
            _ => {}
        }
    }
    out
}

fn image(image: &Image) -> Result<Value, ModelError> {
    let media_type = format!("image/{}", image.format);
    let data = STANDARD.encode(inline(&image.source, "picture")?);
    Ok(json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}))
}

fn document(document: &Document) -> Result<Value, ModelError> {
    let bytes = inline(&document.source, "document")?;
    let source = match document.format.as_str() {
        "pdf" => json!({"type": "base64", "media_type": "application/pdf", "data": STANDARD.encode(bytes)}),
        "txt" | "md" | "csv" | "html" => {
            json!({"type": "text", "media_type": "text/plain", "data": String::from_utf8_lossy(bytes)})
        }
        format => {
            let what =
                format!("Anthropic reads pdf, txt, md, csv and html, not {format}: convert the document");
            return Err(ModelError::new(ModelErrorKind::BadRequest, what));
        }
    };
    Ok(json!({"type": "document", "source": source, "title": document.name}))
}

fn inline<'a>(source: &'a Source, what: &str) -> Result<&'a [u8], ModelError> {
    match source {
        Source::Bytes(Bytes(bytes)) => Ok(bytes),
        Source::Other(_) => Err(ModelError::new(
            ModelErrorKind::BadRequest,
            format!("only Bedrock can read a {what} from where this one is stored"),
        )),
    }
}
