//! Routes about the service itself.

use serde_json::{Value, json};

use super::operation::Operation;
use super::schemas::refer;

const TAG: &str = "service";

fn page_config() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "agent": {"name": "Loquat", "suggestions": ["What can you do?"]},
        "auth": {"type": "none"},
        "api_base": "",
        "model": {"id": "bedrock/example", "name": "bedrock/example", "demo": false, "installed": true},
        "attachments": {"images": true, "documents": true, "max_bytes": 1_048_576},
        "limits": {"message_bytes": 65_536},
        "sessions": true,
        "memory": false,
    })
}

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("GET", "/health", "health", TAG)
            .public()
            .summary("Whether the service takes work")
            .json(200, "It does.", refer("Health"), json!({"status": "ok"}))
            .json(503, "It is about to stop.", refer("Health"), json!({"status": "draining"})),
        Operation::new("GET", "/config.json", "pageConfig", TAG)
            .public()
            .summary("What a client needs to know before anybody has signed in")
            .json(200, "The settings.", refer("PageConfig"), page_config()),
        Operation::new("GET", "/metrics", "metrics", TAG)
            .summary("Counts of everything, for Prometheus")
            .description(
                "Where people sign in it is for an administrator, and does not exist for others; or for whoever has \
                 the token that is configured for it.",
            )
            .typed(
                200,
                "The metrics.",
                "text/plain",
                json!({"type": "string"}),
                "# TYPE loquat_runs_live gauge\nloquat_runs_live 0\n".into(),
            )
            .problems(&["not_found", "unauthorized"]),
        Operation::new("GET", "/openapi.json", "describe", TAG).public().summary("This document").json(
            200,
            "The description of the API.",
            json!({"type": "object", "required": ["openapi", "info", "paths"]}),
            json!({"openapi": "3.1.0", "info": {"title": "Loquat", "version": "0.1.0"}, "paths": {}}),
        ),
    ]
}
