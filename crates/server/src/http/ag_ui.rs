//! `/ag-ui`: AG-UI 1.0.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use loquat_agent::message::{Content, Message, Role, ToolUse};
use loquat_agent::model::Params;
use loquat_agent::open_calls;
use loquat_agent::tool::ToolSpec;
use serde_json::{Value, json};

use super::chat::{self, Attachment};
use super::json::Json;
use super::problem::Problem;
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::ag_ui::input::{MORE_IDS, Refusal, RunAgentInput, Said, Tool};
use crate::dialects::ag_ui::messages::MESSAGE_ID;
use crate::dialects::ag_ui::told::conversation;
use crate::dialects::config::ClientHistory;
use crate::dialects::told::take_answers;
use crate::ids::{Id, SessionId};
use crate::runs::engine::{Ask, StartError, StartRequest, Wants};
use crate::runs::run::{DialectName, Form, Run};
use crate::sessions::document::Document;
use crate::sessions::service::{SessionError, SessionKey};

/// Runs the agent. The same `runId` again attaches to the run that has it.
///
/// # Errors
/// A [`Problem`] if the run could not be started.
pub(crate) async fn post(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    Json(input): Json<RunAgentInput>,
) -> Result<Response, Problem> {
    let session_id = id(&input.thread_id, "threadId", "invalid_session_id")?;
    let run_id = id(&input.run_id, "runId", "invalid_run_id")?;
    if let Some(run) = state.engine.find(principal.owner(), &run_id).await? {
        if run.info.session_id != session_id {
            return Err(StartError::RunConflict.into());
        }
        return attach(&state, &run, &headers).await;
    }
    let stored = stored(&state, &principal, &session_id).await?;
    let (ask, answered) = ask(&state, &input, stored.as_ref())?;
    let options = input.options(&answered);
    let request = StartRequest {
        principal,
        session_id: Some(session_id),
        run_id: Some(run_id),
        ask,
        form: Form { options, ..Form::of(DialectName::AgUi) },
        on_busy: state.settings.on_busy,
        client_tools: input.tools.iter().map(tool).collect::<Result<_, _>>()?,
        params: Params::default(),
        wants: Wants { instructions: input.instructions(), ..Wants::default() },
    };
    chat::start(&state, request).await
}

fn id(text: &str, field: &str, code: &'static str) -> Result<Id, Problem> {
    chat::id(Some(text), field, code)?.ok_or_else(Problem::not_found)
}

/// A client that comes back gets the messages as they are now, and what follows.
async fn attach(
    state: &AppState,
    run: &std::sync::Arc<Run>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    note_before(state, run).await?;
    let after = match headers.get("last-event-id").and_then(|cursor| cursor.to_str().ok()) {
        Some(cursor) => cursor.trim().parse().unwrap_or(0),
        // What there is stands in the messages, and an end is told again.
        None => run.look().log().len(),
    };
    let form = Form { options: run.info.form.options.clone(), ..Form::of(DialectName::AgUi) };
    Ok(chat::events(std::sync::Arc::clone(run), &form, after, state.engine.on_disconnect()))
}

