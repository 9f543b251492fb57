//! The dialects that others describe in full: OpenAI's responses, AgentCore, A2A and MCP. Here stands what this service
//! needs and adds.

use serde_json::{Map, Value, json};

use super::conversation::START;
use super::openai::ERROR;
use super::operation::Operation;
use super::problems::{ErrorForm, RUN_FAILED};
use super::schemas::refer;
use crate::dialects::{a2a, agentcore};

const RUN: &str = "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d1";
const SESSION: &str = "0197b6a2-5c1e-7d3a-9f62-2f1a5be0c9d0";

/// AgentCore's form of an error.
static AGENTCORE: ErrorForm = ErrorForm {
    kind: "application/json",
    schema: "AgentcoreError",
    example: |_, code, meaning| agentcore::error_body(meaning, code),
};
/// A2A's form of an error.
static A2A: ErrorForm = ErrorForm {
    kind: "application/json",
    schema: "A2aError",
    example: |status, code, meaning| a2a::error_body(status, meaning, code),
};
/// MCP's form of an error that answers no request.
static MCP: ErrorForm = ErrorForm {
    kind: "application/json",
    schema: "McpError",
    example: |status, code, meaning| {
        json!({"jsonrpc": "2.0", "id": null,
            "error": {"code": -32600, "message": meaning, "data": {"code": code, "status": status}}})
    },
};

const MESSAGE: &[&str] =
    &["attachment_too_large", "empty_message", "invalid_attachment", "message_too_long", "not_found"];

pub(super) fn operations() -> Vec<Operation> {
    let mut all = responses();
    all.extend(agentcore());
    all.extend(a2a());
    all.extend(mcp());
    all
}

/// A stream of which each frame has these fields beside its data.
fn frames(fields: &[&str], description: &str) -> Value {
    // Readers of event streams call a frame without a name `message`.
    let mut properties = json!({"data": {"type": "string"}, "event": {"const": "message"}});
    for field in fields {
        properties[field] = json!({"type": "string"});
    }
    json!({"description": description, "type": "object", "properties": properties, "required": ["data"],
        "additionalProperties": false})
}

fn responses() -> Vec<Operation> {
    let new = |method, path, id| Operation::new(method, path, id, "openai").errors_as(&ERROR).stored();
    let schema = json!({
        "type": "object",
        "properties": {
            "model": {"type": "string", "description": "`loquat`, or the id of the model behind it."},
            "input": {"description": "A text, or items.", "type": ["string", "array"], "items": {"type": "object"}},
            "previous_response_id": {"type": ["string", "null"], "description": "The response to go on from."},
            "conversation": {"type": ["string", "object", "null"], "description": "The session, by its id."},
            "store": {"type": ["boolean", "null"], "description": "`false`: nothing is kept."},
            "stream": {"type": ["boolean", "null"]},
            "background": {"type": ["boolean", "null"], "description": "Answered at once, read later."},
            "tools": {"type": ["array", "null"], "description": "Functions that the client runs."},
            "tool_choice": {"description": "`auto`, `none`, `required`, or a function by its name: forced once, where the \
                model can be."},
            "text": {"type": ["object", "null"], "description": "`format`: text, or JSON by a schema where the model can."},
        },
        "required": ["model", "input"],
    });
    let say = json!({"model": "loquat", "input": "What is the capital of France?"});
    let next =
        json!({"model": "loquat", "input": "And of Spain?", "previous_response_id": format!("resp_{RUN}")});
    let stream = frames(
        &["event"],
        "One event, named and with a `sequence_number` that `starting_after` takes; the thousandth part of it, rounded down, \
         is the number of the event in the run's log.",
    );
    let example =
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":999}\n\n";
    let of_id = |operation: Operation| {
        let schema = json!({"type": "string", "minLength": 1});
        operation.in_path("id", schema, &format!("resp_{RUN}"), "`resp_` and the run's id.").problems(&[
            "not_found",
            "store_unavailable",
            "invalid_value",
            "unknown_parameter",
        ])
    };
    vec![
        new("POST", "/v1/responses", "createResponse")
            .summary("OpenAI responses")
            .description(
                "A response is a run, and the responses that follow each other are a session. The agent's own tools are told as \
                 `mcp_call` items, calls that wait for consent as `mcp_approval_request`.",
            )
            .in_header("x-loquat-session-id", refer("Id"), "The conversation, as `conversation`.")
            .foreign_body(schema, vec![("message", say), ("next", next)])
            .json(200, "The response.", refer("OpenAiResponse"), response())
            .typed(200, "The response.", "text/event-stream", stream.clone(), example.into())
            .header(200, "x-loquat-run-id", "The run.")
            .problems(START)
            .problems(RUN_FAILED)
            .problems(MESSAGE)
            .problems(&[
                "invalid_session_id",
                "invalid_value",
                "missing_required_parameter",
                "model_not_found",
                "previous_response_not_found",
                "unknown_parameter",
                "unsupported_parameter",
            ]),
        of_id(new("GET", "/v1/responses/{id}", "readResponse"))
            .summary("A response as it is now, or its events")
            .in_query("stream", json!({"type": "boolean"}), "`true`: its events, then live.")
            .in_query("starting_after", json!({"type": "integer", "minimum": 0}), "The last `sequence_number` known.")
            .json(200, "The response.", refer("OpenAiResponse"), response())
            .typed(200, "The response.", "text/event-stream", stream, example.into()),
        of_id(new("POST", "/v1/responses/{id}/cancel", "cancelResponse"))
            .summary("Stops a response")
            .json(200, "The response, ended.", refer("OpenAiResponse"), response()),
    ]
}

