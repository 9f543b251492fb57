//! `POST /v1/chat/completions`.
//!
//! The client sends the whole conversation, and the answer stands on it alone: nothing is stored. A request that names a
//! session (`metadata.session_id` or the header `x-loquat-session-id`) is a turn of that session: what is stored there is
//! the truth, and of the request only the newest message (or the tools' answers) counts.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use loquat_agent::message::{Content, Message, Role, ToolStatus};
use loquat_agent::model::Params;
use loquat_agent::tool::ToolOutput;
use loquat_agent::{Decision, Verdict};
use serde_json::{Map, Value, json};

use super::fields::{Fields, unsupported, wrong};
use super::messages::Conversation;
use super::wishes::{self, Names, Wishes};
use crate::app::AppState;
use crate::auth::Principal;
use crate::dialects::openai;
use crate::http::chat;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::ids::SessionId;
use crate::runs::engine::{Ask, StartRequest};
use crate::runs::reader::attend;
use crate::runs::run::{DialectName, Form};
use crate::sessions::service::SessionKey;

/// The header that names a session.
const SESSION: &str = "x-loquat-session-id";

/// Answers a conversation.
///
/// # Errors
/// A [`Problem`] that names the parameter, or says why there is no answer.
pub(super) async fn completions(
    State(state): State<AppState>,
    principal: Principal,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let asked = Asked::read(&state, &headers, body).await?;
    let stream = asked.stream;
    let named = asked.session.is_some();
    let request = asked.request(&state, principal).await?;
    if stream {
        return chat::start(&state, request).await;
    }
    let run = state.engine.start(request).await?;
    attend(&run, state.engine.on_disconnect()).await;
    let (answer, repeatable) = {
        let look = run.look();
        let answer = openai::whole(&run.info, &look);
        (answer, !named && look.usage().output_tokens == 0)
    };
    let mut response = match answer {
        Ok(body) => axum::Json(body).into_response(),
        Err((error, code)) => Problem::of_run(&error, &code).into_response(),
    };
    super::mark(&mut response, &run.info.id, repeatable);
    Ok(response)
}

/// A request that was understood.
struct Asked {
    conversation: Conversation,
    session: Option<SessionId>,
    stream: bool,
    usage: bool,
    wishes: Wishes,
}

/// What these parameters are called here.
const NAMES: Names = Names {
    nested: true,
    most: "max_completion_tokens",
    output: "response_format",
    effort: "reasoning_effort",
};

impl Asked {
    async fn read(state: &AppState, headers: &HeaderMap, body: Map<String, Value>) -> Result<Self, Problem> {
        let mut fields = Fields::new(body);
        super::models::check(state, &fields.need::<String>("model")?)?;
        let conversation = Conversation::read(state, fields.need("messages")?)?;
        let session = session_named(headers, &mut fields)?;
        let stream = fields.take("stream")?.unwrap_or(false);
        let usage = stream_options(&mut fields, stream)?;
        let params = params(&mut fields)?;
        let wishes = Wishes::read(state, &mut fields, params, &NAMES).await?;
        refuse_others(&mut fields)?;
        fields.finish()?;
        Ok(Self { conversation, session, stream, usage, wishes })
    }

    async fn request(self, state: &AppState, principal: Principal) -> Result<StartRequest, Problem> {
        let instructions = self.conversation.instructions();
        let mut messages = self.conversation.messages;
        let last = messages.pop().ok_or_else(|| wrong("messages", "there is nothing to answer"))?;
        if last.role == Role::Assistant {
            return Err(unsupported("messages", "the last message has to be of the role user or tool"));
        }
        let ask = match &self.session {
            None => Ask::Whole { history: messages, message: last, stored: false },
            Some(_) if last.starts_turn() => Ask::Message { message: last, history_length: None },
            Some(id) => {
                let key = SessionKey { owner: principal.owner().clone(), id: id.clone() };
                answers(state, &key, last).await?
            }
        };
        let options = json!({"usage": self.usage, "whole": !self.stream, "named": self.session.is_some()});
        let form = Form { options, ..Form::of(DialectName::Openai) };
        Ok(self.wishes.request(state, principal, self.session, ask, form, instructions))
    }
}

/// The tools' answers that a session waits for.
pub(super) async fn answers(state: &AppState, key: &SessionKey, message: Message) -> Result<Ask, Problem> {
    let sessions = state.engine.sessions().ok_or_else(Problem::not_found)?;
    let pending = sessions.view(key).await?.head.pending;
    let asked_by =
        pending.ok_or_else(|| wrong("messages", "no tool of this session waits for an answer"))?.run_id;
    Ok(Ask::Resume { asked_by, decisions: decisions(message) })
}