/// Notes beside a run the conversation up to it, for snapshots of the messages.
///
/// # Errors
/// A [`Problem`] if the store fails.
pub(super) async fn note_before(state: &AppState, run: &Run) -> Result<(), Problem> {
    let Some(sessions) = state.engine.sessions() else { return Ok(()) };
    if run.before().is_some() {
        return Ok(());
    }
    let key = SessionKey { owner: run.owner.clone(), id: run.info.session_id.clone() };
    let document = match sessions.view(&key).await {
        Ok(document) => document,
        // The run is not stored, or its session was deleted.
        Err(SessionError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut messages = all(&document)?;
    messages.truncate(run.info.history_length + usize::from(run.info.continues.is_none()));
    run.set_before(messages);
    Ok(())
}

fn all(document: &Document) -> Result<Vec<Message>, Problem> {
    document.last(usize::MAX).map_err(|error| SessionError::from(error).into())
}

/// The session, if there is one.
pub(super) async fn stored(
    state: &AppState,
    principal: &Principal,
    id: &SessionId,
) -> Result<Option<Document>, Problem> {
    let Some(sessions) = state.engine.sessions() else { return Ok(None) };
    let key = SessionKey { owner: principal.owner().clone(), id: id.clone() };
    match sessions.view(&key).await {
        Ok(document) => Ok(Some(document)),
        Err(SessionError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the client asks, and the calls it answered itself.
fn ask(
    state: &AppState,
    input: &RunAgentInput,
    stored: Option<&Document>,
) -> Result<(Ask, Vec<String>), Problem> {
    let known = stored.map(all).transpose()?.unwrap_or_default();
    let pending = stored.and_then(|document| document.head.pending.clone());
    let open = if pending.is_some() { open_calls(&known) } else { Vec::new() };
    let strict = state.settings.dialects.client_history == ClientHistory::Refuse;
    let news = input.news(&known, &open, strict).map_err(|refusal| match refusal {
        Refusal::Rewritten(what) => Problem::new(
            StatusCode::CONFLICT,
            "history_conflict",
            format!("messages: {what}; what is stored is kept as it is"),
        ),
        Refusal::Wrong(what) => Problem::bad("invalid_field", what),
    })?;
    if let (Some(pending), false) = (pending, news.decisions.is_empty()) {
        if !news.messages.is_empty() {
            let why = "messages: a new message beside answers to open calls; send the answers first";
            return Err(Problem::bad("invalid_field", why));
        }
        return Ok((Ask::Resume { asked_by: pending.run_id, decisions: news.decisions }, news.answered));
    }
    let ask = if state.engine.sessions().is_some() {
        Ask::Message { message: message(state, &news.messages)?, history_length: None }
    } else {
        // Nothing is kept here: the conversation is what the client says.
        let first = news.messages.first().map(|said| &said.id);
        let mut history = conversation(input.messages.iter().take_while(|said| Some(&said.id) != first));
        let answers = if first.is_none() { take_answers(&mut history) } else { None };
        let message = answers.map_or_else(|| message(state, &news.messages), Ok)?;
        Ask::Whole { history, message, stored: false }
    };
    Ok((ask, Vec::new()))
}

/// The user's new messages as one.
fn message(state: &AppState, said: &[&Said]) -> Result<Message, Problem> {
    let mut content = Vec::new();
    let mut ids = Vec::new();
    for said in said {
        if said.id.len() > 256 {
            return Err(Problem::bad("invalid_field", "messages: an id has more than 256 bytes"));
        }
        ids.push(Value::from(said.id.as_str()));
        match &said.content {
            Value::String(text) => content.push(Content::Text(text.clone())),
            Value::Array(parts) => {
                for (n, one) in parts.iter().enumerate() {
                    content.push(part(state, n, one)?);
                }
            }
            _ => return Err(Problem::bad("invalid_field", "messages: content has to be a text or parts")),
        }
    }
    let mut message = chat::checked(state, content)?;
    if let Some(last) = ids.last() {
        message.metadata.insert(MESSAGE_ID.into(), last.clone());
    }
    if ids.len() > 1 {
        message.metadata.insert(MORE_IDS.into(), ids.into());
    }
    Ok(message)
}

fn part(state: &AppState, n: usize, part: &Value) -> Result<Content, Problem> {
    let wrong = |what: &str| Problem::bad("invalid_field", format!("messages: content[{n}]: {what}"));
    match part["type"].as_str() {
        Some("text") => {
            let text = part["text"].as_str().ok_or_else(|| wrong("text is missing"))?;
            Ok(Content::Text(text.to_owned()))
        }
        Some("image" | "document") => {
            let file = file(part)
                .ok_or_else(|| wrong("the source has to be of the type data, with value and mimeType"))?;
            chat::attached(state, &format!("messages: content[{n}]"), n, &file)
        }
        _ => Err(wrong("this agent takes text, images and documents")),
    }
}

/// A file that stands in a part.
fn file(part: &Value) -> Option<Attachment> {
    let source = &part["source"];
    let (Some("data"), Some(data), Some(media_type)) =
        (source["type"].as_str(), source["value"].as_str(), source["mimeType"].as_str())
    else {
        return None;
    };
    let name = part["metadata"]["filename"].as_str().unwrap_or("document");
    Some(Attachment { name: name.into(), media_type: media_type.into(), data: data.into() })
}

/// Reads what a client sent as a run would, without an agent: against nothing stored, and against a conversation with an
/// open call; for fuzzers.
pub(crate) fn look_at(input: &RunAgentInput) {
    for text in [&input.thread_id, &input.run_id] {
        if let Ok(id) = id(text, "id", "invalid_field") {
            assert!((1..=256).contains(&id.as_str().len()), "an id has a length");
        }
    }
    let _ = (input.instructions(), input.tools.iter().map(tool).collect::<Result<Vec<_>, _>>());
    let _ = conversation(&input.messages);
    for said in &input.messages {
        for file in said.content.as_array().into_iter().flatten().filter_map(file) {
            file.look_at();
        }
    }
    let mut asked = Message::user("one");
    asked.metadata.insert(MESSAGE_ID.into(), "u1".into());
    let call = ToolUse { tool_use_id: "c1".into(), name: "locate".into(), input: json!({}) };
    let stored = [asked, Message::new(Role::Assistant, vec![Content::ToolUse(call)])];
    for known in [&stored[..0], &stored[..]] {
        let open = open_calls(known);
        for strict in [true, false] {
            let Ok(news) = input.news(known, &open, strict) else { continue };
            assert!(news.messages.iter().all(|said| said.role == "user"), "only the user says something new");
            let answers = |id: &String| open.iter().filter(|call| call.tool_use_id == *id).count();
            assert!(
                news.decisions.iter().all(|decision| answers(&decision.id) == 1),
                "open calls are answered"
            );
            let _ = input.options(&news.answered);
        }
    }
}

fn tool(tool: &Tool) -> Result<ToolSpec, Problem> {
    let schema = tool.parameters.clone().filter(Value::is_object);
    client_tool(&tool.name, &tool.description, schema)
}

/// A tool that runs in the client.
pub(super) fn client_tool(name: &str, description: &str, schema: Option<Value>) -> Result<ToolSpec, Problem> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !(1..=64).contains(&name.len()) || !name.bytes().all(allowed) {
        return Err(Problem::bad(
            "invalid_field",
            "tools: a name has to be 1 to 64 of the characters A-Z a-z 0-9 _ -",
        ));
    }
    let schema = match schema {
        Some(schema) if schema.get("type").is_some() => schema,
        _ => json!({"type": "object"}),
    };
    Ok(ToolSpec::new(name, description, schema))
}

/// What this agent can do: `AgentCapabilities`.
pub(crate) async fn capabilities(State(state): State<AppState>, _: Principal) -> Response {
    let tools = state.engine.tools().await;
    let items: Vec<Value> = tools
        .specs()
        .iter()
        .map(|spec| {
            json!({"name": spec.name, "description": spec.description, "parameters": spec.input_schema})
        })
        .collect();
    let page = &state.settings.page_config;
    let images = state.settings.attach_images;
    let documents = state.settings.attach_documents;
    let keeps = state.engine.sessions().is_some();
    axum::Json(json!({
        "identity": {
            "name": page["agent"]["name"],
            "type": "loquat",
            "version": env!("CARGO_PKG_VERSION"),
            "metadata": {"model": page["model"]["id"]},
        },
        "transport": {
            "streaming": true, "websocket": false, "httpBinary": false, "pushNotifications": false,
            "resumable": true,
        },
        "tools": {"supported": true, "items": items, "parallelCalls": true, "clientProvided": true},
        "output": {"structuredOutput": false, "supportedMimeTypes": ["text/markdown"]},
        "state": {"snapshots": true, "deltas": true, "memory": state.memory.is_some(), "persistentState": false},
        "multiAgent": {"supported": false},
        "reasoning": {"supported": true, "streaming": true, "encrypted": false},
        "multimodal": {
            "input": {"image": images, "audio": false, "video": false, "pdf": documents, "file": true},
            "output": {"image": false, "audio": false},
        },
        "humanInTheLoop": {"supported": keeps, "approvals": keeps, "interrupts": keeps},
        "custom": {"resume": "POST the same runId again, or GET /runs/{runId}/events?dialect=ag_ui&after={id}"},
    }))
    .into_response()
}
