//! Log lines as one JSON object each, with the field names of Powertools for AWS Lambda.

use std::io::Write as _;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::scope;

/// Writes one line an event to standard error.
pub(super) struct JsonLayer {
    service: String,
    function: Option<String>,
}

impl JsonLayer {
    pub(super) fn new(service: String, function: Option<String>) -> Self {
        Self { service, function }
    }

    /// The line of an event, as an ordered list of fields.
    fn line(&self, event: &Event<'_>) -> Vec<u8> {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let mut line = Line::new();
        line.text("level", meta.level().as_str());
        line.text("location", &format!("{}:{}", meta.target(), meta.line().unwrap_or_default()));
        line.text("message", &fields.message);
        line.text("timestamp", &timestamp());
        line.text("service", &self.service);
        if let Some(function) = &self.function {
            line.text("function_name", function);
        }
        if let Some(scope) = scope::current() {
            if let Some(invocation) = &scope.invocation {
                line.value("cold_start", &Value::Bool(invocation.cold_start));
                line.text("function_request_id", &invocation.request_id);
                if let Some(trace) = &invocation.xray_trace_id {
                    line.text("xray_trace_id", root(trace));
                }
            }
            if let Some(run) = &scope.run {
                let own = |name: &str| fields.others.iter().any(|(known, _)| *known == name);
                if !own("run_id") {
                    line.text("run_id", &run.run_id);
                }
                if !own("session_id") {
                    line.text("session_id", &run.session_id);
                }
                if let Some(user) = &run.user {
                    line.text("user", user);
                }
            }
        }
        for (name, value) in &fields.others {
            line.value(name, value);
        }
        line.end()
    }
}

impl<S: Subscriber> Layer<S> for JsonLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = self.line(event);
        // One write, so that lines of several threads do not mix. A log that cannot be written has nobody to tell.
        let _ = std::io::stderr().lock().write_all(&line);
    }
}

/// The trace alone, as Powertools tells it: `1-…` of `Root=1-…;Parent=…;Sampled=1`.
fn root(header: &str) -> &str {
    header.split(';').find_map(|part| part.trim().strip_prefix("Root=")).unwrap_or(header)
}

/// RFC 3339 with milliseconds, UTC.
fn timestamp() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A JSON object whose fields keep their order.
struct Line(Vec<u8>);

impl Line {
    fn new() -> Self {
        Self(Vec::with_capacity(512))
    }

    fn key(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        // Writing to a vector cannot fail, and texts and JSON values have a JSON form.
        let _ = serde_json::to_writer(&mut self.0, name);
        self.0.push(b':');
    }

    fn text(&mut self, name: &str, text: &str) {
        self.key(name);
        let _ = serde_json::to_writer(&mut self.0, text);
    }

    fn value(&mut self, name: &str, value: &Value) {
        self.key(name);
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // The names of the line's own fields are not given twice.
            ("level", value) => self.others.push(("field_level", value)),
            ("location", value) => self.others.push(("field_location", value)),
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.add(field, Value::String(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::super::scope::{InvocationFacts, RunFacts, Scope};
    use super::*;

    /// Keeps the lines instead of writing them.
    struct Kept(JsonLayer, Arc<Mutex<Vec<Vec<u8>>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.1.lock().push(self.0.line(event));
        }
    }

    #[tokio::test]
    async fn a_line_says_what_its_task_works_for() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let layer = Kept(JsonLayer::new("agent".into(), Some("fn-1".into())), Arc::clone(&lines));
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let scope = Scope {
            invocation: Some(Arc::new(InvocationFacts {
                request_id: "req-1".into(),
                xray_trace_id: Some(
                    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1".into(),
                ),
                cold_start: true,
            })),
            run: Some(Arc::new(RunFacts::new("run-1".into(), "session-1".into(), Some("ann@example.com")))),
            ..Scope::default()
        };
        scope::enter(Arc::new(scope), async {
            tracing::warn!(model = "openai/x", attempt = 2_u32, run_id = "own", "quote \" and\nline");
        })
        .await;
        tracing::info!("outside");
        let lines: Vec<Value> =
            lines.lock().iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        let first = &lines[0];
        let location = first["location"].as_str().unwrap();
        assert!(location.starts_with("loquat_server::telemetry::json::tests:"), "{location}");
        for (name, value) in [
            ("level", Value::from("WARN")),
            ("message", "quote \" and\nline".into()),
            ("service", "agent".into()),
            ("function_name", "fn-1".into()),
            ("cold_start", true.into()),
            ("function_request_id", "req-1".into()),
            ("xray_trace_id", "1-5759e988-bd862e3fe1be46a994272793".into()),
            ("run_id", "own".into()),
            ("session_id", "session-1".into()),
            ("user", scope::hashed("ann@example.com").into()),
            ("model", "openai/x".into()),
            ("attempt", 2.into()),
        ] {
            assert_eq!(first[name], value, "{name}");
        }
        let time = first["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert!(!first.to_string().contains("ann@"));
        assert_eq!(lines[1].get("run_id"), None);
    }
}
