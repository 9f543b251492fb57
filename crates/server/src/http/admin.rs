//! `/admin/…`: what an administrator may do with the conversations of others: list and delete them, never read them.
//! Each call is written to the log under the target `loquat::audit`, with what came of it; so is that somebody who is no
//! administrator tried.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use super::guard::Admin;
use super::problem::Problem;
use super::query::Query;
use super::sessions::{self, ListQuery};
use crate::app::AppState;
use crate::auth::Principal;
use crate::ids::SessionId;

/// A user's sessions, newest change first.
///
/// # Errors
/// 404 if the caller is no administrator, 400 if the cursor is not one of ours.
pub async fn list(
    State(state): State<AppState>,
    admin: Admin,
    Path(user): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let subject = admin.subject(&user);
    let listed = sessions::list_of(&state, &subject, &query).await;
    audit(&admin, &subject, "list_sessions", "", &listed);
    listed
}

/// Deletes one session of a user.
///
/// # Errors
/// 404 if the caller is no administrator or the user has no such session.
pub async fn delete(
    State(state): State<AppState>,
    admin: Admin,
    Path((user, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let subject = admin.subject(&user);
    let deleted = sessions::delete_of(&state, &subject, &id).await;
    // An address may hold any text; a log line may not.
    let named = SessionId::parse(&id);
    audit(&admin, &subject, "delete_session", named.as_ref().map_or("", SessionId::as_str), &deleted);
    deleted.map(|()| StatusCode::NO_CONTENT)
}

/// Deletes all sessions of a user.
///
/// # Errors
/// 404 if the caller is no administrator.
pub async fn delete_all(
    State(state): State<AppState>,
    admin: Admin,
    Path(user): Path<String>,
) -> Result<Response, Problem> {
    let subject = admin.subject(&user);
    let deleted = sessions::delete_all_of(&state, &subject).await;
    audit(&admin, &subject, "delete_all_sessions", "", &deleted);
    deleted
}

pub(super) fn audit<T>(
    admin: &Admin,
    subject: &Principal,
    action: &'static str,
    session_id: &str,
    result: &Result<T, Problem>,
) {
    tracing::warn!(
        target: "loquat::audit",
        admin = admin.0.owner().segment_or_anonymous(),
        subject = subject.owner().segment_or_anonymous(),
        action,
        session_id,
        outcome = result.as_ref().err().map_or("done", Problem::code),
        "an administrator acted for somebody"
    );
}
