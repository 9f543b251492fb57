//! The answers that are errors: every code there is, its status, and what it means.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Code, status, meaning. A test finds codes that are in the program and not here.
pub(super) const PROBLEMS: &[(&str, u16, &str)] = &[
    ("context_too_long", 400, "The conversation is longer than the model takes."),
    ("empty_message", 400, "The message is blank and nothing is attached."),
    ("invalid_attachment", 400, "An attachment is not what it says, or the model does not take its kind."),
    ("invalid_body", 400, "The body ended too early."),
    ("invalid_field", 400, "A member has a value that is not allowed; `detail` names it."),
    ("invalid_json", 400, "The body is not JSON, or nested too deep."),
    ("invalid_request", 400, "The path or the query cannot be read; `detail` says why."),
    ("invalid_run_id", 400, "An id is 1 to 256 of the characters A-Z a-z 0-9 _ -."),
    ("invalid_session_id", 400, "An id is 1 to 256 of the characters A-Z a-z 0-9 _ -."),
    ("content_type_not_supported", 400, "A2A: a part or an output of this type is not taken."),
    (
        "previous_response_not_found",
        400,
        "There is no such response to go on from, or another took its place.",
    ),
    ("push_notification_not_supported", 400, "A2A: this agent sends no push notifications."),
    ("task_not_cancelable", 400, "A2A: the task has ended."),
    ("unsupported_operation", 400, "A2A: this operation is not served, or not for a task in this state."),
    ("version_not_supported", 400, "A2A: another version than 1.0 is asked for."),
    ("invalid_value", 400, "A parameter has a value that is not allowed."),
    ("missing_required_parameter", 400, "A parameter is missing."),
    ("model_refused_request", 400, "The model's provider refuses the request."),
    ("unknown_field", 400, "The body has a member that this version does not know."),
    ("unknown_parameter", 400, "There is no such parameter."),
    ("unsupported_parameter", 400, "The parameter exists, but not this value of it, or not here."),
    ("unauthorized", 401, "The credential is missing, wrong or expired. Which of these is in the log only."),
    (
        "foreign_origin",
        403,
        "A page of another site asks a server where nobody signs in (`web.cors_origins`).",
    ),
    ("method_not_found", 404, "A2A: there is no such operation."),
    ("model_not_found", 404, "There is no such model here."),
    ("not_found", 404, "There is no such thing, or it is somebody else's, or this service keeps none."),
    ("unknown_url", 404, "This part of the provider's API is not served here."),
    (
        "method_not_allowed",
        405,
        "The path does not know this method; the header `allow` names those it knows.",
    ),
    ("body_too_slow", 408, "The body did not arrive in time."),
    ("history_conflict", 409, "The client has rewritten what was said; what is stored is kept as it is."),
    ("run_conflict", 409, "The run id was used before, in another conversation."),
    ("session_busy", 409, "An answer is being written in this conversation; `run_id` names it."),
    ("session_changed", 409, "Another request changed the conversation. Try again."),
    (
        "attachment_too_large",
        413,
        "An attachment is larger than `attachments.max_bytes` of `GET /config.json`.",
    ),
    ("body_too_large", 413, "The body is larger than this service takes."),
    ("message_too_long", 413, "The message is longer than `limits.message_bytes` of `GET /config.json`."),
    ("unsupported_media_type", 415, "The body has to be sent as `application/json`."),
    ("unknown_host", 421, "The server is called by a name it does not know (`web.allowed_hosts`)."),
    ("model_throttled", 429, "The model's provider asks to slow down."),
    (
        "rate_limited",
        429,
        "Too many requests, answers at a time, or tokens today; `retry-after` says when it ends.",
    ),
    ("internal", 500, "Something went wrong on the server; the reason is in its log only."),
    ("session_unreadable", 500, "The stored conversation cannot be read. It was left as it is."),
    ("store_refused", 500, "The store refuses the server's requests; the reason is in the log."),
    ("model_malformed_output", 502, "What the model wrote could not be read."),
    ("model_protocol", 502, "What the model's provider answered could not be read."),
    ("model_stream_cut", 502, "The model's answer broke off."),
    ("draining", 503, "The server is about to stop. Try again."),
    ("model_not_installed", 503, "The built-in model is not installed."),
    ("model_unavailable", 503, "The model's provider does not answer."),
    ("overloaded", 503, "The server is busy. Try again after `retry-after` seconds."),
    ("run_lost", 503, "The process that wrote the answer is gone."),
    ("run_not_started", 503, "The answer could not be begun."),
    ("sign_in_unavailable", 503, "The sign-in provider's keys cannot be fetched, so nobody can be let in."),
    ("store_unavailable", 503, "The store does not answer. Nothing was lost. Try again."),
    ("model_timeout", 504, "The model did not answer in time."),
];

