//! `/sessions…`, `/usage`, `/admin/…` and `/memory…`.

use serde_json::{Value, json};

use super::operation::Operation;
use super::schemas::refer;
use crate::http::sessions::Rename;
use crate::sessions::index;

const TAG: &str = "sessions";
const ADMIN: &str = "administration";
const MEMORY: &str = "memory";
const SESSION: &str = "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d0";
const FACT: &str = "8f14e45fceea167a";

fn summary() -> Value {
    json!({
        "session_id": SESSION, "title": "The capital of France", "created_at": "2026-11-23T09:00:00Z",
        "updated_at": "2026-11-23T09:00:02Z", "message_count": 2,
    })
}

fn whole() -> Value {
    let mut session = summary();
    session["messages"] = json!([
        {"role": "user", "content": [{"text": "What is the capital of France?"}]},
        {
            "role": "assistant",
            "content": [{"text": "Paris."}],
            "metadata": {"model": "bedrock/example", "outcome": "complete"},
        },
    ]);
    session["branches"] = json!([]);
    session
}

pub(super) fn operations() -> Vec<Operation> {
    let mut all = own();
    all.extend(administration());
    all.extend(memory());
    all
}

fn listed(operation: Operation) -> Operation {
    operation
        .in_query("cursor", json!({"type": "string"}), "The `next_cursor` of the page before.")
        .in_query(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": index::MAX_PAGE, "default": index::PAGE}),
            "How many.",
        )
        .in_query("q", json!({"type": "string"}), "Words that must all occur in the conversation.")
        .json(200, "A page of the list.", refer("SessionList"), json!({"sessions": [summary()]}))
        .stored()
        .problems(&["invalid_field", "not_found"])
}

fn of_one(operation: Operation) -> Operation {
    operation.id_in_path(SESSION, "The session.").stored().problems(&[
        "invalid_session_id",
        "not_found",
        "session_unreadable",
        "session_changed",
    ])
}

fn deleting_all(operation: Operation) -> Operation {
    operation
        .json(
            200,
            "All of it is gone. Live runs were stopped first.",
            refer("Deleted"),
            json!({"deleted": 3}),
        )
        .stored()
        .problems(&["session_unreadable", "session_changed", "not_found"])
}

fn usage(operation: Operation) -> Operation {
    let sum = json!({"runs": 3, "input_tokens": 900, "output_tokens": 120, "cost_usd": 0.0045});
    let mut day = sum.clone();
    day["day"] = "2026-11-23".into();
    operation
        .in_query(
            "days",
            json!({"type": "integer", "minimum": 1, "maximum": 366, "default": 30}),
            "How many days.",
        )
        .json(
            200,
            "What was used.",
            refer("UsageReport"),
            json!({"currency": "USD", "days": [day], "total": sum}),
        )
        .stored()
        .problems(&["invalid_field", "invalid_session_id", "invalid_run_id", "not_found"])
}

fn own() -> Vec<Operation> {
    let export = of_one(Operation::new("GET", "/sessions/{id}/export", "exportSession", TAG))
        .summary("One conversation as a file")
        .in_query("format", json!({"enum": ["json", "md"], "default": "json"}), "The file's form.")
        .json(200, "The file.", refer("Session"), whole())
        .typed(
            200,
            "The file.",
            "text/markdown",
            json!({"type": "string"}),
            "# The capital of France\n\n## User\n\nWhat is the capital of France?\n".into(),
        )
        .header(200, "content-disposition", "The file's name.");
    let used = usage(Operation::new("GET", "/usage", "readUsage", TAG))
        .summary("What the caller's runs used and cost")
        .description("By day; or of one session, or of one run. Only one of the three can be asked for.")
        .in_query("session_id", refer("Id"), "A session.")
        .in_query("run_id", refer("Id"), "A run.")
        .problems(&["session_unreadable"]);
    vec![
        used,
        listed(Operation::new("GET", "/sessions", "listSessions", TAG))
            .summary("The caller's conversations, newest change first"),
        deleting_all(Operation::new("DELETE", "/sessions", "deleteSessions", TAG))
            .summary("Delete all of the caller's conversations"),
        of_one(Operation::new("GET", "/sessions/{id}", "readSession", TAG))
            .summary("One conversation with its messages")
            .json(200, "The conversation.", refer("Session"), whole()),
        of_one(Operation::new("PATCH", "/sessions/{id}", "renameSession", TAG))
            .summary("Rename a conversation")
            .body::<Rename>(vec![("title", json!({"title": "Capitals"}))])
            .json(200, "As it is now.", refer("SessionSummary"), summary()),
        of_one(Operation::new("DELETE", "/sessions/{id}", "deleteSession", TAG))
            .summary("Delete a conversation and the logs of its runs")
            .description("A live run is stopped first.")
            .empty(204, "It is gone."),
        export,
    ]
}

fn administration() -> Vec<Operation> {
    let user = |operation: Operation| {
        operation.in_path(
            "user",
            json!({"type": "string", "minLength": 1}),
            "ann",
            "The user, as the sign-in names them.",
        )
    };
    vec![
        user(listed(Operation::new("GET", "/admin/users/{user}/sessions", "listSessionsOfUser", ADMIN)))
            .summary("A user's conversations, without their messages"),
        user(deleting_all(Operation::new(
            "DELETE",
            "/admin/users/{user}/sessions",
            "deleteSessionsOfUser",
            ADMIN,
        )))
        .summary("Delete all conversations of a user"),
        user(of_one(Operation::new(
            "DELETE",
            "/admin/users/{user}/sessions/{id}",
            "deleteSessionOfUser",
            ADMIN,
        )))
        .summary("Delete one conversation of a user")
        .empty(204, "It is gone."),
        user(usage(Operation::new("GET", "/admin/users/{user}/usage", "readUsageOfUser", ADMIN)))
            .summary("What a user's runs used and cost, by day"),
    ]
}

fn memory() -> Vec<Operation> {
    vec![
        Operation::new("GET", "/memory", "listFacts", MEMORY)
            .summary("What the agent keeps about the caller")
            .json(
                200,
                "The facts.",
                refer("Facts"),
                json!({"facts": [{"id": FACT, "text": "Likes short answers.", "created_at": "2026-11-23T09:00:00Z"}]}),
            )
            .problems(&["not_found", "overloaded"]),
        Operation::new("DELETE", "/memory", "deleteFacts", MEMORY)
            .summary("Forget everything about the caller")
            .json(200, "It is forgotten.", refer("Deleted"), json!({"deleted": 1}))
            .problems(&["not_found", "overloaded"]),
        Operation::new("DELETE", "/memory/{id}", "deleteFact", MEMORY)
            .summary("Forget one fact")
            .in_path("id", json!({"type": "string", "minLength": 1}), FACT, "The fact.")
            .empty(204, "It is forgotten.")
            .problems(&["not_found", "overloaded"]),
    ]
}
