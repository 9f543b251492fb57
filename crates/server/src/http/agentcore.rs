//! The contract of Bedrock AgentCore Runtime: `POST /invocations` and `GET /ping`.
//!
//! The session is the one that AgentCore names in its header. The body is `{"prompt": …}`, a text or Bedrock content blocks;
//! `{"run_id","after"}` reads a run again, and `{"run_id","approvals"}` decides on the calls it left open.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use loquat_agent::message::{Content, Message, Role};
use loquat_agent::model::Params;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat;
use super::error_form;
use super::json::Json;
use super::problem::Problem;
use super::runs::{Approval, decisions};
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::agentcore;
use crate::ids::{Id, SessionId};
use crate::runs::engine::{Ask, OnBusy, StartRequest, Wants};
use crate::runs::reader::attend;
use crate::runs::run::{DialectName, Form, Run};

/// The header that names the session.
const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
/// The longest name that AgentCore takes back.
const SESSION_BACK: usize = 100;

/// The routes.
pub(crate) fn routes() -> Router<AppState> {
    let form: fn(&Problem) -> Value = |problem| agentcore::error_body(problem.detail(), problem.code());
    Router::new()
        .route("/invocations", post(invoke))
        .route("/ping", get(ping))
        .method_not_allowed_fallback(crate::app::method_not_allowed)
        .layer(middleware::from_fn(move |request, next| error_form::tell(request, next, form)))
}

/// Whether runs are under way, and since when that is so. Does no I/O and waits for nothing.
async fn ping(State(state): State<AppState>) -> axum::Json<Value> {
    let (busy, since) = state.engine.activity();
    let status = if busy { "HealthyBusy" } else { "Healthy" };
    axum::Json(json!({"status": status, "time_of_last_update": since.as_second()}))
}

/// The body of `POST /invocations`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a prompt")]
struct Invocation {
    prompt: Option<Prompt>,
    session_id: Option<String>,
    run_id: Option<String>,
    after: Option<u64>,
    approvals: Option<Vec<Approval>>,
    on_busy: Option<OnBusy>,
    stream: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or an array of content blocks")]
enum Prompt {
    Text(String),
    Blocks(Vec<Content>),
}

async fn invoke(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    Json(body): Json<Invocation>,
) -> Result<Response, Problem> {
    let session = session(&headers, body.session_id.as_deref())?;
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let stream = body.stream.unwrap_or_else(|| accepts.contains("text/event-stream"));
    let run_id = chat::id(body.run_id.as_deref(), "run_id", "invalid_run_id")?;
    let form = Form { options: json!({"whole": !stream}), ..Form::of(DialectName::Agentcore) };
    let (ask, session, run_id) = match (body.prompt, body.approvals, run_id) {
        (Some(prompt), None, run_id) => {
            let message = Message::new(Role::User, content(&state, prompt)?);
            (Ask::Message { message, history_length: None }, session, run_id)
        }
        (None, Some(approvals), Some(asked_by)) => {
            let owner = principal.owner();
            let asked = state.engine.find(owner, &asked_by).await?.ok_or_else(Problem::not_found)?;
            let ask = Ask::Resume { asked_by, decisions: decisions(approvals) };
            (ask, Some(asked.info.session_id.clone()), None)
        }
        (None, None, Some(id)) => {
            let run = state.engine.find(principal.owner(), &id).await?.ok_or_else(Problem::not_found)?;
            let after = body.after.unwrap_or_default();
            let on_disconnect = state.engine.on_disconnect();
            return match stream {
                true => {
                    Ok(named(chat::events(std::sync::Arc::clone(&run), &form, after, on_disconnect), &run))
                }
                false => whole(&state, &run).await,
            };
        }
        _ => {
            let detail = "prompt: is missing; send {\"prompt\": …}, or run_id with after or approvals";
            return Err(Problem::bad("invalid_field", detail));
        }
    };
    let request = StartRequest {
        principal,
        session_id: session,
        run_id,
        ask,
        form: form.clone(),
        on_busy: body.on_busy.unwrap_or(state.settings.on_busy),
        client_tools: Vec::new(),
        params: Params::default(),
        wants: Wants::default(),
    };
    let run = state.engine.start(request).await?;
    if !stream {
        return whole(&state, &run).await;
    }
    let response = chat::events(std::sync::Arc::clone(&run), &form, 0, state.engine.on_disconnect());
    Ok(named(response, &run))
}

async fn whole(state: &AppState, run: &std::sync::Arc<Run>) -> Result<Response, Problem> {
    attend(run, state.engine.on_disconnect()).await;
    let answer = {
        let look = run.look();
        agentcore::whole(&run.info, &look)
    };
    let body = answer.map_err(|(error, code)| Problem::of_run(&error, &code))?;
    Ok(named(axum::Json(body).into_response(), run))
}

/// Names the session in the answer, so that the caller can go on with it.
fn named(mut response: Response, run: &Run) -> Response {
    let id = run.info.session_id.as_str();
    if let (true, Ok(id)) = (id.len() <= SESSION_BACK, HeaderValue::from_str(id)) {
        response.headers_mut().insert(HeaderName::from_static(SESSION), id);
    }
    response
}

fn session(headers: &HeaderMap, body: Option<&str>) -> Result<Option<SessionId>, Problem> {
    let named = headers.get(SESSION).map(|id| id.to_str().unwrap_or_default());
    let header: Option<Id> = chat::id(named, SESSION, "invalid_session_id")?;
    let body = chat::id(body, "session_id", "invalid_session_id")?;
    match (header, body) {
        (Some(header), Some(body)) if header != body => {
            Err(Problem::bad("invalid_session_id", "session_id: not the session of the header"))
        }
        (header, body) => Ok(header.or(body)),
    }
}

fn content(state: &AppState, prompt: Prompt) -> Result<Vec<Content>, Problem> {
    let content = match prompt {
        Prompt::Text(text) => vec![Content::Text(text)],
        Prompt::Blocks(blocks) => blocks,
    };
    let limit = state.settings.message_bytes;
    for block in &content {
        match block {
            Content::Text(text) if text.len() > limit => {
                let detail = format!("prompt: {} bytes, the limit is {limit}", text.len());
                return Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "message_too_long", detail));
            }
            Content::Text(_) => {}
            Content::Image(_) if state.settings.attach_images => {}
            Content::Document(_) if state.settings.attach_documents => {}
            _ => return Err(Problem::bad("invalid_field", "prompt: blocks of this kind are not taken")),
        }
    }
    let blank = |block: &Content| block.as_text().is_some_and(|text| text.trim().is_empty());
    if content.iter().all(blank) {
        return Err(Problem::bad("empty_message", "prompt: is empty"));
    }
    Ok(content)
}
