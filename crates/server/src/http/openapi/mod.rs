//! `GET /openapi.json`: the HTTP API described as OpenAPI 3.1, with examples.
//!
//! Requests are described by the very types that read them (`schemars`). Answers are described by hand, strictly, and
//! tests hold every description against the real thing: the list of routes against the router, the list of problem
//! codes against the code, every example against its schema, every answer of a conversation against its description.

mod conversation;
mod dialects;
mod openai;
mod operation;
mod problems;
mod protocols;
mod schemas;
mod service;
mod sessions;

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use self::operation::Operation;
use crate::app::AppState;

/// What operations are sorted by, with a sentence each.
const TAGS: &[(&str, &str)] = &[
    ("conversation", "Send messages, read answers, stop them, decide on tool calls."),
    ("sessions", "The caller's stored conversations."),
    ("memory", "What the agent keeps about the caller."),
    (
        "administration",
        "For callers with the administrator's role; for everybody else these routes do not exist.",
    ),
    ("protocols", "AG-UI 1.0 and the AI SDK's UI message stream: projections of the same runs."),
    ("openai", "What clients of OpenAI's API call; errors in OpenAI's form."),
    ("agents", "What hosts and other agents call: AgentCore, A2A and MCP, each with errors in its own form."),
    ("service", "The service itself. Needs no credential and holds nothing of anybody's."),
];

const INTRODUCTION: &str = "\
A streaming chat agent. A message starts a *run*; the run writes numbered events; streams are readers of them. A stream \
that was cut is taken up again with the number of the last event (`Last-Event-ID` or `after`).\n\n\
Errors outside a stream are `application/problem+json` (RFC 9457) with a stable `code`. Inside a stream the status is \
already 200, so an `error` frame says it. What belongs to somebody else is answered exactly like what does not exist: \
404. Optional members are left out, never null.";

/// The ways to sign in, as [`crate::auth::Authenticator::kind`] names them, that the document differs by.
const KINDS: [&str; 3] = ["none", "api_key", "token"];

/// Every operation of the HTTP API.
fn operations() -> Vec<Operation> {
    let groups = [
        conversation::operations(),
        sessions::operations(),
        protocols::operations(),
        openai::operations(),
        dialects::operations(),
        service::operations(),
    ];
    groups.into_iter().flatten().collect()
}

/// The description of the API where callers sign in in this way.
#[must_use]
pub fn document(sign_in: &str) -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    }));
    let schemes = security_schemes(sign_in);
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path()).or_insert_with(|| json!({}));
        let method = operation.method().to_ascii_lowercase();
        path[method] = operation.describe(&mut generator, &schemes);
    }
    let mut components: Map<String, Value> = schemas::all();
    components.extend(protocols::schemas());
    components.extend(openai::schemas());
    components.extend(dialects::schemas());
    components.extend(generator.take_definitions(true));
    let tags: Vec<Value> =
        TAGS.iter().map(|(name, description)| json!({"name": name, "description": description})).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Loquat",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Relative to where this document is served from.
        "servers": [{"url": "."}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": components},
    });
    if let Some(object) = schemes.as_object().filter(|schemes| !schemes.is_empty()) {
        document["components"]["securitySchemes"] = Value::Object(object.clone());
    }
    document
}

/// The ways to present a credential.
fn security_schemes(sign_in: &str) -> Value {
    match sign_in {
        "none" => json!({}),
        "api_key" => json!({
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key made by `loquat keys add`.",
            },
            "x_api_key": {
                "type": "apiKey",
                "in": "header",
                "name": "x-api-key",
                "description": "The same key, for clients that cannot set `Authorization`.",
            },
        }),
        _ => json!({
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The token of the sign-in provider that `GET /config.json` names: the id token, or the \
                    access token where `auth.api_token` is `access`.",
            },
        }),
    }
}

/// Answers with the description.
pub async fn get(State(state): State<AppState>) -> Response {
    static DOCUMENTS: OnceLock<[Bytes; KINDS.len()]> = OnceLock::new();
    let documents = DOCUMENTS.get_or_init(|| KINDS.map(|kind| Bytes::from(document(kind).to_string())));
    let place = KINDS.iter().position(|kind| *kind == state.auth.kind()).unwrap_or(KINDS.len() - 1);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, documents[place].clone()).into_response()
}

#[cfg(test)]
mod tests;
