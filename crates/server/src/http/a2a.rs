//! A2A 1.0: the agent card, and the HTTP+JSON binding under `/a2a`. A task is a run and a context is a session.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};
use loquat_agent::message::{Content, Message, Role};
use loquat_agent::model::Params;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::chat::{self, Attachment, attached};
use super::error_form;
use super::json::Json;
use super::problem::Problem;
use super::runs::{Approval, decisions};
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::{a2a, encoder};
use crate::ids::{Id, RunId};
use crate::runs::engine::{Ask, StartRequest, Wants};
use crate::runs::reader::{Reader, attend};
use crate::runs::run::{DialectName, Form, Run};

/// The version that is spoken.
const VERSION: &str = "1.0";

/// The routes.
pub(crate) fn routes() -> Router<AppState> {
    let form: fn(&Problem) -> Value =
        |problem| a2a::error_body(problem.status().as_u16(), problem.detail(), problem.code());
    let spoken = Router::new()
        .route("/a2a/message:send", post(send))
        .route("/a2a/message:stream", post(stream_message))
        .route("/a2a/tasks", get(unsupported))
        .route("/a2a/tasks/{id}", get(get_task).post(change_task))
        .route("/a2a/tasks/{id}/pushNotificationConfigs", any(no_push))
        .route("/a2a/tasks/{id}/pushNotificationConfigs/{config}", any(no_push))
        .route("/a2a/extendedAgentCard", get(unsupported))
        .route("/a2a/{*rest}", any(unknown))
        .layer(middleware::from_fn(version))
        .method_not_allowed_fallback(crate::app::method_not_allowed)
        .layer(middleware::from_fn(move |request, next| error_form::tell(request, next, form)));
    Router::new().route("/.well-known/agent-card.json", get(card)).merge(spoken)
}

fn refused(code: &'static str, detail: &str) -> Problem {
    Problem::bad(code, detail)
}

async fn unsupported() -> Problem {
    refused(
        "unsupported_operation",
        "Neither are tasks listed here (see GET /sessions), nor is there a second card.",
    )
}

async fn no_push() -> Problem {
    refused("push_notification_not_supported", "This agent sends no push notifications.")
}

async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "method_not_found", "A2A has no such operation here.")
}

/// A client that names a version that is not spoken is told so.
async fn version(request: Request, next: Next) -> Response {
    let asked = request.headers().get("a2a-version").and_then(|version| version.to_str().ok());
    match asked.map(str::trim) {
        None | Some("" | "1") => next.run(request).await,
        Some(version) if version == VERSION || version.starts_with("1.0.") => next.run(request).await,
        Some(_) => refused("version_not_supported", "This agent speaks A2A 1.0.").into_response(),
    }
}

/// Who the agent is and where it is spoken to. Holds nothing secret.
async fn card(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match told("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let host = told("host").unwrap_or("localhost");
    let page = &state.settings.page_config["agent"];
    let name = page["name"].as_str().unwrap_or("Loquat");
    let description = page["greeting"].as_str().unwrap_or("An agent to talk to.");
    let mut inputs = vec!["text/plain"];
    if state.settings.attach_images {
        inputs.extend(["image/png", "image/jpeg", "image/gif", "image/webp"]);
    }
    if state.settings.attach_documents {
        inputs.push("application/pdf");
    }
    let mut card = json!({
        "name": name,
        "description": description,
        "version": env!("CARGO_PKG_VERSION"),
        "supportedInterfaces":
            [{"url": format!("{scheme}://{host}/a2a"), "protocolBinding": "HTTP+JSON", "protocolVersion": VERSION}],
        "capabilities": {"streaming": true, "pushNotifications": false, "extendedAgentCard": false},
        "defaultInputModes": inputs,
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": "chat", "name": "Conversation", "description": description, "tags": ["chat"],
            "examples": page["suggestions"]}],
    });
    if state.auth.kind() != "none" {
        card["securitySchemes"] = json!({"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}});
        card["securityRequirements"] = json!([{"schemes": {"bearer": {"list": []}}}]);
    }
    ([(header::CACHE_CONTROL, "no-cache")], axum::Json(card)).into_response()
}

/// A `SendMessageRequest`. Fields of later versions are passed over, as A2A asks.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with a message")]
struct SendMessage {
    message: Said,
    #[serde(default)]
    configuration: Option<Configuration>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    message_id: String,
    #[serde(default)]
    context_id: Option<String>,
    #[serde(default)]
    task_id: Option<String>,
    role: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    data: Option<Value>,
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    media_type: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(default)]
    accepted_output_modes: Vec<String>,
    #[serde(default)]
    task_push_notification_config: Option<Map<String, Value>>,
    #[serde(default)]
    return_immediately: bool,
}

