//! `POST /mcp`: the agent as one tool of a Model Context Protocol server, over streamable HTTP without sessions.
//!
//! Revision 2026-07-28 has no handshake: each request says its version. Clients of the revisions before begin with
//! `initialize`, which is answered without a session, so any instance serves any request of theirs too.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Router, middleware};
use http::{HeaderMap, StatusCode, header};
use loquat_agent::message::{Content, Message, Role};
use loquat_agent::model::Params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat;
use super::error_form;
use super::json::Json;
use super::problem::Problem;
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::mcp;
use crate::runs::engine::{Ask, StartRequest, Wants};
use crate::runs::reader::attend;
use crate::runs::run::{DialectName, Form};

/// The revisions that are spoken, the newest first.
const VERSIONS: [&str; 4] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26"];
/// The first revision without a handshake.
const MODERN: &str = "2026-07-28";
/// The name of the tool.
const TOOL: &str = "ask";

/// The routes.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/mcp", post(call).get(resume))
        .method_not_allowed_fallback(crate::app::method_not_allowed)
        .layer(middleware::from_fn(|request, next| error_form::tell(request, next, error)))
}

/// A problem as an error of JSON-RPC that answers no request.
fn error(problem: &Problem) -> Value {
    let code = match problem.code() {
        "invalid_json" => -32700,
        _ if problem.status().is_server_error() => -32603,
        _ => -32600,
    };
    let data = json!({"code": problem.code(), "status": problem.status().as_u16()});
    json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": problem.detail(), "data": data}})
}

/// A refusal of one request.
struct Refusal {
    status: StatusCode,
    code: i32,
    message: String,
    data: Value,
}

impl Refusal {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, code, message: message.into(), data: Value::Null }
    }

    fn bad(code: i32, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, ..Self::new(code, message) }
    }

    fn answer(self, id: &Value) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if !self.data.is_null() {
            error["data"] = self.data;
        }
        (self.status, axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": error}))).into_response()
    }
}

/// Takes one message.
async fn call(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    Json(message): Json<Value>,
) -> Result<Response, Problem> {
    let (Some("2.0"), true) = (message["jsonrpc"].as_str(), message.is_object()) else {
        return Err(Problem::bad("invalid_request", "The body has to be one message of JSON-RPC 2.0."));
    };
    let Some(method) = message["method"].as_str() else {
        // An answer to a request: this server makes none.
        return Ok(StatusCode::ACCEPTED.into_response());
    };
    let id = &message["id"];
    if id.is_null() {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    let modern = match version(&headers, &message) {
        Ok(modern) => modern,
        Err(refusal) => return Ok(refusal.answer(id)),
    };
    let mut result = match method {
        "initialize" if !modern => initialize(&state, &message["params"]),
        "server/discover" if modern => discover(&state),
        "ping" => json!({}),
        "tools/list" => json!({"tools": [tool(&state)]}),
        "tools/call" => return ask(&state, principal, &headers, &message, modern).await,
        _ => {
            let status = if modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let refusal = Refusal { status, ..Refusal::new(-32601, "There is no such method here.") };
            return Ok(refusal.answer(id));
        }
    };
    if modern {
        result["resultType"] = "complete".into();
        result["ttlMs"] = 60_000.into();
        result["cacheScope"] = "private".into();
    }
    Ok(axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response())
}

/// Whether the request is of the revision without a handshake.
fn version(headers: &HeaderMap, message: &Value) -> Result<bool, Refusal> {
    let told = headers.get("mcp-protocol-version").map(|version| version.to_str().unwrap_or_default());
    let meant = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str();
    if let (Some(told), Some(meant)) = (told, meant)
        && told != meant
    {
        return Err(Refusal::bad(-32020, "The header and the request name different protocol versions."));
    }
    let Some(version) = told.or(meant) else { return Ok(false) };
    if !VERSIONS.contains(&version) {
        let data = json!({"requested": version, "supported": VERSIONS});
        return Err(Refusal { data, ..Refusal::bad(-32022, "Unsupported protocol version") });
    }
    let modern = version == MODERN;
    let method = headers.get("mcp-method").and_then(|method| method.to_str().ok());
    if modern && method.is_some_and(|method| Some(method) != message["method"].as_str()) {
        return Err(Refusal::bad(-32020, "The header and the request name different methods."));
    }
    Ok(modern)
}

fn server_info(state: &AppState) -> Value {
    json!({"name": "loquat", "title": agent_name(state), "version": env!("CARGO_PKG_VERSION")})
}

fn agent_name(state: &AppState) -> &str {
    state.settings.page_config["agent"]["name"].as_str().unwrap_or("Loquat")
}

fn initialize(state: &AppState, params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    let version = VERSIONS.into_iter().skip(1).find(|version| *version == asked).unwrap_or(VERSIONS[1]);
    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server_info(state)})
}

