//! `/runs/{id}/…`: read again, stop, decide.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use loquat_agent::model::Params;
use loquat_agent::{Decision, Verdict};
use schemars::JsonSchema;
use serde::Deserialize;

use super::ag_ui;
use super::chat::{self, Events};
use super::json::Json;
use super::problem::Problem;
use super::query::Query;
use crate::app::AppState;
use crate::auth::Principal;
use crate::ids::RunId;
use crate::runs::engine::{Ask, StartRequest, Wants};
use crate::runs::run::{DialectName, Form};

/// The query of `GET /runs/{id}/events`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    after: Option<u64>,
    dialect: Option<DialectName>,
    events: Option<Events>,
    session_id: Option<String>,
}

/// The query of `POST /runs/{id}/stop`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopQuery {
    session_id: Option<String>,
}

impl EventsQuery {
    /// The cursor in it.
    pub(crate) fn after(&self) -> Option<u64> {
        self.after
    }
}

fn run_id(text: &str) -> Result<RunId, Problem> {
    RunId::parse(text)
        .map_err(|_| Problem::bad("invalid_run_id", format!("run_id: has to be {}", crate::ids::FORM)))
}

/// After which event to go on: the later of the two. A browser's own reader of event streams asks again with the
/// address it began with, and the newest id in the header.
pub(crate) fn cursor(after: Option<u64>, headers: &HeaderMap) -> Result<u64, Problem> {
    let last = headers.get("last-event-id").map(|cursor| {
        let cursor = cursor.to_str().ok().and_then(|cursor| cursor.trim().parse::<u64>().ok());
        cursor.ok_or_else(|| Problem::bad("invalid_field", "Last-Event-ID: has to be a number"))
    });
    Ok(after.unwrap_or_default().max(last.transpose()?.unwrap_or_default()))
}

/// The events of a run, from the start or after a cursor, then live. With `session_id` a run that another process began
/// a moment ago is found at once.
///
/// # Errors
/// 404 if the caller has no such run.
pub async fn events(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = run_id(&id)?;
    let after = cursor(query.after, &headers)?;
    let session = chat::id(query.session_id.as_deref(), "session_id", "invalid_session_id")?;
    let found = state.engine.find_in(principal.owner(), &id, session.as_ref()).await?;
    let run = found.ok_or_else(Problem::not_found)?;
    if query.dialect.is_some_and(|dialect| !crate::dialects::readable(dialect)) {
        return Err(Problem::bad("invalid_field", "dialect: a run cannot be read in this one"));
    }
    let form = match (query.dialect, query.events) {
        (None, None) => run.info.form.clone(),
        (dialect, events) => Form {
            dialect: dialect.unwrap_or_default(),
            all: events.map_or(run.info.form.all, |events| events == Events::All),
            options: match dialect == Some(run.info.form.dialect) {
                true => run.info.form.options.clone(),
                false => serde_json::Value::Null,
            },
        },
    };
    if form.dialect == DialectName::AgUi {
        ag_ui::note_before(&state, &run).await?;
    }
    Ok(chat::events(run, &form, after, state.engine.on_disconnect()))
}

/// Stops a run; answers when it has ended. `session_id` as for [`events`].
///
/// # Errors
/// 404 if the caller has no such run.
pub async fn stop(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<StopQuery>,
) -> Result<Response, Problem> {
    let id = run_id(&id)?;
    let session = chat::id(query.session_id.as_deref(), "session_id", "invalid_session_id")?;
    let stopped = state.engine.stop_in(principal.owner(), &id, session.as_ref()).await?;
    let receipt = stopped.ok_or_else(Problem::not_found)?;
    Ok(axum::Json(receipt).into_response())
}

/// The body of `POST /runs/{id}/approvals`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// The decisions. A call that is not among them stays open.
    #[schemars(length(min = 1))]
    approvals: Vec<Approval>,
    /// Which events the stream has; as in the run that asked if missing.
    #[serde(default)]
    events: Option<Events>,
    /// The id of the run that goes on, made by the client.
    #[serde(default)]
    #[schemars(extend("pattern" = crate::ids::PATTERN))]
    run_id: Option<String>,
}

/// The decision on one call.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// The call, as in the frame that asked.
    id: String,
    /// Whether it may run.
    approved: bool,
    /// Why not; the model is told.
    #[serde(default)]
    reason: Option<String>,
}

/// What approvals decide.
pub(super) fn decisions(approvals: Vec<Approval>) -> Vec<Decision> {
    let decide = |approval: Approval| Decision {
        id: approval.id,
        verdict: if approval.approved { Verdict::Approve } else { Verdict::Refuse(approval.reason) },
    };
    approvals.into_iter().map(decide).collect()
}

/// Decides on the calls that an interrupted run left open; the answer is the stream of the run that goes on.
///
/// # Errors
/// 404 if the caller has no such run, 400 if nothing waits for a decision.
pub async fn approvals(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Json(body): Json<Approvals>,
) -> Result<Response, Problem> {
    let id = run_id(&id)?;
    let asked = state.engine.find(principal.owner(), &id).await?.ok_or_else(Problem::not_found)?;
    if body.approvals.is_empty() {
        return Err(Problem::bad("invalid_field", "approvals: is empty"));
    }
    let request = StartRequest {
        session_id: Some(asked.info.session_id.clone()),
        run_id: chat::id(body.run_id.as_deref(), "run_id", "invalid_run_id")?,
        ask: Ask::Resume { asked_by: id, decisions: decisions(body.approvals) },
        form: body.events.map_or_else(|| asked.info.form.clone(), Events::form),
        on_busy: state.settings.on_busy,
        client_tools: Vec::new(),
        params: Params::default(),
        wants: Wants::default(),
        principal,
    };
    chat::start(&state, request).await
}

/// The body of `POST /runs/{id}/feedback`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// Good or bad.
    rating: Rating,
    /// Why, in at most 4096 bytes.
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Rating {
    Up,
    Down,
}

/// Keeps what the user thinks of an answer, beside the answer.
///
/// # Errors
/// 404 if the caller has no such run.
pub async fn feedback(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Json(body): Json<Feedback>,
) -> Result<StatusCode, Problem> {
    let id = run_id(&id)?;
    let run = state.engine.find(principal.owner(), &id).await?.ok_or_else(Problem::not_found)?;
    let sessions = state.engine.sessions().ok_or_else(Problem::not_found)?;
    if body.comment.as_ref().is_some_and(|comment| comment.len() > 4096) {
        return Err(Problem::bad("invalid_field", "comment: the limit is 4096 bytes"));
    }
    let rating = match body.rating {
        Rating::Up => "up",
        Rating::Down => "down",
    };
    let key = crate::sessions::service::SessionKey {
        owner: principal.owner().clone(),
        id: run.info.session_id.clone(),
    };
    let is_new = sessions.note_feedback(&key, &id, rating, body.comment.as_deref()).await?;
    tracing::info!(run_id = %id, rating, "feedback");
    // A word that is added to a rating is not another rating.
    if is_new {
        state.telemetry.feedback(rating);
    }
    Ok(StatusCode::NO_CONTENT)
}