async fn send(
    State(state): State<AppState>,
    principal: Principal,
    Json(body): Json<SendMessage>,
) -> Result<axum::Json<Value>, Problem> {
    let at_once = body.configuration.as_ref().is_some_and(|wanted| wanted.return_immediately);
    let run = state.engine.start(request(&state, principal, body, true).await?).await?;
    if !at_once {
        attend(&run, state.engine.on_disconnect()).await;
    }
    Ok(axum::Json(json!({"task": task(&run).0})))
}

async fn stream_message(
    State(state): State<AppState>,
    principal: Principal,
    Json(body): Json<SendMessage>,
) -> Result<Response, Problem> {
    chat::start(&state, request(&state, principal, body, false).await?).await
}

async fn get_task(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    match id.split_once(':') {
        None => {
            let run = find(&state, &principal, &id).await?;
            Ok(axum::Json(task(&run).0).into_response())
        }
        Some((id, "subscribe")) => subscribe(&state, &principal, id).await,
        Some(_) => Err(unknown().await),
    }
}

async fn change_task(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    match id.split_once(':') {
        Some((id, "subscribe")) => subscribe(&state, &principal, id).await,
        Some((id, "cancel")) => {
            let run = find(&state, &principal, id).await?;
            if run.ended() {
                return Err(refused("task_not_cancelable", "The task has ended."));
            }
            state.engine.stop(principal.owner(), &run.info.id).await?;
            Ok(axum::Json(task(&run).0).into_response())
        }
        _ => Err(unknown().await),
    }
}

/// The task as it is now, then what comes.
async fn subscribe(state: &AppState, principal: &Principal, id: &str) -> Result<Response, Problem> {
    let run = find(state, principal, id).await?;
    let (first, ended, known) = {
        let look = run.look();
        let (task, ended) = a2a::task(&run.info, &look);
        (a2a::snapshot(&task), ended, look.log().len())
    };
    if ended {
        return Err(refused("unsupported_operation", "The task has ended; get it instead."));
    }
    let words = encoder(&Form::of(DialectName::A2a));
    let rest = Reader::new(run, words, known, state.engine.on_disconnect()).into_stream();
    Ok(chat::sse(stream::iter([Ok(Bytes::from(first))]).chain(rest), &[], None))
}

fn task(run: &Run) -> (Value, bool) {
    let look = run.look();
    a2a::task(&run.info, &look)
}

async fn find(state: &AppState, principal: &Principal, id: &str) -> Result<Arc<Run>, Problem> {
    let id = RunId::parse(id).map_err(|_| Problem::not_found())?;
    state.engine.find(principal.owner(), &id).await?.ok_or_else(Problem::not_found)
}

