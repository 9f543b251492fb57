//! `/ag-ui` and `/api/chat`: protocols whose own documentation describes the members in full; here stands what this
//! service needs of them.

use serde_json::{Map, Value, json};

use super::conversation::START;
use super::operation::Operation;
use super::problems::ErrorForm;
use super::schemas::refer;

const TAG: &str = "protocols";

const SESSION: &str = "0197b6a2-4d7b-7c52-8a31-5b0e7d9f1a20";
const RUN: &str = "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d1";

/// The AI SDK shows people the text of an error as it is.
static WORDS: ErrorForm = ErrorForm {
    kind: "text/plain",
    schema: "Words",
    example: |_, _, meaning| Value::String(meaning.to_owned()),
};

pub(super) fn operations() -> Vec<Operation> {
    vec![run_agent(), capabilities(), send(), resume()]
}

/// The schemas.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    all.insert(
        "Words".into(),
        json!({"type": "string", "description": "What is wrong, in words for people."}),
    );
    all
}

/// A stream of frames with JSON text.
fn stream(operation: Operation, example: &str, words: &str) -> Operation {
    let schema = json!({
        "description": words,
        "type": "object",
        // Readers of event streams call a frame without a name `message`.
        "properties": {
            "id": {"type": "string"}, "data": {"type": "string"}, "event": {"const": "message"},
        },
        "required": ["data"],
        "additionalProperties": false,
    });
    operation
        .typed(200, "The answer.", "text/event-stream", schema, example.into())
        .header(200, "x-loquat-run-id", "The run.")
        .stored()
}

fn run_agent() -> Operation {
    let schema = json!({
        "type": "object",
        "description": "`RunAgentInput`. What is not known here is passed over.",
        "properties": {
            "threadId": refer("Id"),
            "runId": refer("Id"),
            "messages": {"type": "array", "items": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "role": {"type": "string"}},
                "required": ["id", "role"],
            }},
            "tools": {"type": "array", "description": "Tools that run in the client."},
            "context": {"type": "array", "description": "What the application tells the agent."},
            "resume": {
                "type": "array",
                "description": "Answers to interrupts; the payload is `{\"approved\": true or false, \"reason\"?}`.",
            },
        },
        "required": ["threadId", "runId"],
    });
    let message = json!({"id": "m1", "role": "user", "content": "What is the capital of France?"});
    let say = json!({"threadId": SESSION, "runId": RUN, "messages": [message], "tools": [], "context": []});
    let operation = Operation::new("POST", "/ag-ui", "runAgent", TAG)
        .summary("AG-UI 1.0: run the agent")
        .description(
            "The thread is the session. Of the messages only the new ones count, and answers to open calls. The same \
             `runId` again is the same run: its messages as they are now, then what follows.",
        )
        .in_header(
            "last-event-id",
            json!({"type": "string"}),
            "For a run that exists: the number of the last event that was received.",
        )
        .foreign_body(schema, vec![("message", say)])
        .problems(START)
        .problems(&[
            "attachment_too_large",
            "empty_message",
            "history_conflict",
            "invalid_attachment",
            "invalid_session_id",
            "message_too_long",
            "not_found",
        ]);
    let example = format!(
        "id: 1\ndata: {{\"type\":\"RUN_STARTED\",\"threadId\":\"{SESSION}\",\"runId\":\"{RUN}\"}}\n\n"
    );
    stream(operation, &example, "One frame: an AG-UI event as JSON text.")
}

fn capabilities() -> Operation {
    Operation::new("GET", "/ag-ui", "readCapabilities", TAG).summary("AG-UI 1.0: what the agent can do").json(
        200,
        "`AgentCapabilities`.",
        json!({"type": "object"}),
        json!({"transport": {"streaming": true, "resumable": true}, "tools": {"clientProvided": true}}),
    )
}

fn send() -> Operation {
    let schema = json!({
        "type": "object",
        "description": "What `useChat` sends. Members of the application's own are passed over.",
        "properties": {
            "id": refer("Id"),
            "messages": {"type": "array", "minItems": 1, "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"}, "role": {"type": "string"}, "parts": {"type": "array"},
                },
                "required": ["id", "role", "parts"],
            }},
            "trigger": {"enum": ["submit-message", "regenerate-message"]},
            "tools": {"type": "object", "description": "Tools that run in the client, by name."},
            "system": {"type": "string", "description": "What the application tells the agent."},
        },
        "required": ["id", "messages"],
    });
    let parts = json!([{"type": "text", "text": "What is the capital of France?"}]);
    let say = json!({"id": SESSION, "messages": [{"id": "m1", "role": "user", "parts": parts}]});
    let operation = Operation::new("POST", "/api/chat", "sendUiMessage", TAG)
        .errors_as(&WORDS)
        .summary("AI SDK: send a message, read the UI message stream v1")
        .description(
            "The chat is the session. Only the last message counts: the user's, or the assistant's with answers to open \
             calls. A message that is known is an edit: it takes the place of the old one and of what followed it.",
        )
        .foreign_body(schema, vec![("message", say)])
        .problems(START)
        .problems(&[
            "attachment_too_large",
            "empty_message",
            "invalid_attachment",
            "invalid_session_id",
            "message_too_long",
            "not_found",
        ]);
    stream(operation, "data: {\"type\":\"start\"}\n\nid: 9\ndata: [DONE]\n\n", CHUNK).header(
        200,
        "x-vercel-ai-ui-message-stream",
        "`v1`.",
    )
}

/// A frame of the UI message stream.
const CHUNK: &str = "One frame: a chunk as JSON text, or `[DONE]`, which is the last.";

fn resume() -> Operation {
    let operation = Operation::new("GET", "/api/chat/{id}/stream", "resumeUiStream", TAG)
        .errors_as(&WORDS)
        .summary("AI SDK: take up the answer that is being written")
        .id_in_path(SESSION, "The chat.")
        .in_header(
            "last-event-id",
            json!({"type": "string"}),
            "The number of the last event that was received; without it the answer comes from its start.",
        )
        .empty(204, "No answer is being written.")
        .problems(&["invalid_session_id", "session_unreadable"]);
    stream(operation, "data: {\"type\":\"start\"}\n\n", CHUNK)
}
