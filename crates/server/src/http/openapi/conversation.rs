//! `/chat` and `/runs/…`.

use serde_json::{Value, json};

use super::operation::Operation;
use super::schemas::{frame, refer};
use crate::http::chat::ChatRequest;
use crate::http::runs::{Approvals, Feedback};

const TAG: &str = "conversation";
const RUN: &str = "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d1";

/// The shortest whole stream, as the reference's clients read it.
const STREAM: &str = "id: 1\nevent: metadata\ndata: {\"session_id\":\"0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d0\"}\n\n\
id: 2\ndata: {\"text\":\"Hello\"}\n\nid: 4\nevent: done\ndata: {}\n\n";

const FRAMES: &str = "Frames are separated by an empty line: `id:` (the cursor), `event:` (the name; text has none), \
`data:` (JSON). A comment (`: ping`) comes after ten seconds of silence. Every stream ends with `done`, `error` or \
`continue`; one that ends otherwise was cut and can be taken up again. With `events=text`, the default, only \
`metadata`, text, `done` and `error` are sent.";

/// Adds the stream of a run as the answer.
fn streaming(operation: Operation, frame: Value) -> Operation {
    operation
        .typed(
            200,
            "The run's events, as they happen. The schema is that of one frame.",
            "text/event-stream",
            frame,
            STREAM.into(),
        )
        .header(
            200,
            "x-loquat-run-id",
            "The run. Missing where the message waits for its turn (`on_busy: queue`).",
        )
}

/// A frame of a run that may have been asked for in another dialect, and is told in that.
fn any_frame() -> Value {
    let other = json!({
        "description": "A frame of the dialect in which the run was asked for.",
        "type": "object",
        "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
        "required": ["data"],
        "additionalProperties": false,
    });
    json!({"anyOf": [frame(), other]})
}

/// What starting a run may answer.
pub(super) const START: &[&str] = &[
    "invalid_field",
    "invalid_run_id",
    "run_conflict",
    "session_busy",
    "session_changed",
    "session_unreadable",
    "draining",
    "overloaded",
];

pub(super) fn operations() -> Vec<Operation> {
    vec![chat(), events(), stop(), approvals(), feedback()]
}

fn chat() -> Operation {
    let post = Operation::new("POST", "/chat", "sendMessage", TAG)
        .summary("Send a message and read the answer as it is written")
        .description(format!(
            "Without `session_id` a conversation begins. An id that the caller has no conversation under begins one. \
             `run_id`, made by the client, makes the call safe to repeat: the same id attaches to the same run. \
             `history_length` goes on from the first so many stored messages (edit, regenerate); what it replaces is \
             kept as a branch.\n\n{FRAMES}"
        ))
        .body::<ChatRequest>(vec![
            ("message", json!({"message": "What is the capital of France?"})),
            (
                "everything",
                json!({
                    "message": "What is in this file?",
                    "session_id": "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d0",
                    "run_id": RUN,
                    "events": "all",
                    "on_busy": "reject",
                    "attachments": [{"name": "note.txt", "media_type": "text/plain", "data": "SGVsbG8="}],
                }),
            ),
        ])
        .stored()
        .problems(START)
        .problems(&[
            "empty_message",
            "invalid_session_id",
            "invalid_attachment",
            "message_too_long",
            "attachment_too_large",
            "not_found",
        ]);
    streaming(post, frame())
}

/// What `session_id` is for at the routes of a run.
const SESSION_OF_RUN: &str = "The run's session. On object storage a run that another process began less than two \
    seconds ago is found by it at once; without it the request waits for the run's log.";

fn events() -> Operation {
    let get = Operation::new("GET", "/runs/{id}/events", "readRun", TAG)
        .summary("Read a run again, from the start or after an event, then live")
        .description(FRAMES)
        .id_in_path(RUN, "The run.")
        .in_query("after", json!({"type": "integer", "minimum": 0}), "The last event that the client has.")
        .in_query(
            "dialect",
            json!({"enum": ["chat", "ag_ui", "ai_sdk", "openai", "openai_responses", "agentcore", "a2a"]}),
            "The wire format; that of the run's own request if missing.",
        )
        .in_query(
            "events",
            json!({"enum": ["text", "all"]}),
            "Which events; as in the run's own request if missing.",
        )
        .in_header(
            "last-event-id",
            json!({"type": "string", "pattern": "^[0-9]{1,19}$"}),
            "As `after`; the later of the two counts.",
        )
        .in_query("session_id", json!({"type": "string"}), SESSION_OF_RUN)
        .stored()
        .problems(&["invalid_run_id", "invalid_session_id", "invalid_field", "not_found"]);
    streaming(get, any_frame())
}

fn stop() -> Operation {
    Operation::new("POST", "/runs/{id}/stop", "stopRun", TAG)
        .summary("Stop a run")
        .description("Answers when the run has ended. What was shown is kept, and no more than that.")
        .id_in_path(RUN, "The run.")
        .in_query("session_id", json!({"type": "string"}), SESSION_OF_RUN)
        .json(
            200,
            "How it ended.",
            refer("StopReceipt"),
            json!({
                "run_id": RUN, "outcome": "cancelled", "already_finished": false, "text_kept": 120,
                "events_after_stop": 1, "message_count": 2,
            }),
        )
        .stored()
        .problems(&["invalid_run_id", "invalid_session_id", "not_found"])
}

fn approvals() -> Operation {
    let post = Operation::new("POST", "/runs/{id}/approvals", "decide", TAG)
        .summary("Decide on the tool calls that a run waits for")
        .description(
            "A new run of the same session goes on; its `metadata` names the old one as `continues`.",
        )
        .id_in_path(RUN, "The run that asked.")
        .body::<Approvals>(vec![
            ("approve", json!({"approvals": [{"id": "call_1", "approved": true}]})),
            (
                "refuse",
                json!({
                    "approvals": [{"id": "call_1", "approved": false, "reason": "Not on a Friday."}],
                    "events": "all",
                }),
            ),
        ])
        .stored()
        .problems(START)
        .problems(&["not_found"]);
    streaming(post, any_frame())
}

fn feedback() -> Operation {
    Operation::new("POST", "/runs/{id}/feedback", "rate", TAG)
        .summary("Say what you think of an answer")
        .id_in_path(RUN, "The run.")
        .body::<Feedback>(vec![
            ("up", json!({"rating": "up"})),
            ("down", json!({"rating": "down", "comment": "Too long."})),
        ])
        .empty(204, "It is noted beside the answer.")
        .stored()
        .problems(&["invalid_run_id", "session_changed", "session_unreadable", "not_found"])
}
