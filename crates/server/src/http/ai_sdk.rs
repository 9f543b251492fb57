//! `/api/chat`: what `useChat` and its kin call. Errors are told as their text, which the SDK shows to people.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use loquat_agent::message::{Content, Message};
use loquat_agent::model::Params;
use loquat_agent::{Decision, Verdict, open_calls};
use serde_json::{Value, json};

use super::ag_ui::{client_tool, stored};
use super::chat::{self, Attachment};
use super::json::Json;
use super::problem::Problem;
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::ag_ui::messages::MESSAGE_ID;
use crate::dialects::ai_sdk::input::{ChatBody, Trigger, UiMessage, file};
use crate::dialects::ai_sdk::told::conversation;
use crate::dialects::told::take_answers;
use crate::ids::SessionId;
use crate::runs::engine::{Ask, StartRequest, Wants};
use crate::runs::run::{DialectName, Form};
use crate::sessions::document::Document;
use crate::sessions::service::SessionError;

/// The routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/chat", post(send))
        .route("/api/chat/{id}/stream", get(resume))
        .layer(middleware::map_response(plain))
}

/// Marks an answer whose plain text is meant for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told;

/// A problem as its text.
async fn plain(mut response: Response) -> Response {
    let Some(problem) = response.extensions().get::<Problem>().cloned() else {
        // The router's own rejections are words already.
        if response.status().is_client_error() {
            response.extensions_mut().insert(Told);
        }
        return response;
    };
    let (mut parts, _) = response.into_parts();
    parts.extensions.remove::<Problem>();
    parts.extensions.insert(Told);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Response::from_parts(parts, Body::from(problem.detail().to_owned()))
}

fn session_id(text: &str) -> Result<SessionId, Problem> {
    chat::id(Some(text), "id", "invalid_session_id")?.ok_or_else(Problem::not_found)
}

/// Answers the newest of the messages; everything before it is what is stored here.
async fn send(
    State(state): State<AppState>,
    principal: Principal,
    Json(body): Json<ChatBody>,
) -> Result<Response, Problem> {
    let session_id = session_id(&body.id)?;
    let stored = stored(&state, &principal, &session_id).await?;
    let (ask, options) = ask(&state, &body, stored.as_ref())?;
    let mut client_tools = Vec::new();
    for (name, tool) in body.tools.iter().flatten() {
        let description = tool.description.as_deref().unwrap_or_default();
        client_tools.push(client_tool(name, description, tool.parameters.clone())?);
    }
    let form =
        Form { all: state.settings.dialects.ai_sdk_new_chunks, options, ..Form::of(DialectName::AiSdk) };
    let instructions = body.system.filter(|text| !text.trim().is_empty());
    let request = StartRequest {
        principal,
        session_id: Some(session_id),
        run_id: None,
        ask,
        form,
        on_busy: state.settings.on_busy,
        client_tools,
        params: Params::default(),
        wants: Wants { instructions, ..Wants::default() },
    };
    chat::start(&state, request).await
}

fn ask(state: &AppState, body: &ChatBody, stored: Option<&Document>) -> Result<(Ask, Value), Problem> {
    let nothing = || Problem::bad("empty_message", "messages: there is nothing to answer");
    let last = body.messages.last().ok_or_else(nothing)?;
    let known = match stored {
        Some(document) => document.last(usize::MAX).map_err(SessionError::from)?,
        None => Vec::new(),
    };
    // Nothing is kept here: the conversation is what the client says.
    let whole = state.engine.sessions().is_none();
    if whole && last.role == "assistant" {
        let mut history = conversation(&body.messages);
        let message = take_answers(&mut history).ok_or_else(nothing)?;
        return Ok((Ask::Whole { history, message, stored: false }, json!({"goes_on": true})));
    }
    if last.role == "assistant" {
        let pending = stored.and_then(|document| document.head.pending.clone()).ok_or_else(nothing)?;
        let decisions = last.decisions(&open_calls(&known));
        if decisions.is_empty() {
            return Err(nothing());
        }
        let ids = |of: fn(&Verdict) -> bool| -> Vec<&str> {
            decisions.iter().filter(|d| of(&d.verdict)).map(|d: &Decision| d.id.as_str()).collect()
        };
        let options = json!({
            "answered": ids(|verdict| matches!(verdict, Verdict::Answer(_))),
            "denied": ids(|verdict| matches!(verdict, Verdict::Refuse(_))),
        });
        return Ok((Ask::Resume { asked_by: pending.run_id, decisions }, options));
    }
    if last.role != "user" {
        return Err(nothing());
    }
    if whole {
        let history = conversation(&body.messages[..body.messages.len() - 1]);
        return Ok((Ask::Whole { history, message: message(state, last)?, stored: false }, Value::Null));
    }
    let is_this = |m: &Message| {
        m.starts_turn() && m.metadata.get(MESSAGE_ID).and_then(Value::as_str) == Some(last.id.as_str())
    };
    let again = known.iter().rposition(is_this);
    let ask = match body.trigger {
        Some(Trigger::RegenerateMessage) => {
            let at = again.or_else(|| known.iter().rposition(Message::starts_turn)).ok_or_else(nothing)?;
            let mut message = known[at].clone();
            message.metadata.retain(|name, _| name == MESSAGE_ID);
            Ask::Message { message, history_length: Some(at) }
        }
        // A message that is known is an edited one: it takes the place of the old one and of what followed it.
        _ => Ask::Message { message: message(state, last)?, history_length: again },
    };
    Ok((ask, Value::Null))
}

fn message(state: &AppState, said: &UiMessage) -> Result<Message, Problem> {
    if said.id.len() > 256 {
        return Err(Problem::bad("invalid_field", "messages: an id has more than 256 bytes"));
    }
    let mut content = Vec::new();
    for (n, part) in said.parts.iter().enumerate() {
        let wrong = |what: &str| Problem::bad("invalid_field", format!("messages: parts[{n}]: {what}"));
        match part["type"].as_str() {
            Some("text") => {
                let text = part["text"].as_str().ok_or_else(|| wrong("text is missing"))?;
                content.push(Content::Text(text.to_owned()));
            }
            Some("file") => {
                let (media_type, name, data) =
                    file(part).ok_or_else(|| wrong("url has to be a data: URL in base64"))?;
                let attachment =
                    Attachment { name: name.into(), media_type: media_type.into(), data: data.into() };
                content.push(chat::attached(state, &format!("messages: parts[{n}]"), n, &attachment)?);
            }
            // Marks and data of the page.
            _ => {}
        }
    }
    let mut message = chat::checked(state, content)?;
    message.metadata.insert(MESSAGE_ID.into(), said.id.as_str().into());
    Ok(message)
}

/// The live answer of a chat, from its beginning (or after `Last-Event-ID`); 204 if there is none.
async fn resume(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let session_id = session_id(&id)?;
    let live = stored(&state, &principal, &session_id).await?.and_then(|document| document.head.run);
    let run = match live {
        Some(lease) => state.engine.find(principal.owner(), &lease.id).await?,
        None => None,
    };
    let Some(run) = run.filter(|run| !run.ended()) else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let after = headers.get("last-event-id").and_then(|cursor| cursor.to_str().ok());
    let after = after.and_then(|cursor| cursor.trim().parse().ok()).unwrap_or(0);
    let form = if run.info.form.dialect == DialectName::AiSdk {
        run.info.form.clone()
    } else {
        Form { all: state.settings.dialects.ai_sdk_new_chunks, ..Form::of(DialectName::AiSdk) }
    };
    Ok(chat::events(run, &form, after, state.engine.on_disconnect()))
}