/// How a run failed of which nothing had been sent yet.
pub(super) const RUN_FAILED: &[&str] = &[
    "context_too_long",
    "model_malformed_output",
    "model_not_installed",
    "model_protocol",
    "model_refused_request",
    "model_stream_cut",
    "model_throttled",
    "model_timeout",
    "model_unavailable",
    "run_lost",
    "run_not_started",
];

/// What is answered before a dialect is known, and so in the one common form.
const OUTER: &[&str] = &["unknown_host", "foreign_origin", "internal"];

/// The form in which a dialect tells errors.
pub(super) struct ErrorForm {
    /// Its media type.
    pub(super) kind: &'static str,
    /// The name of its schema.
    pub(super) schema: &'static str,
    /// A status, a code and words in this form.
    pub(super) example: fn(u16, &str, &str) -> Value,
}

/// Adds an answer for the status of each code.
pub(super) fn describe(codes: &[&'static str], form: Option<&ErrorForm>, answers: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, Vec<(&str, &str)>> = BTreeMap::new();
    for (code, status, meaning) in PROBLEMS {
        if codes.contains(code) {
            by_status.entry(*status).or_default().push((code, meaning));
        }
    }
    for (status, problems) in by_status {
        let words: Vec<String> =
            problems.iter().map(|(code, meaning)| format!("`{code}`: {meaning}")).collect();
        let mut content = json!({});
        let common: Vec<(&str, &str)> =
            problems.iter().filter(|(code, _)| form.is_none() || OUTER.contains(code)).copied().collect();
        if !common.is_empty() {
            content["application/problem+json"] = in_common(status, &common);
        }
        let inner = problems.iter().find(|(code, _)| !OUTER.contains(code) || *code == "internal");
        if let (Some(form), Some((code, meaning))) = (form, inner) {
            content[form.kind] = json!({
                "schema": {"$ref": format!("#/components/schemas/{}", form.schema)},
                "example": (form.example)(status, code, meaning),
            });
        }
        let mut answer = json!({"description": words.join("\n\n"), "content": content});
        match status {
            401 => {
                answer["headers"]["www-authenticate"] = json!({"description": "How to sign in.", "required": true, "schema": {"const": "Bearer"}});
            }
            429 | 503 => {
                answer["headers"]["retry-after"] = json!({
                    "description": "When to try again, in seconds.",
                    "required": form.is_none(),
                    "schema": {"type": "integer", "minimum": 1},
                });
            }
            _ => {}
        }
        // `GET /health` has a 503 of its own.
        answers.entry(status.to_string()).or_insert(answer);
    }
}

/// The common form, with these codes.
fn in_common(status: u16, problems: &[(&str, &str)]) -> Value {
    let codes: Vec<&str> = problems.iter().map(|(code, _)| *code).collect();
    let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    json!({
        "schema": {"allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
        ]},
        "example": {
            "type": "about:blank",
            "title": title.unwrap_or("Error"),
            "status": status,
            "detail": problems.first().map(|(_, meaning)| *meaning),
            "code": codes.first(),
        },
    })
}
