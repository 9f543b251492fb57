//! The schemas of answers. Strict (`additionalProperties: false`) where the server writes every member, so that a test
//! notices a member that is not described.

use serde_json::{Map, Value, json};

/// A reference to a schema of this file.
pub(super) fn refer(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object with all its members; those ending in `?` are optional.
fn object<const N: usize>(description: &str, members: [(&str, Value); N]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in members {
        let bare = name.trim_end_matches('?');
        if bare == name {
            required.push(name.to_owned());
        }
        properties.insert(bare.to_owned(), schema);
    }
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn count(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

fn list(of: &str) -> Value {
    json!({"type": "array", "items": refer(of)})
}

const OUTCOMES: [&str; 10] = [
    "complete",
    "cancelled",
    "max_tokens",
    "max_steps",
    "max_seconds",
    "stop_sequence",
    "refusal",
    "guardrail",
    "interrupted",
    "failed",
];

/// All of them, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    for part in [common(), stored(), frames()] {
        if let Value::Object(part) = part {
            all.extend(part);
        }
    }
    all
}

fn common() -> Value {
    json!({
        "Id": {
            "type": "string",
            "description": "A session's or a run's id. Clients may make their own; the server makes UUIDs.",
            "pattern": crate::ids::PATTERN,
        },
        "Problem": {
            "description": "An error (RFC 9457). `code` is stable; `detail` is for people and may change.",
            "type": "object",
            "properties": {
                "type": {"const": "about:blank"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
                "code": {"type": "string"},
                "run_id": {"$ref": "#/components/schemas/Id"},
            },
            "required": ["type", "title", "status", "detail", "code"],
            "additionalProperties": false,
        },
        "Health": object("Whether the service takes work.", [("status", json!({"enum": ["ok", "draining"]}))]),
        "Deleted": object("How much was deleted.", [("deleted", count("How many."))]),
        "Usage": object("Tokens. Cached ones are not part of `input_tokens`.", [
            ("input_tokens", count("Read anew.")),
            ("output_tokens", count("Written, reasoning included.")),
            ("cache_read_tokens?", count("Read from the provider's prompt cache.")),
            ("cache_write_tokens?", count("Written to the provider's prompt cache.")),
            ("cost_usd?", cost()),
        ]),
        "UsageReport": usage_report(),
        "StopReceipt": object("How a run ended that was asked to stop.", [
            ("run_id", refer("Id")),
            ("outcome", json!({"enum": OUTCOMES})),
            ("already_finished", flag("Whether it had ended before.")),
            ("text_kept", count("Characters of text that are kept: what was shown.")),
            ("events_after_stop", count("Events that came after the call.")),
            ("message_count?", count("Messages that the session holds now.")),
        ]),
        "Fact": object("One thing that the agent keeps about the caller.", [
            ("id", text("Names it among the caller's facts.")),
            ("text", text("What is known.")),
            ("created_at", time("Since when.")),
        ]),
        "Facts": object("What the agent keeps about the caller, oldest first.", [("facts", list("Fact"))]),
        "PageConfig": page_config(),
    })
}

fn cost() -> Value {
    json!({"type": "number", "minimum": 0, "description": "US dollars, where the model's prices are known."})
}

/// A sum of tokens and costs, of one thing or of several.
fn sum<const N: usize>(description: &str, members: [(&str, Value); N]) -> Value {
    let mut schema = object(
        description,
        [
            ("input_tokens", count("Read anew.")),
            ("output_tokens", count("Written, reasoning included.")),
            ("cache_read_tokens?", count("Read from the provider's prompt cache.")),
            ("cache_write_tokens?", count("Written to the provider's prompt cache.")),
            ("cost_usd?", cost()),
        ],
    );
    for (name, member) in members {
        schema["properties"][name] = member;
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(name.into());
        }
    }
    schema
}

fn usage_report() -> Value {
    let currency = || ("currency", json!({"const": "USD"}));
    let runs = || ("runs", count("Runs."));
    let of = |items: Value| json!({"type": "array", "items": items});
    let day = sum("A day.", [("day", json!({"type": "string", "format": "date"})), runs()]);
    let call = [("step", count("The number of the call, from 1.")), ("model", text("Which answered."))];
    json!({
        "description": "What runs used and cost: by day, by run of a session, or by model call of a run.",
        "oneOf": [
            object("By day (UTC), newest first.", [
                currency(), ("days", of(day)), ("total", sum("Of all days.", [runs()])),
            ]),
            object("Of a session.", [
                currency(),
                ("session_id", refer("Id")),
                ("runs", of(sum("A run.", [("run_id", refer("Id"))]))),
                ("total", sum("Of the session.", [runs()])),
            ]),
            object("Of a run.", [
                currency(),
                ("run_id", refer("Id")),
                ("session_id", refer("Id")),
                ("calls", of(sum("A model call.", call))),
                ("total", sum("Of the run.", [])),
            ]),
        ],
    })
}

fn page_config() -> Value {
    object(
        "What a client needs to know before anybody has signed in.",
        [
            ("version", text("Of the server.")),
            (
                "agent",
                object(
                    "How the agent presents itself.",
                    [
                        ("name", text("Its name.")),
                        ("greeting?", text("What it says first.")),
                        ("suggestions", json!({"type": "array", "items": {"type": "string"}})),
                        ("logo?", text("The address of a picture.")),
                        ("accent?", text("A colour.")),
                    ],
                ),
            ),
            (
                "auth",
                object(
                    "How people sign in.",
                    [
                        ("type", json!({"enum": ["none", "cognito", "oidc", "api_key"]})),
                        ("authority?", text("The issuer.")),
                        ("client_id?", text("The page's client at the issuer.")),
                        ("scope?", text("What the page asks for.")),
                        ("api_token?", json!({"enum": ["id", "access"]})),
                        ("region?", text("Of the user pool.")),
                        ("user_pool_id?", text("The user pool.")),
                        ("user_pool_client_id?", text("The page's client at the pool.")),
                        ("user_pool_endpoint?", text("Where the pool is, if not at AWS.")),
                        ("login?", json!({"enum": ["redirect", "form"]})),
                        ("domain?", text("Of the pool's own sign-in page.")),
                    ],
                ),
            ),
            ("api_base", text("What stands before the API's paths.")),
            (
                "model",
                object(
                    "The model that answers.",
                    [
                        ("id", text("Its id.")),
                        ("name", text("Its name for people.")),
                        ("demo", flag("Whether it is the small built-in one.")),
                        ("note?", text("What people should know about it.")),
                        ("installed", flag("Whether it is there.")),
                    ],
                ),
            ),
            (
                "attachments",
                object(
                    "What can be attached to a message.",
                    [
                        ("images", flag("Pictures.")),
                        ("documents", flag("Documents.")),
                        ("max_bytes", count("The largest file.")),
                    ],
                ),
            ),
            ("limits", object("Limits.", [("message_bytes", count("The longest message, in bytes."))])),
            ("sessions", flag("Whether conversations are kept.")),
            ("memory", flag("Whether facts about the caller are kept; `GET /memory` tells them.")),
        ],
    )
}

/// What both a list and a whole session say.
fn heading() -> [(&'static str, Value); 5] {
    [
        ("session_id", refer("Id")),
        ("title", text("The first line of the first message, until it is renamed.")),
        ("created_at", time("When it began.")),
        ("updated_at", time("When it changed last.")),
        ("message_count", count("How many messages are stored.")),
    ]
}

fn summary() -> Value {
    let [id, title, created, updated, messages] = heading();
    let live = ("run_id?", refer("Id"));
    object("What a list shows of a session.", [id, title, created, updated, messages, live])
}

fn session() -> Value {
    let [id, title, created, updated, messages] = heading();
    let pending = object(
        "The run whose tool calls wait for a decision.",
        [("run_id", refer("Id")), ("expires_at", time("After this the question is void."))],
    );
    let branch = object(
        "What an edit replaced.",
        [
            ("at", count("How many messages stood before it.")),
            ("messages", list("Message")),
            ("replaced_at", time("When.")),
        ],
    );
    object(
        "A session with its messages.",
        [
            id,
            title,
            created,
            updated,
            messages,
            ("run?", object("The run that is live.", [("id", refer("Id"))])),
            ("pending?", pending),
            ("messages", list("Message")),
            ("branches", json!({"type": "array", "items": branch})),
        ],
    )
}

fn stored() -> Value {
    json!({
        "SessionSummary": summary(),
        "SessionList": object("A page of a list, newest change first.", [
            ("sessions", list("SessionSummary")),
            ("next_cursor?", text("Where the next page begins; missing on the last.")),
        ]),
        "Session": session(),
        "Message": {
            "description": "A stored message, in the form of Bedrock Converse. One turn may be several: user, \
                assistant with `toolUse`, user with `toolResult`, assistant.",
            "type": "object",
            "properties": {
                "role": {"enum": ["user", "assistant"]},
                "content": {"type": "array", "items": refer("ContentBlock")},
                "metadata": {
                    "description": "What the server notes beside the message; never sent to a model.",
                    "type": "object",
                    "properties": {
                        "created_at": time("When."),
                        "run_id": refer("Id"),
                        "model": {"type": "string"},
                        "outcome": {"enum": OUTCOMES},
                        "usage": refer("Usage"),
                        "error": {"type": ["object", "string"]},
                        "feedback": {"type": "object"},
                    },
                },
            },
            "required": ["role", "content"],
            "additionalProperties": false,
        },
        "ContentBlock": {
            "description": "An object with one member, which names the block's kind. Kinds that this version does not \
                know, written by other programs, are passed on as they are.",
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "reasoningContent": {"type": "object"},
                "toolUse": {
                    "type": "object",
                    "properties": {"toolUseId": {"type": "string"}, "name": {"type": "string"}, "input": {}},
                    "required": ["toolUseId", "name", "input"],
                },
                "toolResult": {
                    "type": "object",
                    "properties": {
                        "toolUseId": {"type": "string"},
                        "status": {"enum": ["success", "error"]},
                        "content": {"type": "array", "items": {"type": "object"}},
                    },
                    "required": ["toolUseId", "content"],
                },
                "image": {
                    "type": "object",
                    "properties": {
                        "format": {"enum": ["png", "jpeg", "gif", "webp"]},
                        "source": {"type": "object"},
                    },
                    "required": ["format", "source"],
                },
                "document": {
                    "type": "object",
                    "properties": {
                        "format": {"type": "string"},
                        "name": {"type": "string"},
                        "source": {"type": "object"},
                    },
                    "required": ["format", "name", "source"],
                },
            },
        },
    })
}

/// The data of the frames of the `chat` dialect, by the frame's name.
fn frames() -> Value {
    let call = || [("id", text("The call.")), ("name", text("The tool.")), ("input", json!({}))];
    let [id, name, input] = call();
    let [approval_id, approval_name, approval_input] = call();
    let [client_id, client_name, client_input] = call();
    json!({
        "FrameMetadata": object("`event: metadata`, always the first. With `events=text` only `session_id`.", [
            ("session_id", refer("Id")),
            ("run_id?", refer("Id")),
            ("model?", text("The model that answers.")),
            ("history_length?", count("Stored messages before this turn.")),
            ("continues?", refer("Id")),
        ]),
        "FrameText": object("Without a name: a piece of the answer.", [("text", text("The piece."))]),
        "FrameReasoning": object("`event: reasoning`: a piece of what the model thinks.", [
            ("reasoning", text("The piece.")),
        ]),
        "FrameToolStart": object("`event: tool_start`: the model begins to write a call.", [
            ("id", text("The call.")), ("name", text("The tool.")),
        ]),
        "FrameToolInput": object("`event: tool_input`: a piece of the input's JSON.", [
            ("id", text("The call.")), ("delta", text("The piece.")),
        ]),
        "FrameToolCall": object("`event: tool_call`: the input is whole.", [id, name, input]),
        "FrameToolProgress": object("`event: tool_progress`.", [
            ("id", text("The call.")),
            ("message?", text("For people.")),
            ("progress?", json!({"type": "number"})),
            ("total?", json!({"type": "number"})),
            ("data?", json!({})),
        ]),
        "FrameToolResult": object("`event: tool_result`.", [
            ("id", text("The call.")),
            ("name", text("The tool.")),
            ("output", json!({"description": "Text, or JSON."})),
            ("is_error", flag("Whether it failed.")),
            ("duration_ms", count("How long it took.")),
        ]),
        "FrameApproval": object("`event: approval`: a call waits for `POST /runs/{id}/approvals`.", [
            approval_id, approval_name, approval_input, ("reason?", text("Why consent is needed.")),
            ("expires_at?", time("After this the question is void.")),
        ]),
        "FrameClientTool": object("`event: client_tool`: a call waits for the client of another protocol, whose tool it is.", [
            client_id, client_name, client_input,
        ]),
        "FrameCustom": object("`event: custom`: a tool tells the client something.", [
            ("name", text("The kind.")), ("data", json!({})),
        ]),
        "FrameReset": object("`event: reset`: what the current model call has said so far is void.", [
            ("reason", text("Why.")),
        ]),
        "FrameUsage": object("`event: usage`: once a model call.", [
            ("step", count("The number of the call, from 1.")),
            ("model", text("Which answered.")),
            ("input_tokens", count("Read anew.")),
            ("output_tokens", count("Written.")),
            ("cache_read_tokens?", count("Read from the cache.")),
            ("cache_write_tokens?", count("Written to the cache.")),
            ("stop_reason", text("Why the call stopped.")),
            ("cost_usd?", cost()),
            ("totals_usd?", object("What was spent by then, this call included.", [
                ("run", cost()), ("session?", cost()), ("day?", cost()),
            ])),
        ]),
        "FrameContinue": object("`event: continue`: this answer ends; read on at `GET /runs/{id}/events`.", [
            ("run_id", refer("Id")), ("after", count("The last event of this answer.")),
        ]),
        "FrameError": object("`event: error`: the run failed. The last frame.", [
            ("error", text("For people.")),
            ("code", text("For programs.")),
            ("retryable", flag("Whether trying again may work.")),
        ]),
        "FrameDone": object("`event: done`: the run ended. The last frame. With `events=text` empty.", [
            ("outcome?", json!({"enum": OUTCOMES})),
            ("message_count?", count("Stored messages after the turn.")),
            ("usage?", refer("Usage")),
        ]),
    })
}

/// One frame of a stream, as readers of event streams hand it over: `event`, `data` (JSON text), `id`.
pub(super) fn frame() -> Value {
    let named = [
        ("metadata", "FrameMetadata"),
        ("reasoning", "FrameReasoning"),
        ("tool_start", "FrameToolStart"),
        ("tool_input", "FrameToolInput"),
        ("tool_call", "FrameToolCall"),
        ("tool_progress", "FrameToolProgress"),
        ("tool_result", "FrameToolResult"),
        ("approval", "FrameApproval"),
        ("client_tool", "FrameClientTool"),
        ("custom", "FrameCustom"),
        ("reset", "FrameReset"),
        ("usage", "FrameUsage"),
        ("continue", "FrameContinue"),
        ("error", "FrameError"),
        ("done", "FrameDone"),
    ];
    let one = |name: Option<&str>, schema: &str| {
        let mut frame = json!({
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "The cursor."},
                "data": {
                    "type": "string", "contentMediaType": "application/json", "contentSchema": refer(schema),
                },
            },
            "required": ["data"],
            "additionalProperties": false,
        });
        // Readers of event streams call a frame without a name `message`.
        frame["properties"]["event"] = json!({"const": name.unwrap_or("message")});
        if name.is_some() {
            frame["required"] = json!(["event", "data"]);
        }
        frame
    };
    let mut kinds = vec![one(None, "FrameText")];
    kinds.extend(named.into_iter().map(|(name, schema)| one(Some(name), schema)));
    json!({"description": "One frame of the stream.", "oneOf": kinds})
}