fn response() -> Value {
    let text = json!({"type": "output_text", "text": "Paris.", "annotations": [], "logprobs": []});
    json!({
        "id": format!("resp_{RUN}"), "object": "response", "created_at": 1_795_424_400, "status": "completed",
        "model": "bedrock/example",
        "output": [{"type": "message", "id": format!("msg_{RUN}_0"), "role": "assistant", "status": "completed",
            "content": [text]}],
        "loquat": {"run_id": RUN, "session_id": SESSION, "outcome": "complete"},
    })
}

fn agentcore() -> Vec<Operation> {
    let new = |method, path, id| Operation::new(method, path, id, "agents");
    let invocation = json!({
        "type": "object",
        "properties": {
            "prompt": {"type": ["string", "array"], "items": {"type": "object"},
                "description": "A text, or Bedrock content blocks."},
            "session_id": {"type": "string"},
            "run_id": {"type": "string", "description": "Alone: reads this run again, after event `after`."},
            "after": {"type": "integer", "minimum": 0},
            "approvals": {"type": "array", "items": {"type": "object"},
                "description": "Decides on the open calls of `run_id`."},
            "on_busy": {"enum": ["reject", "queue", "interrupt"]},
            "stream": {"type": "boolean", "description": "Else as the header `accept` says."},
        },
        "additionalProperties": false,
    });
    let answer = json!({
        "type": "object",
        "properties": {
            "result": {"type": "object"},
            "stop_reason": {"type": "string"},
            "session_id": refer("Id"),
            "run_id": refer("Id"),
            "usage": {"type": "object"},
            "tools": {"type": "array"},
            "approvals": {"type": "array"},
        },
        "required": ["result", "stop_reason", "session_id", "run_id", "usage"],
        "additionalProperties": false,
    });
    let said = json!({
        "result": {"role": "assistant", "content": [{"text": "Paris."}]}, "stop_reason": "complete",
        "session_id": SESSION, "run_id": RUN, "usage": {"inputTokens": 12, "outputTokens": 2, "totalTokens": 14},
    });
    let ping = json!({
        "type": "object",
        "properties": {"status": {"enum": ["Healthy", "HealthyBusy"]}, "time_of_last_update": {"type": "integer"}},
        "required": ["status", "time_of_last_update"],
        "additionalProperties": false,
    });
    let event = "data: {\"event\":{\"messageStart\":{\"role\":\"assistant\"}}}\n\n";
    vec![
        new("POST", "/invocations", "invoke")
            .errors_as(&AGENTCORE)
            .summary("Bedrock AgentCore Runtime invokes the agent")
            .in_header("x-amzn-bedrock-agentcore-runtime-session-id", refer("Id"), "The session.")
            .foreign_body(invocation, vec![("prompt", json!({"prompt": "What is the capital of France?"}))])
            .json(200, "The answer.", answer, said)
            .typed(
                200,
                "The answer.",
                "text/event-stream",
                frames(
                    &["id"],
                    "One event: Bedrock's Converse stream in `event`, and what it has no place for.",
                ),
                event.into(),
            )
            .header(200, "x-amzn-bedrock-agentcore-runtime-session-id", "The session.")
            .stored()
            .problems(START)
            .problems(RUN_FAILED)
            .problems(MESSAGE)
            .problems(&["invalid_session_id", "unknown_field"]),
        new("GET", "/ping", "ping")
            .public()
            .summary("Whether runs are under way, and since when that is so")
            .json(
                200,
                "Yes or no.",
                ping,
                json!({"status": "Healthy", "time_of_last_update": 1_795_424_400}),
            ),
    ]
}

