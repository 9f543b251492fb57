//! `/sessions…`: list, read, rename, delete, export.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use loquat_agent::message::{Content, Role, ToolContent};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::json::Json;
use super::problem::Problem;
use super::query::Query;
use crate::app::AppState;
use crate::auth::Principal;
use crate::ids::SessionId;
use crate::sessions::document::Document;
use crate::sessions::index;
use crate::sessions::service::{SessionError, SessionKey, Sessions, summary_of};

/// The longest title, in characters.
const TITLE: usize = 200;

fn sessions(state: &AppState) -> Result<&Sessions, Problem> {
    state.engine.sessions().ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "This service keeps no conversations.")
    })
}

fn key(principal: &Principal, id: &str) -> Result<SessionKey, Problem> {
    let id = SessionId::parse(id).map_err(|_| {
        Problem::bad("invalid_session_id", format!("session_id: has to be {}", crate::ids::FORM))
    })?;
    Ok(SessionKey { owner: principal.owner().clone(), id })
}

/// The query of `GET /sessions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    cursor: Option<String>,
    limit: Option<usize>,
    q: Option<String>,
}

/// A page of the caller's sessions, newest change first.
///
/// # Errors
/// 400 if the cursor is not one of ours.
pub async fn list(
    State(state): State<AppState>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    list_of(&state, &principal, &query).await
}

/// A page of somebody's sessions.
pub(super) async fn list_of(
    state: &AppState,
    principal: &Principal,
    query: &ListQuery,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(index::PAGE);
    if !(1..=index::MAX_PAGE).contains(&limit) {
        return Err(Problem::bad("invalid_field", format!("limit: 1 to {}", index::MAX_PAGE)));
    }
    let search = query.q.as_deref().filter(|q| !q.trim().is_empty());
    let query = index::Query { cursor: query.cursor.as_deref(), limit, search };
    let page = sessions(state)?.page(principal.owner(), &query).await?;
    let mut body = json!({"sessions": page.sessions});
    if let Some(next) = page.next_cursor {
        body["next_cursor"] = next.into();
    }
    Ok(axum::Json(body).into_response())
}

/// One session with its messages.
///
/// # Errors
/// 404 if the caller has no such session.
pub async fn get(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let key = key(&principal, &id)?;
    let document = sessions(&state)?.view(&key).await?;
    // Who looks at a conversation whose answer was paused wants it to go on, with or without reading along.
    if let Some(paused) = document.head.run.as_ref().filter(|lease| lease.paused) {
        state.engine.find(principal.owner(), &paused.id).await?;
    }
    Ok(json_body(whole(&document)))
}

/// The session as one JSON object; the messages are passed on as they are stored.
#[must_use]
pub fn whole(document: &Document) -> String {
    let summary = summary_of(document);
    let run = summary.run_id.as_ref().map(|id| json!({"id": id}));
    let mut head = json!(summary);
    if let Some(head) = head.as_object_mut() {
        head.remove("run_id");
        if let Some(run) = run {
            head.insert("run".into(), run);
        }
        if let Some(pending) = &document.head.pending {
            head.insert(
                "pending".into(),
                json!({"run_id": pending.run_id, "expires_at": pending.expires_at}),
            );
        }
    }
    let head = head.to_string();
    let head = head.strip_suffix('}').unwrap_or(&head);
    format!("{head},\"messages\":{},\"branches\":{}}}", document.raw_messages(), document.raw_branches())
}

fn json_body(body: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// The body of `PATCH /sessions/{id}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// 1 to 200 characters, not all of them blanks.
    #[schemars(length(max = TITLE), extend("pattern" = r"\S"))]
    title: String,
}

/// Renames a session.
///
/// # Errors
/// 404 if the caller has no such session, 400 if the title is blank or too long.
pub async fn rename(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Json(body): Json<Rename>,
) -> Result<Response, Problem> {
    let key = key(&principal, &id)?;
    let title = body.title.trim();
    if title.is_empty() || title.chars().count() > TITLE {
        return Err(Problem::bad("invalid_field", format!("title: 1 to {TITLE} characters")));
    }
    Ok(axum::Json(sessions(&state)?.rename(&key, title).await?).into_response())
}

