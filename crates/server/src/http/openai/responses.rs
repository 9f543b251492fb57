//! `/v1/responses`: a response is a run, and the responses that follow each other are a session.
//!
//! `previous_response_id` goes on from a response: in the same session, or, if others came after it, by replacing them (the
//! replaced part is kept as a branch). `conversation` names a session. A request that brings its whole history along begins
//! a new session with it; with `store: false` nothing is kept.

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use loquat_agent::Decision;
use loquat_agent::message::{Message, Role};
use loquat_agent::model::Params;
use serde_json::{Map, Value, json};

use super::chat::{decisions, session_named};
use super::fields::{Fields, unsupported, wrong};
use super::input::Input;
use super::wishes::{self, Names, Wishes};
use crate::app::AppState;
use crate::auth::{Owner, Principal};
use crate::dialects::responses;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::{chat, identity};
use crate::ids::{Id, RunId, SessionId};
use crate::runs::engine::{Ask, StartRequest};
use crate::runs::reader::attend;
use crate::runs::run::{DialectName, Form, Run};
use crate::sessions::service::{SessionError, SessionKey};

/// Answers an input.
///
/// # Errors
/// A [`Problem`] that names the parameter, or says why there is no answer.
pub(super) async fn create(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &headers, body).await?;
    let (stream, background) = (asked.stream, asked.background);
    let request = asked.request(&state, principal).await?;
    if stream {
        return chat::start(&state, request).await;
    }
    let run = state.engine.start(request).await?;
    if background {
        return Ok(axum::Json(told(&run).0).into_response());
    }
    attend(&run, state.engine.on_disconnect()).await;
    let (response, failed) = told(&run);
    let mut answer = match failed {
        None => axum::Json(response).into_response(),
        Some((error, code)) => Problem::of_run(&error, &code).into_response(),
    };
    super::mark(&mut answer, &run.info.id, false);
    Ok(answer)
}

fn told(run: &Run) -> (Value, Option<(String, String)>) {
    let look = run.look();
    responses::whole(&run.info, &look)
}

/// A response as it is now, or its events after a number.
///
/// # Errors
/// 404 if the caller has no such response.
pub(super) async fn get(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let run = find(&state, principal.owner(), &id).await?.ok_or_else(Problem::not_found)?;
    let mut stream = false;
    let mut after = 0;
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "stream" => stream = value == "true",
            "starting_after" => {
                let number = value.parse::<u64>();
                after = number.map_err(|_| wrong("starting_after", "has to be a sequence_number"))?;
            }
            "include_obfuscation" | "include" | "include[]" => {}
            name if identity::is_claim(name) => {}
            other => return Err(Problem::bad("unknown_parameter", "Unknown parameter.").at(other)),
        }
    }
    if !stream {
        return Ok(axum::Json(told(&run).0).into_response());
    }
    let mut form = match run.info.form.dialect {
        DialectName::OpenaiResponses => run.info.form.clone(),
        _ => Form { options: json!({}), ..Form::of(DialectName::OpenaiResponses) },
    };
    form.options["after"] = after.into();
    Ok(chat::events(run, &form, responses::event_of(after), state.engine.on_disconnect()))
}

/// Stops a response.
///
/// # Errors
/// 404 if the caller has no such response.
pub(super) async fn cancel(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    let run = find(&state, principal.owner(), &id).await?.ok_or_else(Problem::not_found)?;
    state.engine.stop(principal.owner(), &run.info.id).await?;
    Ok(axum::Json(told(&run).0))
}

async fn find(state: &AppState, owner: &Owner, id: &str) -> Result<Option<std::sync::Arc<Run>>, Problem> {
    match id.strip_prefix("resp_").map(RunId::parse) {
        Some(Ok(id)) => Ok(state.engine.find(owner, &id).await?),
        _ => Ok(None),
    }
}

/// What these parameters are called here.
const NAMES: Names =
    Names { nested: false, most: "max_output_tokens", output: "text.format", effort: "reasoning.effort" };

/// A request that was understood.
struct Asked {
    input: Input,
    previous: Option<String>,
    session: Option<SessionId>,
    stream: bool,
    background: bool,
    store: bool,
    instructions: Option<String>,
    wishes: Wishes,
    /// What the response repeats of the request.
    echo: Map<String, Value>,
}

