//! `/v1/…`: what is served of OpenAI's API. Its own documentation describes the members in full; here stands what this
//! service needs and adds.

use serde_json::{Map, Value, json};

use super::conversation::START;
use super::operation::Operation;
use super::problems::{ErrorForm, RUN_FAILED};
use super::schemas::refer;

const TAG: &str = "openai";

/// OpenAI's form of an error.
pub(super) static ERROR: ErrorForm = ErrorForm {
    kind: "application/json",
    schema: "OpenAiError",
    example: |_, code, meaning| json!({"error": {"message": meaning, "type": "invalid_request_error", "param": null, "code": code}}),
};

/// What every chunk and every answer may have beside OpenAI's own members.
const EXTENSION: &str = "The member `loquat` tells what OpenAI's API has no place for: `run_id`, `session_id` where the \
client named one, the tools that ran here, approvals, the outcome.";

fn new(method: &'static str, path: &'static str, id: &'static str) -> Operation {
    Operation::new(method, path, id, TAG).errors_as(&ERROR)
}

pub(super) fn operations() -> Vec<Operation> {
    let model = json!({"id": "loquat", "object": "model", "created": 1_767_225_600, "owned_by": "loquat"});
    vec![
        new("GET", "/v1/models", "listModels").summary("The agent as a model, and the model behind it").json(
            200,
            "The models.",
            refer("OpenAiModels"),
            json!({"object": "list", "data": [model]}),
        ),
        new("GET", "/v1/models/{id}", "readModel")
            .summary("One model")
            .in_path(
                "id",
                json!({"type": "string", "minLength": 1}),
                "loquat",
                "The model; the id may hold slashes.",
            )
            .json(200, "The model.", refer("OpenAiModel"), model)
            .problems(&["model_not_found"]),
        completions(),
    ]
}

/// What the schemas of both forms of an answer share.
fn told() -> Value {
    json!({"type": "object", "description": EXTENSION})
}

fn completions() -> Operation {
    let schema = json!({
        "type": "object",
        "properties": {
            "model": {"type": "string", "description": "`loquat`, or the id of the model behind it."},
            "messages": {
                "type": "array", "minItems": 1,
                "items": {"type": "object", "properties": {"role": {"type": "string"}}, "required": ["role"]},
            },
            "stream": {"type": ["boolean", "null"]},
            "stream_options": {"type": ["object", "null"]},
            "tools": {"type": ["array", "null"], "description": "Functions that the client runs."},
            "tool_choice": {"description": "`auto`, `none`, `required`, or a function by its name: forced once, where the \
                model can be."},
            "response_format": {"type": ["object", "null"], "description": "Text, or JSON by a schema where the model can."},
            "seed": {"type": ["integer", "null"], "description": "Refused where the model has none."},
            "metadata": {
                "type": ["object", "null"],
                "description": "`session_id` names a stored conversation: of the request only the newest message \
                    (or the tools' answers) counts then.",
            },
        },
        "required": ["model", "messages"],
    });
    let say = json!({"model": "loquat", "messages": [{"role": "user", "content": "What is the capital of France?"}]});
    let mut stream = say.clone();
    stream["stream"] = true.into();
    stream["stream_options"] = json!({"include_usage": true});
    new("POST", "/v1/chat/completions", "chatCompletions")
        .summary("OpenAI chat completions")
        .description(format!(
            "Nothing is stored unless a session is named. The agent's tools run here; those of the request are the \
             client's. {EXTENSION}"
        ))
        .in_header(
            "x-loquat-session-id",
            refer("Id"),
            "The conversation, as `metadata.session_id`; of the two this one counts.",
        )
        .foreign_body(schema, vec![("message", say), ("stream", stream)])
        .json(200, "The answer.", refer("OpenAiCompletion"), completion())
        .typed(
            200,
            "The answer.",
            "text/event-stream",
            json!({
                "description": "One frame: a chunk as JSON text, an error, or `[DONE]`, which is the last.",
                "type": "object",
                "properties": {"data": {"type": "string"}, "event": {"const": "message"}},
                "required": ["data"],
                "additionalProperties": false,
            }),
            "data: {\"object\":\"chat.completion.chunk\"}\n\ndata: [DONE]\n\n".into(),
        )
        .header(200, "x-loquat-run-id", "The run.")
        .stored()
        .problems(START)
        .problems(RUN_FAILED)
        .problems(&[
            "attachment_too_large",
            "empty_message",
            "invalid_attachment",
            "invalid_session_id",
            "invalid_value",
            "message_too_long",
            "missing_required_parameter",
            "model_not_found",
            "not_found",
            "unknown_parameter",
            "unsupported_parameter",
            "unknown_url",
        ])
}

fn completion() -> Value {
    let message = json!({"role": "assistant", "content": "Paris.", "refusal": null});
    json!({
        "id": "chatcmpl-0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d1",
        "object": "chat.completion",
        "created": 1_795_424_400,
        "model": "bedrock/example",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": null}],
        "usage": {
            "prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "loquat": {"run_id": "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d1", "outcome": "complete"},
    })
}

/// The schemas.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| all.insert(name.to_owned(), schema);
    add(
        "OpenAiError",
        json!({
            "description": "An error in OpenAI's form.",
            "type": "object",
            "properties": {"error": {
                "type": "object",
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "null"]},
                },
                "required": ["message", "type", "param", "code"],
                "additionalProperties": false,
            }},
            "required": ["error"],
            "additionalProperties": false,
        }),
    );
    add(
        "OpenAiModel",
        json!({
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "object": {"const": "model"},
                "created": {"type": "integer"},
                "owned_by": {"type": "string"},
            },
            "required": ["id", "object", "created", "owned_by"],
            "additionalProperties": false,
        }),
    );
    add(
        "OpenAiModels",
        json!({
            "type": "object",
            "properties": {
                "object": {"const": "list"},
                "data": {"type": "array", "items": refer("OpenAiModel")},
            },
            "required": ["object", "data"],
            "additionalProperties": false,
        }),
    );
    add(
        "OpenAiCompletion",
        json!({
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "object": {"const": "chat.completion"},
                "created": {"type": "integer"},
                "model": {"type": "string"},
                "choices": {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": 1},
                "usage": {"type": "object"},
                "loquat": told(),
            },
            "required": ["id", "object", "created", "model", "choices", "usage", "loquat"],
            "additionalProperties": false,
        }),
    );
    all
}
