//! Reading an OpenAPI document: its operations, and for each the one schema of everything the model fills in.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Map, Value, json};

use crate::tools::mcp::check_schema;

/// The property that holds the request's body.
pub(super) const BODY: &str = "body";
/// References are followed so deep; a schema that refers to itself ends there.
const MAX_DEPTH: usize = 12;
const MAX_DESCRIPTION: usize = 2000;

/// Where a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Its name in the request.
    pub(super) name: String,
    /// Its name in the tool's input, which differs where two parameters have one name.
    pub(super) property: String,
    pub(super) place: Place,
    /// Each item of an array as a parameter of its own.
    pub(super) explode: bool,
    pub(super) required: bool,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    /// The media type of the body, if there is one.
    pub(super) body: Option<String>,
    pub(super) schema: Value,
}

/// All operations, or for each one that cannot be a tool, why.
pub(super) fn operations(document: &Value) -> Vec<Result<Operation, String>> {
    let mut found = Vec::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        let item = resolve(document, item);
        for (verb, method) in [
            ("get", Method::GET),
            ("post", Method::POST),
            ("put", Method::PUT),
            ("patch", Method::PATCH),
            ("delete", Method::DELETE),
        ] {
            if let Some(operation) = item.get(verb) {
                let read = read(document, path, item, operation, method);
                found.push(read.map_err(|why| format!("{verb} {path}: {why}")));
            }
        }
    }
    found
}

fn read(
    document: &Value,
    path: &str,
    item: &Value,
    operation: &Value,
    method: Method,
) -> Result<Operation, String> {
    let text =
        |field: &str| operation.get(field).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let name = text("operationId").map_or_else(|| name_of(&method, path), str::to_owned);
    let description = match (text("summary"), text("description")) {
        (Some(summary), Some(more)) if !more.starts_with(summary) => format!("{summary}\n{more}"),
        (_, Some(more)) => more.to_owned(),
        (Some(summary), None) => summary.to_owned(),
        (None, None) => format!("{method} {path}"),
    };
    let mut properties = Map::new();
    let mut required = BTreeSet::new();
    let mut parameters: Vec<Parameter> = Vec::new();
    for raw in parameters_of(document, item, operation) {
        let Some((name, place)) = identity(raw) else { continue };
        let needed = place == Place::Path || raw.get("required").and_then(Value::as_bool) == Some(true);
        let property = if properties.contains_key(name) || name == BODY {
            format!("{name}_in_{place:?}").to_lowercase()
        } else {
            name.to_owned()
        };
        // A parameter has a schema, or one inside a media type.
        let inner =
            raw.get("schema").or_else(|| raw.get("content")?.as_object()?.values().next()?.get("schema"));
        let mut schema = inner.map_or_else(|| json!({}), |schema| inline(document, schema, 0));
        if let (Some(words), Some(schema)) =
            (raw.get("description").and_then(Value::as_str), schema.as_object_mut())
        {
            schema.insert("description".to_owned(), words.into());
        }
        properties.insert(property.clone(), schema);
        if needed {
            required.insert(property.clone());
        }
        parameters.push(Parameter {
            name: name.to_owned(),
            property,
            place,
            explode: raw.get("explode").and_then(Value::as_bool).unwrap_or(place == Place::Query),
            required: needed,
        });
    }
    let mut body = None;
    if let Some(raw) = operation.get("requestBody").map(|raw| resolve(document, raw)) {
        let content = raw.get("content").and_then(Value::as_object).ok_or("its body has no content")?;
        let (kind, media) = ["application/json", "application/x-www-form-urlencoded", "text/plain"]
            .iter()
            .find_map(|wanted| content.iter().find(|(kind, _)| kind.split(';').next() == Some(*wanted)))
            .or_else(|| content.iter().find(|(kind, _)| kind.ends_with("+json")))
            .ok_or("its body is of a type that cannot be written")?;
        let schema = media.get("schema").map_or_else(|| json!({}), |schema| inline(document, schema, 0));
        properties.insert(BODY.to_owned(), schema);
        if raw.get("required").and_then(Value::as_bool) == Some(true) {
            required.insert(BODY.to_owned());
        }
        body = Some(kind.clone());
    }
    let schema = check_schema(json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    }))?;
    let description = description.chars().take(MAX_DESCRIPTION).collect();
    Ok(Operation { name, description, method, path: path.to_owned(), parameters, body, schema })
}

