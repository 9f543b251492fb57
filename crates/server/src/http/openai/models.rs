//! `GET /v1/models`: the agent is the model. Its name here is `loquat`; the name of the model behind it works too.

use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use crate::app::AppState;
use crate::auth::Principal;
use crate::http::problem::Problem;

/// The agent's name as a model.
const NAME: &str = "loquat";
/// OpenAI's clients want a time of making; the first day of 2026.
const CREATED: u64 = 1_767_225_600;

fn behind(state: &AppState) -> &str {
    state.settings.page_config["model"]["id"].as_str().unwrap_or_default()
}

fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": CREATED, "owned_by": "loquat"})
}

/// Whether there is such a model.
pub(super) fn check(state: &AppState, id: &str) -> Result<(), Problem> {
    if id == NAME || id == behind(state) {
        return Ok(());
    }
    let detail = format!("The model '{id}' does not exist here. The models are: {NAME}, {}.", behind(state));
    Err(Problem::new(StatusCode::NOT_FOUND, "model_not_found", detail).at("model"))
}

/// All models.
pub(super) async fn list(State(state): State<AppState>, _: Principal) -> axum::Json<Value> {
    axum::Json(json!({"object": "list", "data": [model(NAME), model(behind(&state))]}))
}

/// One model. Their names may hold slashes.
///
/// # Errors
/// 404.
pub(super) async fn get(
    State(state): State<AppState>,
    _: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<Value>, Problem> {
    check(&state, &id)?;
    Ok(axum::Json(model(&id)))
}
