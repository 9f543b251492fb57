//! From MCP's shapes to ours. What a server sends is checked here, before it can reach a provider.

use std::time::Duration;

use base64::Engine as _;
use loquat_agent::message::{Bytes, Document, Image, Source, ToolContent};
use loquat_agent::tool::{ToolOutput, ToolSpec};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents, Tool};
use serde_json::{Map, Value};

use super::Settings;
use crate::tools::naming::matches_any;

/// The longest description, in characters, and schema, in bytes, that a provider is shown.
const MAX_DESCRIPTION: usize = 4096;
const MAX_SCHEMA: usize = 64 * 1024;
/// The most tools of one server.
const MAX_TOOLS: usize = 512;

/// A tool as its server lists it.
#[derive(Clone, Debug)]
pub(super) struct ListedTool {
    /// The server's own name for it.
    pub(super) name: String,
    pub(super) spec: ToolSpec,
}

/// Takes the tools that can be offered; says what is wrong with the others.
pub(super) fn check_tools(tools: Vec<Tool>, settings: &Settings) -> (Vec<ListedTool>, Vec<String>) {
    let mut taken: Vec<ListedTool> = Vec::new();
    let mut problems = Vec::new();
    for tool in tools {
        let wanted = (settings.allow.is_empty() || matches_any(&settings.allow, &tool.name))
            && !matches_any(&settings.deny, &tool.name);
        if !wanted {
            continue;
        }
        if taken.len() == MAX_TOOLS {
            problems.push(format!("it lists more than {MAX_TOOLS} tools; the rest is left out"));
            break;
        }
        if taken.iter().any(|known| known.name == tool.name) {
            problems.push(format!("{}: listed twice", tool.name));
            continue;
        }
        match spec(&tool, settings.call_timeout) {
            Ok(spec) => taken.push(ListedTool { name: tool.name.into_owned(), spec }),
            Err(why) => problems.push(format!("{}: {why}", tool.name)),
        }
    }
    (taken, problems)
}

fn spec(tool: &Tool, timeout: Duration) -> Result<ToolSpec, String> {
    let schema = check_schema(Value::Object((*tool.input_schema).clone()))?;
    let description = tool
        .description
        .as_deref()
        .or(tool.title.as_deref())
        .unwrap_or(&tool.name)
        .chars()
        .take(MAX_DESCRIPTION)
        .collect::<String>();
    let mut spec = ToolSpec::new(tool.name.as_ref(), description, schema);
    spec.timeout = timeout;
    if let Some(hints) = &tool.annotations {
        spec.read_only = hints.read_only_hint == Some(true);
        spec.idempotent = hints.idempotent_hint == Some(true);
        // Only a tool that says so itself: the protocol's default, destructive, would ask before nearly every call.
        spec.needs_approval = hints.destructive_hint == Some(true) && !spec.read_only;
    }
    Ok(spec)
}

/// Makes sure that a schema describes an object and can be used; providers refuse a whole request for one that cannot.
pub(crate) fn check_schema(mut schema: Value) -> Result<Value, String> {
    let Some(object) = schema.as_object_mut() else {
        return Err("its input schema is not an object".to_owned());
    };
    object.remove("$schema");
    match object.get("type") {
        None => drop(object.insert("type".to_owned(), "object".into())),
        Some(Value::String(kind)) if kind == "object" => {}
        Some(_) => return Err("its input schema is not of type object".to_owned()),
    }
    object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if schema.to_string().len() > MAX_SCHEMA {
        return Err(format!("its input schema is longer than {MAX_SCHEMA} bytes"));
    }
    jsonschema::validator_for(&schema)
        .map_err(|error| format!("its input schema cannot be used: {error}"))?;
    Ok(schema)
}

/// What a call answered, as the model reads it.
pub(super) fn output(result: CallToolResult) -> ToolOutput {
    let mut content: Vec<ToolContent> = Vec::new();
    let structured = result.structured_content.filter(|value| !value.is_null());
    for block in result.content {
        // Servers repeat the structured value as text for clients that do not know it.
        if let (ContentBlock::Text(text), Some(structured)) = (&block, &structured)
            && serde_json::from_str::<Value>(&text.text).is_ok_and(|value| value == *structured)
        {
            continue;
        }
        content.push(block_content(block));
    }
    if let Some(value) = structured {
        // Providers take objects only.
        content.push(if value.is_object() {
            ToolContent::Json(value)
        } else {
            ToolContent::Text(value.to_string())
        });
    }
    ToolOutput { content, is_error: result.is_error == Some(true) }
}

fn block_content(block: ContentBlock) -> ToolContent {
    match block {
        ContentBlock::Text(text) => ToolContent::Text(text.text),
        ContentBlock::Image(image) => binary(&image.mime_type, &image.data, "image"),
        ContentBlock::Audio(audio) => binary(&audio.mime_type, &audio.data, "audio"),
        ContentBlock::Resource(resource) => resource_content(resource.resource),
        ContentBlock::ResourceLink(link) => {
            let what = link.description.map(|text| format!(": {text}")).unwrap_or_default();
            ToolContent::Text(format!("Resource \"{}\" at {}{what}", link.name, link.uri))
        }
        _ => ToolContent::Text("[content of a kind that cannot be shown]".to_owned()),
    }
}

/// The contents of a resource.
pub(super) fn resource_content(contents: ResourceContents) -> ToolContent {
    match contents {
        ResourceContents::TextResourceContents { text, .. } => ToolContent::Text(text),
        ResourceContents::BlobResourceContents { mime_type, blob, .. } => {
            binary(mime_type.as_deref().unwrap_or("application/octet-stream"), &blob, "resource")
        }
        _ => ToolContent::Text("[content of a kind that cannot be shown]".to_owned()),
    }
}

/// Base64 data as a picture or document where models can read its type, else a note in its place.
fn binary(mime_type: &str, data: &str, what: &str) -> ToolContent {
    let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(data) else {
        return ToolContent::Text(format!("[{what} of type {mime_type} that cannot be decoded]"));
    };
    let size = bytes.len();
    let source = Source::Bytes(Bytes(bytes));
    let document = |format: &str, source| {
        ToolContent::Document(Document { format: format.to_owned(), name: "resource".to_owned(), source })
    };
    let essence = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => {
            let format = essence.trim_start_matches("image/").to_owned();
            ToolContent::Image(Image { format, source })
        }
        "image/jpg" => ToolContent::Image(Image { format: "jpeg".to_owned(), source }),
        "application/pdf" => document("pdf", source),
        "text/csv" => document("csv", source),
        _ => ToolContent::Text(format!("[{what} of type {mime_type}, {size} bytes, which cannot be shown]")),
    }
}

#[cfg(test)]
mod tests;