/// The path's parameters and the operation's; the operation's win.
fn parameters_of<'a>(document: &'a Value, item: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
    let list = |holder: &'a Value| {
        let list = holder.get("parameters").and_then(Value::as_array);
        list.into_iter().flatten().map(|raw| resolve(document, raw)).collect::<Vec<_>>()
    };
    let own = list(operation);
    let inherited =
        list(item).into_iter().filter(|raw| !own.iter().any(|known| identity(known) == identity(raw)));
    inherited.chain(own.iter().copied()).collect()
}

fn identity(raw: &Value) -> Option<(&str, Place)> {
    let place = match raw.get("in")?.as_str()? {
        "path" => Place::Path,
        "query" => Place::Query,
        // The standard says to ignore these three: they belong to the client, and here to the owner.
        "header" => {
            let name = raw.get("name")?.as_str()?.to_ascii_lowercase();
            if matches!(name.as_str(), "accept" | "content-type" | "authorization" | "cookie" | "host") {
                return None;
            }
            Place::Header
        }
        _ => return None,
    };
    Some((raw.get("name")?.as_str()?, place))
}

fn name_of(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
    format!("{}_{}", method.as_str().to_ascii_lowercase(), words.join("_"))
}

/// What a reference inside the document refers to; a reference to elsewhere is not followed.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    for _ in 0..MAX_DEPTH {
        let target = value.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
        match target.and_then(|pointer| document.pointer(pointer)) {
            Some(next) => value = next,
            None => break,
        }
    }
    value
}

/// A schema without references and without what only OpenAPI knows.
fn inline(document: &Value, schema: &Value, depth: usize) -> Value {
    match schema {
        Value::Object(_) if depth > MAX_DEPTH => json!({}),
        Value::Object(_) if schema.get("$ref").is_some() => {
            let target = resolve(document, schema);
            if target.get("$ref").is_some() { json!({}) } else { inline(document, target, depth + 1) }
        }
        Value::Object(fields) => {
            let mut clean: Map<String, Value> = fields
                .iter()
                .filter(|(name, _)| {
                    !matches!(
                        name.as_str(),
                        "nullable"
                            | "discriminator"
                            | "xml"
                            | "externalDocs"
                            | "example"
                            | "readOnly"
                            | "writeOnly"
                            | "deprecated"
                    ) && !name.starts_with("x-")
                })
                .map(|(name, value)| {
                    // The names of properties are not keywords.
                    let value = match (name.as_str(), value) {
                        ("properties", Value::Object(properties)) => properties
                            .iter()
                            .map(|(name, schema)| (name.clone(), inline(document, schema, depth + 1)))
                            .collect::<Map<_, _>>()
                            .into(),
                        ("enum" | "default" | "const" | "required", value) => value.clone(),
                        (_, value) => inline(document, value, depth + 1),
                    };
                    (name.clone(), value)
                })
                .collect();
            upgrade(&mut clean, fields);
            clean.into()
        }
        Value::Array(items) => items.iter().map(|item| inline(document, item, depth + 1)).collect(),
        other => other.clone(),
    }
}

/// OpenAPI 3.0 says two things in its own way.
fn upgrade(clean: &mut Map<String, Value>, original: &Map<String, Value>) {
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match clean.get(flag) {
            Some(Value::Bool(true)) => {
                if let Some(limit) = clean.remove(bound) {
                    clean.insert(flag.to_owned(), limit);
                } else {
                    clean.remove(flag);
                }
            }
            Some(Value::Bool(false)) => drop(clean.remove(flag)),
            _ => {}
        }
    }
    if original.get("nullable") == Some(&Value::Bool(true))
        && let Some(Value::String(kind)) = clean.get("type").cloned()
    {
        clean.insert("type".to_owned(), json!([kind, "null"]));
    }
}
