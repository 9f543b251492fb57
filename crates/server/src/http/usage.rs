//! `GET /usage`: what the caller's runs used and cost, by day, by session or by run. An administrator asks for somebody
//! else's days at `/admin/users/{user}/usage`.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use loquat_agent::event::{Event, Usage};
use loquat_agent::message::Message;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin;
use super::chat::id;
use super::guard::Admin;
use super::problem::Problem;
use super::query::Query;
use crate::app::AppState;
use crate::auth::Principal;
use crate::ids::{RunId, SessionId};
use crate::limits::DayUsage;
use crate::runs::log::{Entry, Pace};
use crate::sessions::document::{Branch, Document};
use crate::sessions::service::{SessionError, SessionKey};

/// How many days are told unless asked for more.
const DAYS: usize = 30;
/// The most days.
const MAX_DAYS: usize = 366;

/// The query of `GET /usage`: days, or one session, or one run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    days: Option<usize>,
    session_id: Option<String>,
    run_id: Option<String>,
}

/// What the caller used.
///
/// # Errors
/// 404 if the caller has no such session or run.
pub async fn get(
    State(state): State<AppState>,
    principal: Principal,
    Query(query): Query<UsageQuery>,
) -> Result<Response, Problem> {
    let session = id(query.session_id.as_deref(), "session_id", "invalid_session_id")?;
    let run = id(query.run_id.as_deref(), "run_id", "invalid_run_id")?;
    let answer = match (query.days, session, run) {
        (days, None, None) => of_days(&state, &principal, days).await?,
        (None, Some(session), None) => of_session(&state, &principal, session).await?,
        (None, None, Some(run)) => of_run(&state, &principal, &run).await?,
        _ => return Err(Problem::bad("invalid_field", "days, session_id, run_id: only one of them")),
    };
    Ok(axum::Json(answer).into_response())
}

/// What somebody else used.
///
/// # Errors
/// 404 if the caller is no administrator.
pub async fn of_user(
    State(state): State<AppState>,
    admin: Admin,
    Path(user): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<Response, Problem> {
    if query.session_id.is_some() || query.run_id.is_some() {
        return Err(Problem::bad("invalid_field", "an administrator asks for days alone"));
    }
    let subject = admin.subject(&user);
    let days = of_days(&state, &subject, query.days).await;
    admin::audit(&admin, &subject, "read_usage", "", &days);
    Ok(axum::Json(days?).into_response())
}

async fn of_days(state: &AppState, principal: &Principal, days: Option<usize>) -> Result<Value, Problem> {
    let most = days.unwrap_or(DAYS);
    if !(1..=MAX_DAYS).contains(&most) {
        return Err(Problem::bad("invalid_field", format!("days: 1 to {MAX_DAYS}")));
    }
    let days = state.engine.usage(principal.owner(), most).await.map_err(SessionError::from)?;
    let mut total = DayUsage::default();
    let mut told = Vec::with_capacity(days.len());
    for (day, usage) in days {
        total.add(&usage);
        let mut entry = tell(&usage);
        entry["day"] = day.to_string().into();
        told.push(entry);
    }
    Ok(json!({"currency": "USD", "days": told, "total": tell(&total)}))
}

async fn of_session(state: &AppState, principal: &Principal, id: SessionId) -> Result<Value, Problem> {
    let sessions = state.engine.sessions().ok_or_else(Problem::not_found)?;
    let key = SessionKey { owner: principal.owner().clone(), id };
    let document = sessions.view(&key).await?;
    let mut total = DayUsage::default();
    let mut runs = Vec::new();
    for (run, usage) in runs_of(&document)? {
        total.add(&usage);
        let mut entry = tell(&usage);
        entry["run_id"] = run.into();
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("runs");
        }
        runs.push(entry);
    }
    Ok(json!({"currency": "USD", "session_id": key.id, "runs": runs, "total": tell(&total)}))
}

/// The runs of a session as its messages tell them, those of replaced messages included: they were paid for.
fn runs_of(document: &Document) -> Result<Vec<(String, DayUsage)>, SessionError> {
    let mut runs: Vec<(String, DayUsage)> = Vec::new();
    let mut take = |messages: &[Message]| {
        for message in messages {
            let text = |name: &str| message.metadata.get(name).and_then(Value::as_str);
            let Some(usage) = message.metadata.get("usage") else { continue };
            let run = text("run_id").unwrap_or_default();
            let Ok(tokens) = serde_json::from_value::<Usage>(usage.clone()) else { continue };
            let cost = usage.get("cost_usd").and_then(Value::as_f64);
            if !runs.iter().any(|(known, _)| known == run) {
                runs.push((run.to_owned(), DayUsage::of_run(tokens, cost)));
            }
        }
    };
    let branches: Vec<Branch> = serde_json::from_str(&document.raw_branches()).unwrap_or_default();
    for branch in &branches {
        take(&branch.messages);
    }
    take(&document.last(document.count())?);
    Ok(runs)
}

async fn of_run(state: &AppState, principal: &Principal, id: &RunId) -> Result<Value, Problem> {
    let run = state.engine.find(principal.owner(), id).await?.ok_or_else(Problem::not_found)?;
    let look = run.look();
    let mut calls = Vec::new();
    look.log().read(0, Pace::Joined, |_, entry| {
        if let Entry::Other(Event::Usage { step, model, usage, cost_usd, .. }) = entry {
            let mut call = tell(&DayUsage::of_run(*usage, *cost_usd));
            if let Some(call) = call.as_object_mut() {
                call.remove("runs");
                call.insert("step".into(), (*step).into());
                call.insert("model".into(), model.as_str().into());
            }
            calls.push(call);
        }
        true
    });
    let mut total = tell(&DayUsage::of_run(look.usage(), look.cost_usd()));
    if let Some(total) = total.as_object_mut() {
        total.remove("runs");
    }
    let (run_id, session_id) = (&run.info.id, &run.info.session_id);
    Ok(json!({"currency": "USD", "run_id": run_id, "session_id": session_id, "calls": calls, "total": total}))
}

/// A sum for the client: without the field that only the limit reads.
fn tell(usage: &DayUsage) -> Value {
    let mut value = serde_json::to_value(usage).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("tokens");
    }
    value
}