impl Asked {
    async fn read(state: &AppState, headers: &HeaderMap, body: Map<String, Value>) -> Result<Self, Problem> {
        let mut echo = Map::new();
        let repeated = [
            "instructions",
            "max_output_tokens",
            "metadata",
            "previous_response_id",
            "reasoning",
            "store",
            "temperature",
            "text",
            "tool_choice",
            "tools",
            "top_p",
            "truncation",
            "background",
            "user",
        ];
        for name in repeated {
            if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
                echo.insert(name.to_owned(), value.clone());
            }
        }
        let mut fields = Fields::new(body);
        super::models::check(state, &fields.need::<String>("model")?)?;
        let input = Input::read(state, fields.need("input")?)?;
        let previous: Option<String> = fields.take("previous_response_id")?;
        let session = match conversation(&mut fields)? {
            Some(id) => {
                echo.insert("conversation".into(), json!({"id": id}));
                fields.ignore(&["metadata"]);
                Some(id)
            }
            None => session_named(headers, &mut fields)?,
        };
        if previous.is_some() && session.is_some() {
            return Err(wrong("previous_response_id", "cannot be used together with a conversation"));
        }
        let stream = fields.take("stream")?.unwrap_or(false);
        if let Some(options) = fields.value("stream_options") {
            let mut options = Fields::within("stream_options", options)?;
            options.ignore(&["include_obfuscation"]);
            options.finish()?;
        }
        let background = fields.take("background")?.unwrap_or(false);
        let store = fields.take("store")?.unwrap_or(true);
        let instructions = fields.take("instructions")?;
        let params = params(&mut fields)?;
        let wishes = Wishes::read(state, &mut fields, params, &NAMES).await?;
        refuse_others(&mut fields)?;
        fields.finish()?;
        let store = store && state.engine.sessions().is_some();
        echo.insert("store".into(), store.into());
        Ok(Self { input, previous, session, stream, background, store, instructions, wishes, echo })
    }

    async fn request(self, state: &AppState, principal: Principal) -> Result<StartRequest, Problem> {
        let own = self.input.conversation.instructions();
        let instructions = match (self.instructions, own) {
            (Some(first), Some(second)) => Some(format!("{first}\n\n{second}")),
            (Some(first), None) => Some(first),
            (None, second) => second,
        };
        let messages = self.input.conversation.messages;
        let decided = self.input.decisions;
        let (session_id, ask) = match (&self.previous, self.session) {
            (Some(previous), _) => after(state, principal.owner(), previous, messages, decided).await?,
            (None, Some(id)) => {
                let key = SessionKey { owner: principal.owner().clone(), id };
                let ask = match new(messages, decided)? {
                    New::Message(message) => Ask::Message { message, history_length: None },
                    New::Decisions(decisions) => {
                        Ask::Resume { asked_by: pending(state, &key).await?, decisions }
                    }
                };
                (Some(key.id), ask)
            }
            (None, None) => (None, whole(messages, &decided, self.store)?),
        };
        let options = json!({"echo": self.echo, "whole": !self.stream});
        let form = Form { options, ..Form::of(DialectName::OpenaiResponses) };
        Ok(self.wishes.request(state, principal, session_id, ask, form, instructions))
    }
}

/// What is new in a conversation that the server keeps.
enum New {
    Message(Message),
    Decisions(Vec<Decision>),
}

fn new(messages: Vec<Message>, mut decided: Vec<Decision>) -> Result<New, Problem> {
    let mut content = Vec::new();
    for message in messages {
        if message.role == Role::Assistant {
            let why = "the server keeps this conversation: send what is new only";
            return Err(unsupported("input", why));
        }
        if message.starts_turn() {
            content.extend(message.content);
        } else {
            decided.extend(decisions(message));
        }
    }
    match (content.is_empty(), decided.is_empty()) {
        (false, true) => Ok(New::Message(Message::new(Role::User, content))),
        (true, false) => Ok(New::Decisions(decided)),
        (true, true) => Err(wrong("input", "there is nothing to answer")),
        (false, false) => {
            Err(unsupported("input", "answer the open calls first, then send the message as a new request"))
        }
    }
}

/// A conversation that the client kept.
fn whole(mut messages: Vec<Message>, decided: &[Decision], store: bool) -> Result<Ask, Problem> {
    if !decided.is_empty() {
        return Err(unsupported(
            "input",
            "consent needs the `previous_response_id` of the response that asked",
        ));
    }
    let message = messages.pop().ok_or_else(|| wrong("input", "there is nothing to answer"))?;
    if message.role == Role::Assistant {
        return Err(unsupported("input", "the last item has to be the user's, or the output of a call"));
    }
    if messages.is_empty() && store && message.starts_turn() {
        return Ok(Ask::Message { message, history_length: None });
    }
    Ok(Ask::Whole { history: messages, message, stored: store })
}

