//! `/admin/…`: what an administrator may do with the conversations of others: list and delete them, never read them.
//! Each call is written to the log under the target `loquat::audit`.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;

use super::guard::Admin;
use super::problem::Problem;
use super::sessions::{self, ListQuery};
use crate::app::AppState;
use crate::auth::Principal;

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
    audit(&admin, &subject, "list_sessions", "");
    sessions::list_of(&state, &subject, &query).await
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
    sessions::delete_of(&state, &subject, &id).await?;
    // Only now is the id known to be one, and not just any text.
    audit(&admin, &subject, "delete_session", &id);
    Ok(StatusCode::NO_CONTENT)
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
    audit(&admin, &subject, "delete_all_sessions", "");
    sessions::delete_all_of(&state, &subject).await
}

fn audit(admin: &Admin, subject: &Principal, action: &'static str, session_id: &str) {
    tracing::warn!(
        target: "loquat::audit",
        admin = admin.0.owner().segment_or_anonymous(),
        subject = subject.owner().segment_or_anonymous(),
        action,
        session_id,
        "an administrator acted for somebody"
    );
}
