//! `/memory…`: what the agent keeps about the caller, for the caller to see and to delete.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::problem::Problem;
use crate::app::AppState;
use crate::auth::Principal;
use crate::tools::{MemoryError, MemoryStore, NOBODY};

fn store(state: &AppState) -> Result<&Arc<dyn MemoryStore>, Problem> {
    state.memory.as_ref().ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "This service keeps no facts about users.")
    })
}

fn user(principal: &Principal) -> &str {
    principal.user.as_deref().unwrap_or(NOBODY)
}

impl From<MemoryError> for Problem {
    fn from(error: MemoryError) -> Self {
        tracing::warn!(%error, "facts about a user could not be read or written");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The store is not available.").retry_after(1)
    }
}

/// The facts about the caller, oldest first.
///
/// # Errors
/// 404 where no facts are kept.
pub async fn list(State(state): State<AppState>, principal: Principal) -> Result<Response, Problem> {
    let facts = store(&state)?.list(user(&principal)).await?;
    Ok(axum::Json(json!({"facts": facts})).into_response())
}

/// Forgets one fact.
///
/// # Errors
/// 404 if the caller has no such fact.
pub async fn delete(
    State(state): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if store(&state)?.delete(user(&principal), &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found())
    }
}

/// Forgets everything about the caller.
///
/// # Errors
/// 404 where no facts are kept.
pub async fn delete_all(State(state): State<AppState>, principal: Principal) -> Result<Response, Problem> {
    let store = store(&state)?;
    let mut deleted = 0;
    for fact in store.list(user(&principal)).await? {
        deleted += u32::from(store.delete(user(&principal), &fact.id).await?);
    }
    Ok(axum::Json(json!({"deleted": deleted})).into_response())
}