/// Goes on after a response.
async fn after(
    state: &AppState,
    owner: &Owner,
    previous: &str,
    messages: Vec<Message>,
    decided: Vec<Decision>,
) -> Result<(Option<SessionId>, Ask), Problem> {
    let gone = || {
        let detail = "There is no such response here to go on from, or it was replaced.";
        Problem::bad("previous_response_not_found", detail).at("previous_response_id")
    };
    let run = find(state, owner, previous).await?.ok_or_else(gone)?;
    let key = SessionKey { owner: owner.clone(), id: run.info.session_id.clone() };
    let ask = match new(messages, decided)? {
        New::Decisions(decisions) => Ask::Resume { asked_by: run.info.id.clone(), decisions },
        New::Message(message) => {
            Ask::Message { message, history_length: place_after(state, &key, &run).await?.ok_or_else(gone)? }
        }
    };
    Ok((Some(key.id), ask))
}

/// How many messages stand before a response's successor; the outer `None` says that the response is not in its session
/// any more, the inner one that nothing came after it.
async fn place_after(
    state: &AppState,
    key: &SessionKey,
    run: &Run,
) -> Result<Option<Option<usize>>, Problem> {
    let Some(sessions) = state.engine.sessions() else { return Ok(None) };
    let document = match sessions.view(key).await {
        Ok(document) => document,
        Err(SessionError::NotFound) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some(count) = run.look().message_count() else { return Ok(Some(None)) };
    let Some(newer) = document.count().checked_sub(count) else { return Ok(None) };
    let last = document.last(newer + 1).map_err(SessionError::from)?;
    let own = last.first().and_then(|message| message.metadata.get("run_id")).and_then(Value::as_str);
    let own = own == Some(run.info.id.as_str());
    Ok(own.then_some((newer > 0).then_some(count)))
}

async fn pending(state: &AppState, key: &SessionKey) -> Result<RunId, Problem> {
    let sessions = state.engine.sessions().ok_or_else(Problem::not_found)?;
    let pending = sessions.view(key).await?.head.pending;
    Ok(pending.ok_or_else(|| wrong("input", "nothing in this conversation waits for an answer"))?.run_id)
}

fn conversation(fields: &mut Fields) -> Result<Option<SessionId>, Problem> {
    let id = match fields.value("conversation") {
        None => return Ok(None),
        Some(Value::Object(mut object)) => object.remove("id").unwrap_or_default(),
        Some(id) => id,
    };
    match id.as_str().map(Id::parse) {
        Some(Ok(id)) => Ok(Some(id)),
        _ => Err(wrong("conversation", &format!("has to be {}", crate::ids::FORM))),
    }
}

fn params(fields: &mut Fields) -> Result<Params, Problem> {
    let mut effort = None;
    if let Some(reasoning) = fields.value("reasoning") {
        let mut reasoning = Fields::within("reasoning", reasoning)?;
        effort = reasoning.take("effort")?;
        // The reasoning is told as far as the model tells it.
        reasoning.ignore(&["summary", "generate_summary"]);
        reasoning.finish()?;
    }
    let mut output = None;
    if let Some(text) = fields.value("text") {
        let mut text = Fields::within("text", text)?;
        output = wishes::output(&NAMES, text.value("format"))?;
        text.only("verbosity", &[json!("medium")], "not every model has such a setting")?;
        text.finish()?;
    }
    Ok(Params {
        temperature: fields.take("temperature")?,
        top_p: fields.take("top_p")?,
        max_output_tokens: fields.take("max_output_tokens")?,
        reasoning_effort: effort,
        output,
        ..Params::default()
    })
}

fn refuse_others(fields: &mut Fields) -> Result<(), Problem> {
    // Hints for OpenAI's own service, without an effect on what is answered; and how a conversation that has grown too long
    // is cut, which the server's configuration decides.
    fields.ignore(&[
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "truncation",
    ]);
    let included: Vec<String> = fields.take("include")?.unwrap_or_default();
    if let Some(other) = included.iter().find(|name| *name != "reasoning.encrypted_content") {
        return Err(unsupported("include", &format!("{other} is not served here")));
    }
    fields.only("service_tier", &[json!("auto"), json!("default")], "there is one tier here")?;
    fields.only("parallel_tool_calls", &[json!(true)], "the model decides whether calls are parallel")?;
    fields.only("top_logprobs", &[json!(0)], "not every model tells them")?;
    fields.only("max_tool_calls", &[], "the server's configuration limits the steps of a run")?;
    fields.only("prompt", &[], "the agent's instructions are configured on the server")?;
    for name in ["context_management", "moderation", "image", "background_options", "access_programs"] {
        fields.only(name, &[], "not served here")?;
    }
    Ok(())
}