fn discover(state: &AppState) -> Value {
    json!({"supportedVersions": VERSIONS, "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": server_info(state)}})
}

fn tool(state: &AppState) -> Value {
    let name = agent_name(state);
    let about = state.settings.page_config["agent"]["greeting"].as_str().unwrap_or_default();
    let description = format!(
        "Asks {name}, an agent with tools and knowledge of its own, and gives its answer. Give the `session_id` of an earlier \
        answer to go on with that conversation. {about}"
    );
    json!({
        "name": TOOL,
        "title": format!("Ask {name}"),
        "description": description.trim(),
        "inputSchema": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "What to ask."},
                "session_id": {"type": "string", "description": "The conversation to go on with."},
            },
            "required": ["message"],
            "additionalProperties": false,
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "answer": {"type": "string"},
                "session_id": {"type": "string"},
                "run_id": {"type": "string"},
                "outcome": {"type": "string"},
                "approvals": {"type": "array"},
                "error": {"type": "object"},
                "cost_usd": {"type": "number"},
            },
            "required": ["answer", "session_id", "run_id"],
        },
        "annotations": {"openWorldHint": true},
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    message: String,
    #[serde(default)]
    session_id: Option<String>,
}

/// Runs the agent.
async fn ask(
    state: &AppState,
    principal: Principal,
    headers: &HeaderMap,
    message: &Value,
    modern: bool,
) -> Result<Response, Problem> {
    let (id, params) = (&message["id"], &message["params"]);
    if params["name"] != TOOL {
        return Ok(Refusal::new(-32602, "There is no such tool.").answer(id));
    }
    let arguments = match serde_json::from_value::<Arguments>(params["arguments"].clone()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(Refusal::new(-32602, format!("arguments: {error}")).answer(id)),
    };
    let limit = state.settings.message_bytes;
    if arguments.message.trim().is_empty() || arguments.message.len() > limit {
        let words = format!("arguments.message: has to be 1 to {limit} bytes");
        return Ok(Refusal::new(-32602, words).answer(id));
    }
    let session_id = match chat::id(arguments.session_id.as_deref(), "arguments.session_id", "invalid_field")
    {
        Ok(session) => session,
        Err(problem) => return Ok(Refusal::new(-32602, problem.detail()).answer(id)),
    };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let stream = accept.contains("text/event-stream");
    let options = json!({"id": id, "token": params["_meta"]["progressToken"], "modern": modern});
    let request = StartRequest {
        principal,
        session_id,
        run_id: None,
        ask: Ask::Message {
            message: Message::new(Role::User, vec![Content::Text(arguments.message)]),
            history_length: None,
        },
        form: Form { options, ..Form::of(DialectName::Mcp) },
        on_busy: state.settings.on_busy,
        client_tools: Vec::new(),
        params: Params::default(),
        wants: Wants::default(),
    };
    if stream {
        return match chat::start(state, request).await {
            Ok(response) => Ok(response),
            Err(problem) => Ok(failed(id, &problem)),
        };
    }
    let run = match state.engine.start(request).await {
        Ok(run) => run,
        Err(error) => return Ok(failed(id, &error.into())),
    };
    attend(&run, state.engine.on_disconnect()).await;
    let result = {
        let look = run.look();
        mcp::whole(&run.info, &look, modern)
    };
    Ok(axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response())
}

/// A run that could not be started is a failed call, with the status of the problem.
fn failed(id: &Value, problem: &Problem) -> Response {
    let data = json!({"code": problem.code(), "retryable": problem.retryable()});
    Refusal { status: problem.status(), data, ..Refusal::new(-32603, problem.detail()) }.answer(id)
}

/// Goes on with an answer whose connection was lost. There is no other stream to open.
async fn resume(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    _: Bytes,
) -> Result<Response, Problem> {
    let Some(cursor) = headers.get("last-event-id") else {
        return Err(crate::app::method_not_allowed().await);
    };
    let cursor = cursor.to_str().ok().and_then(mcp::resume).ok_or_else(Problem::not_found)?;
    let (run, after, options) = cursor;
    let run = state.engine.find(principal.owner(), &run).await?.ok_or_else(Problem::not_found)?;
    let form = Form { options, ..Form::of(DialectName::Mcp) };
    Ok(chat::events(run, &form, after, state.engine.on_disconnect()))
}