/// Deletes a session, its runs included. A live run is stopped first.
///
/// # Errors
/// 404 if the caller has no such session.
pub async fn delete(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    delete_of(&state, &principal, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes one of somebody's sessions.
pub(super) async fn delete_of(state: &AppState, principal: &Principal, id: &str) -> Result<(), Problem> {
    let key = &key(principal, id)?;
    let sessions = sessions(state)?;
    if let Ok(opened) = sessions.open(key).await
        && let Some(lease) = opened.document.head.run
    {
        state.engine.stop(&key.owner, &lease.id).await?;
    }
    Ok(state.engine.delete(sessions, key).await?)
}

/// Deletes everything of the caller's.
///
/// # Errors
/// A [`Problem`] if the store fails; what was deleted until then stays deleted.
pub async fn delete_all(State(state): State<AppState>, principal: Principal) -> Result<Response, Problem> {
    delete_all_of(&state, &principal).await
}

/// Deletes everything of somebody's.
pub(super) async fn delete_all_of(state: &AppState, principal: &Principal) -> Result<Response, Problem> {
    let sessions = sessions(state)?;
    let mut deleted = 0;
    loop {
        let query = index::Query { limit: index::MAX_PAGE, ..index::Query::default() };
        let page = sessions.page(principal.owner(), &query).await?;
        if page.sessions.is_empty() {
            break;
        }
        for summary in page.sessions {
            let key = key(principal, &summary.session_id)?;
            if let Ok(Some(lease)) = sessions.open(&key).await.map(|opened| opened.document.head.run) {
                state.engine.stop(&key.owner, &lease.id).await?;
            }
            match state.engine.delete(sessions, &key).await {
                Ok(()) => deleted += 1,
                // Expired, or deleted by another request: it is gone from the list now.
                Err(SessionError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(axum::Json(json!({"deleted": deleted})).into_response())
}

/// The query of `GET /sessions/{id}/export`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    format: Option<ExportFormat>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExportFormat {
    #[default]
    Json,
    Md,
}

/// One session as a file.
///
/// # Errors
/// 404 if the caller has no such session.
pub async fn export(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let key = key(&principal, &id)?;
    let document = sessions(&state)?.view(&key).await?;
    let (kind, ending, body) = match query.format.unwrap_or_default() {
        ExportFormat::Json => ("application/json", "json", whole(&document)),
        ExportFormat::Md => {
            let text = markdown(&document).map_err(SessionError::from)?;
            ("text/markdown; charset=utf-8", "md", text)
        }
    };
    // The id has only letters, digits, `_` and `-`.
    let disposition = format!("attachment; filename=\"{}.{ending}\"", key.id);
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)], body)
        .into_response())
}

/// A conversation for people.
///
/// # Errors
/// If the stored messages cannot be read.
pub fn markdown(document: &Document) -> Result<String, crate::sessions::document::Unreadable> {
    let mut text = format!("# {}\n", document.head.title.as_deref().unwrap_or("Conversation"));
    for message in document.last(document.count())? {
        let answers_only = message.role == Role::User && !message.starts_turn();
        if !answers_only {
            text.push_str(if message.role == Role::User { "\n## User\n" } else { "\n## Assistant\n" });
        }
        for block in &message.content {
            let part = match block {
                Content::Text(part) => part.clone(),
                Content::ToolUse(call) => format!("> Tool `{}`: `{}`", call.name, call.input),
                Content::ToolResult(result) => {
                    let said: Vec<String> = result
                        .content
                        .iter()
                        .map(|part| match part {
                            ToolContent::Text(text) => text.clone(),
                            ToolContent::Json(value) => value.to_string(),
                            _ => "(not text)".to_owned(),
                        })
                        .collect();
                    format!("> Result: {}", said.join("\n").replace('\n', "\n> "))
                }
                Content::Document(file) => format!("> File: {}", file.name),
                Content::Image(_) => "> Picture".to_owned(),
                Content::Reasoning(_) | Content::Other(_) => continue,
            };
            text.push('\n');
            text.push_str(&part);
            text.push('\n');
        }
    }
    Ok(text)
}