/// The answers of tools in a message.
pub(super) fn decisions(message: Message) -> Vec<Decision> {
    let answer = |block| match block {
        Content::ToolResult(result) => {
            let is_error = result.status == ToolStatus::Error;
            let output = ToolOutput { content: result.content, is_error };
            Some(Decision { id: result.tool_use_id, verdict: Verdict::Answer(output) })
        }
        _ => None,
    };
    message.content.into_iter().filter_map(answer).collect()
}

/// The session that the request names, in a header or in its metadata. Other metadata is a note of the client's.
pub(super) fn session_named(headers: &HeaderMap, fields: &mut Fields) -> Result<Option<SessionId>, Problem> {
    let metadata: Option<Map<String, Value>> = fields.take("metadata")?;
    let noted = metadata.as_ref().and_then(|metadata| metadata.get("session_id"));
    if let Some(id) = headers.get(SESSION) {
        return chat::id(Some(id.to_str().unwrap_or_default()), SESSION, "invalid_session_id");
    }
    let Some(id) = noted else { return Ok(None) };
    let id = id.as_str().ok_or_else(|| wrong("metadata.session_id", "has to be a text"))?;
    chat::id(Some(id), "metadata.session_id", "invalid_session_id")
        .map_err(|problem| problem.at("metadata.session_id"))
}

fn stream_options(fields: &mut Fields, stream: bool) -> Result<bool, Problem> {
    let Some(options) = fields.value("stream_options") else { return Ok(false) };
    if !stream {
        return Err(wrong("stream_options", "is for requests with stream: true only"));
    }
    let mut options = Fields::within("stream_options", options)?;
    // Lengths of pieces can be hidden by whoever encrypts the connection; there is nothing to add here.
    options.ignore(&["include_obfuscation"]);
    let usage = options.take("include_usage")?.unwrap_or(false);
    options.finish()?;
    Ok(usage)
}

fn params(fields: &mut Fields) -> Result<Params, Problem> {
    let stop = match fields.value("stop") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(several) => serde_json::from_value::<Vec<String>>(several)
            .map_err(|_| wrong("stop", "has to be a text or an array of texts"))?,
    };
    if stop.len() > 4 || stop.iter().any(String::is_empty) {
        return Err(wrong("stop", "up to 4 texts that are not empty"));
    }
    let old: Option<u32> = fields.take("max_tokens")?;
    Ok(Params {
        temperature: fields.take("temperature")?,
        top_p: fields.take("top_p")?,
        max_output_tokens: fields.take("max_completion_tokens")?.or(old),
        stop_sequences: stop,
        reasoning_effort: fields.take("reasoning_effort")?,
        seed: fields.take("seed")?,
        output: wishes::output(&NAMES, fields.value("response_format"))?,
        ..Params::default()
    })
}

fn refuse_others(fields: &mut Fields) -> Result<(), Problem> {
    // Hints for OpenAI's own service, without an effect on what is answered.
    fields.ignore(&[
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "prediction",
    ]);
    let tiers = [json!("auto"), json!("default")];
    fields.only("service_tier", &tiers, "there is one tier here")?;
    fields.only("n", &[json!(1)], "one choice is made here")?;
    fields.only("store", &[json!(false)], "name a session to have the conversation kept")?;
    fields.only("parallel_tool_calls", &[json!(true)], "the model decides whether calls are parallel")?;
    fields.only("modalities", &[json!(["text"])], "this agent writes text")?;
    fields.only("verbosity", &[json!("medium")], "not every model has such a setting")?;
    for penalty in ["frequency_penalty", "presence_penalty"] {
        fields.only(penalty, &[json!(0), json!(0.0)], "not every model has such a setting")?;
    }
    fields.only("logit_bias", &[json!({})], "not every model has such a setting")?;
    fields.only("logprobs", &[json!(false)], "not every model tells them")?;
    fields.only("top_logprobs", &[json!(0)], "not every model tells them")?;
    fields.only("audio", &[], "this agent writes text")?;
    fields.only("moderation", &[], "not served here")?;
    fields.only("web_search_options", &[], "the agent's tools are configured on the server")?;
    fields.only("functions", &[], "use `tools`")?;
    fields.only("function_call", &[], "use `tool_choice`")
}