async fn request(
    state: &AppState,
    principal: Principal,
    body: SendMessage,
    whole: bool,
) -> Result<StartRequest, Problem> {
    let wanted = body.configuration.unwrap_or_default();
    if wanted.task_push_notification_config.is_some() {
        return Err(no_push().await);
    }
    let text =
        |mode: &String| matches!(mode.as_str(), "text" | "text/plain" | "text/*" | "*/*" | "text/markdown");
    if !wanted.accepted_output_modes.is_empty() && !wanted.accepted_output_modes.iter().any(text) {
        return Err(refused("content_type_not_supported", "This agent answers in text/plain."));
    }
    let said = body.message;
    if said.role != "ROLE_USER" {
        return Err(Problem::bad("invalid_field", "message.role: has to be ROLE_USER"));
    }
    let context = said.context_id.as_deref().filter(|id| !id.is_empty());
    let mut session_id = chat::id(context, "message.contextId", "invalid_field")?;
    // The same message sent again is the same task.
    let mut run_id = Id::parse(&said.message_id).ok();
    let (content, approvals) = read(state, said.parts)?;
    let message = Message::new(Role::User, content);
    let mut ask = Ask::Message { message, history_length: None };
    if let Some(task) = said.task_id.as_deref().filter(|id| !id.is_empty()) {
        let asked = find(state, &principal, task).await?;
        let interrupted = self::task(&asked).0["status"]["state"] == "TASK_STATE_INPUT_REQUIRED";
        if !interrupted {
            let detail = "The task takes no more messages; send one without taskId in its context.";
            return Err(refused("unsupported_operation", detail));
        }
        session_id = Some(asked.info.session_id.clone());
        if !approvals.is_empty() {
            ask = Ask::Resume { asked_by: asked.info.id.clone(), decisions: decisions(approvals) };
            run_id = None;
        }
    } else if !approvals.is_empty() {
        return Err(Problem::bad("invalid_field", "message.taskId: approvals need the task that asked"));
    }
    if matches!(&ask, Ask::Message { message, .. } if message.content.is_empty()) {
        return Err(Problem::bad("empty_message", "message.parts: there is nothing to answer"));
    }
    Ok(StartRequest {
        principal,
        session_id,
        run_id,
        ask,
        form: Form { options: json!({"whole": whole}), ..Form::of(DialectName::A2a) },
        on_busy: state.settings.on_busy,
        client_tools: Vec::new(),
        params: Params::default(),
        wants: Wants::default(),
    })
}

/// The parts of a message: what the user says, and what they consent to.
fn read(state: &AppState, parts: Vec<Part>) -> Result<(Vec<Content>, Vec<Approval>), Problem> {
    let mut content = Vec::new();
    let mut approvals = Vec::new();
    let limit = state.settings.message_bytes;
    for (n, part) in parts.into_iter().enumerate() {
        let place = format!("message.parts[{n}]");
        match part {
            Part { text: Some(text), .. } if text.len() > limit => {
                let detail = format!("{place}: {} bytes, the limit is {limit}", text.len());
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "message_too_long", detail));
            }
            Part { text: Some(text), .. } if text.trim().is_empty() => {}
            Part { text: Some(text), .. } => content.push(Content::Text(text)),
            Part { raw: Some(data), filename, media_type, .. } => {
                let name = filename.unwrap_or_else(|| "file".into());
                let file = Attachment { name, media_type: media_type.unwrap_or_default(), data };
                content.push(attached(state, &place, n, &file)?);
            }
            Part { data: Some(mut data), .. } => match data.get_mut("approvals").map(Value::take) {
                Some(given) => {
                    let wrong =
                        |error| Problem::bad("invalid_field", format!("{place}.data.approvals: {error}"));
                    approvals.extend(serde_json::from_value::<Vec<Approval>>(given).map_err(wrong)?);
                }
                // The model reads it as it is.
                None => content.push(Content::Text(data.to_string())),
            },
            Part { url: Some(_), .. } => {
                return Err(refused("content_type_not_supported", "Send the file itself as `raw`."));
            }
            _ => return Err(Problem::bad("invalid_field", format!("{place}: has no content"))),
        }
    }
    Ok((content, approvals))
}