fn a2a() -> Vec<Operation> {
    let new = |method, path, id| {
        Operation::new(method, path, id, "agents").errors_as(&A2A).problems(&["version_not_supported"])
    };
    let schema = json!({
        "type": "object",
        "properties": {"message": {
            "type": "object",
            "properties": {
                "messageId": {"type": "string", "description": "The same id again is the same task."},
                "contextId": {"type": "string", "description": "The session."},
                "taskId": {"type": "string", "description": "A task that waits for consent."},
                "role": {"const": "ROLE_USER"},
                "parts": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            },
            "required": ["messageId", "role", "parts"],
        }},
        "required": ["message"],
    });
    let said = json!({"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": "What is the capital of France?"}]});
    let task = json!({"id": RUN, "contextId": SESSION, "status": {"state": "TASK_STATE_COMPLETED"},
        "artifacts": [{"artifactId": "answer", "parts": [{"text": "Paris."}]}], "metadata": {"loquat": {}}});
    let frame = "data: {\"task\":{\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}\n\n";
    let stream = || frames(&["event"], "One `StreamResponse`, or with the name `error` an error.");
    let send = |operation: Operation| {
        operation
            .foreign_body(schema.clone(), vec![("message", json!({"message": said}))])
            .stored()
            .problems(START)
            .problems(MESSAGE)
            .problems(&[
                "content_type_not_supported",
                "push_notification_not_supported",
                "unsupported_operation",
            ])
    };
    let of_task = |operation: Operation| {
        operation
            .in_path("id", json!({"type": "string", "minLength": 1}), RUN, "The run.")
            .stored()
            .problems(&["not_found", "method_not_found"])
    };
    let card = json!({"name": "Loquat", "supportedInterfaces":
        [{"url": "https://agent.example/a2a", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"}]});
    vec![
        Operation::new("GET", "/.well-known/agent-card.json", "agentCard", "agents")
            .public()
            .summary("A2A: who the agent is and where it is spoken to")
            .json(
                200,
                "The card.",
                json!({"type": "object", "required": ["name", "supportedInterfaces"]}),
                card,
            ),
        send(new("POST", "/a2a/message:send", "a2aSend"))
            .summary("A2A: a message, answered by its task when that has ended")
            .json(200, "The task.", json!({"type": "object", "required": ["task"]}), json!({"task": task})),
        send(new("POST", "/a2a/message:stream", "a2aStream"))
            .summary("A2A: a message, answered as it is written")
            .typed(200, "The task's events.", "text/event-stream", stream(), frame.into()),
        of_task(new("GET", "/a2a/tasks/{id}", "a2aTask")).summary("A2A: a task as it is now").json(
            200,
            "The task.",
            refer("A2aTask"),
            task.clone(),
        ),
        of_task(new("POST", "/a2a/tasks/{id}:cancel", "a2aCancel"))
            .summary("A2A: stops a task")
            .problems(&["task_not_cancelable"])
            .json(200, "The task, ended.", refer("A2aTask"), task),
        of_task(new("POST", "/a2a/tasks/{id}:subscribe", "a2aSubscribe"))
            .summary("A2A: a task as it is now, then what comes")
            .problems(&["unsupported_operation"])
            .typed(200, "The task's events.", "text/event-stream", stream(), frame.into()),
    ]
}

fn mcp() -> Vec<Operation> {
    let schema = json!({
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "integer"]}, "method": {"type": "string"},
            "params": {"type": "object"}},
        "required": ["jsonrpc"],
    });
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "ask", "arguments": {"message": "What is the capital of France?"}}});
    let told = json!({"answer": "Paris.", "session_id": SESSION, "run_id": RUN, "outcome": "complete"});
    let result =
        json!({"content": [{"type": "text", "text": "Paris."}], "structuredContent": told, "isError": false});
    let answer = json!({"type": "object", "required": ["jsonrpc", "id"]});
    let stream = frames(
        &["id", "event"],
        "Notifications of progress, then the answer; an `id` is a cursor for `GET /mcp`.",
    );
    let frame = "id: W10\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n";
    let new = |method, id| Operation::new(method, "/mcp", id, "agents").errors_as(&MCP).stored();
    vec![
        new("POST", "mcp")
            .summary("The agent as one tool of a Model Context Protocol server")
            .description("Streamable HTTP without sessions: revision 2026-07-28, and those with `initialize` back to 2025-03-26.")
            .foreign_body(schema, vec![("call", call)])
            .json(200, "The answer.", answer, json!({"jsonrpc": "2.0", "id": 1, "result": result}))
            .typed(200, "The answer.", "text/event-stream", stream.clone(), frame.into())
            .empty(202, "A notification was taken.")
            .problems(START)
            .problems(&["invalid_request"]),
        new("GET", "mcpResume")
            .summary("The rest of an answer whose connection was lost")
            .in_header("last-event-id", json!({"type": "string"}), "The last `id`.")
            .typed(200, "The rest.", "text/event-stream", stream, frame.into())
            .problems(&["not_found", "method_not_allowed"]),
    ]
}

/// The schemas.
pub(super) fn schemas() -> Map<String, Value> {
    let object = |required: &[&str], description: &str| json!({"description": description, "type": "object", "required": required});
    let mut all = Map::new();
    let response = object(
        &["id", "object", "created_at", "status", "model", "output", "loquat"],
        "A response, in OpenAI's form.",
    );
    all.insert("OpenAiResponse".into(), response);
    all.insert(
        "AgentcoreError".into(),
        object(&["error", "error_type", "message"], "An error in AgentCore's form."),
    );
    all.insert("A2aError".into(), object(&["error"], "An error as `google.rpc.Status`."));
    all.insert("A2aTask".into(), object(&["id", "contextId", "status"], "A task, in A2A's form."));
    all.insert("McpError".into(), object(&["jsonrpc", "error"], "An error of JSON-RPC."));
    all
}
