//! CloudWatch metrics by log lines: the Embedded Metric Format. CloudWatch reads them from the function's log, so
//! nothing is called and nothing waits. A line goes out before the last event of its run: after that Lambda freezes.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::tally::RunRecord;

/// Where lines go.
type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Writes metric lines.
#[derive(Clone)]
pub struct Emf {
    namespace: String,
    service: String,
    sink: Sink,
}

impl fmt::Debug for Emf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emf").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// One metric of a line: name, unit, value.
type Figure = (&'static str, &'static str, Value);

fn count(name: &'static str, n: impl Into<Value>) -> Figure {
    (name, "Count", n.into())
}

impl Emf {
    /// To standard output, where Lambda takes log lines from.
    #[must_use]
    pub fn new(namespace: String, service: String) -> Self {
        let sink = Arc::new(|line: &[u8]| {
            let mut out = std::io::stdout().lock();
            // One write, so that lines do not mix. What cannot be written has nobody to be told to.
            let _ = out.write_all(line).and_then(|()| out.flush());
        });
        Self { namespace, service, sink }
    }

    /// To somebody else.
    #[must_use]
    pub fn with_sink(namespace: &str, service: &str, sink: Sink) -> Self {
        Self { namespace: namespace.to_owned(), service: service.to_owned(), sink }
    }

    /// The line of a run that ended. `ChatRequests`, `ChatResponses` and `ChatErrors` are the reference's.
    pub(crate) fn run(&self, run: &RunRecord) {
        let mut figures = vec![
            count("ChatRequests", 1),
            if run.failed { count("ChatErrors", 1) } else { count("ChatResponses", 1) },
            ("RunTime", "Milliseconds", run.total_ms.into()),
            count("InputTokens", run.usage.input_tokens),
            count("OutputTokens", run.usage.output_tokens),
            count("CacheReadTokens", run.usage.cache_read_tokens),
            count("CacheWriteTokens", run.usage.cache_write_tokens),
            count("ToolCalls", run.tools),
            count("Retries", run.retries),
            count("Resets", run.resets),
        ];
        if let Some(first) = run.first_token_ms {
            figures.push(("FirstTokenTime", "Milliseconds", first.into()));
        }
        if run.tools > 0 {
            figures.push(("ToolTime", "Milliseconds", run.tool_ms.into()));
        }
        if let Some(cost) = run.cost_usd {
            figures.push(("Cost", "None", cost.into()));
        }
        if let Some(cost) = run.session_cost_usd {
            figures.push(("SessionCost", "None", cost.into()));
        }
        if let Some(cost) = run.day_cost_usd {
            figures.push(("UserDayCost", "None", cost.into()));
        }
        // Properties: to be searched for, never a dimension, of which each value would be a metric of its own.
        let mut more = json!({
            "model": run.model, "outcome": run.outcome, "run_id": run.run_id, "session_id": run.session_id,
        });
        if let Some(user) = &run.user {
            more["user"] = user.as_str().into();
        }
        self.write(&figures, more);
    }

    /// A message that began no run.
    pub(crate) fn refused(&self, code: &str) {
        self.write(&[count("ChatRequests", 1), count("ChatRefused", 1)], json!({"code": code}));
    }

    /// Something that is counted by itself.
    pub(crate) fn one(&self, name: &'static str) {
        self.write(&[count(name, 1)], json!({}));
    }

    fn write(&self, figures: &[Figure], more: Value) {
        let names: Vec<Value> =
            figures.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut line = match more {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        line.insert(
            "_aws".into(),
            json!({
                "Timestamp": jiff::Timestamp::now().as_millisecond(),
                "CloudWatchMetrics": [
                    {"Namespace": self.namespace, "Dimensions": [["service"]], "Metrics": names},
                ],
            }),
        );
        line.insert("service".into(), self.service.as_str().into());
        for (name, _, value) in figures {
            line.insert((*name).to_owned(), value.clone());
        }
        let mut bytes = Value::Object(line).to_string().into_bytes();
        bytes.push(b'\n');
        (self.sink)(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use loquat_agent::event::Usage;
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn lines_are_what_the_published_schema_says() {
        let lines = Arc::new(Mutex::new(Vec::<u8>::new()));
        let kept = Arc::clone(&lines);
        let emf = Emf::with_sink("Chat", "agent", Arc::new(move |line| kept.lock().extend_from_slice(line)));
        let run = RunRecord {
            model: "openai/x".into(),
            outcome: "complete",
            failed: false,
            code: String::new(),
            run_id: "r".into(),
            session_id: "s".into(),
            user: Some("0123456789abcdef".into()),
            usage: Usage { input_tokens: 10, output_tokens: 5, cache_read_tokens: 2, cache_write_tokens: 1 },
            cost_usd: Some(0.000_25),
            session_cost_usd: Some(0.001),
            day_cost_usd: Some(0.25),
            first_token_ms: Some(120),
            total_ms: 900,
            tool_ms: 40,
            tools: 2,
            retries: 1,
            resets: 1,
        };
        emf.run(&run);
        let unpriced =
            RunRecord { cost_usd: None, session_cost_usd: None, day_cost_usd: None, user: None, ..run };
        emf.run(&RunRecord { failed: true, first_token_ms: None, tools: 0, ..unpriced });
        emf.refused("session_busy");
        emf.one("Resumes");

        let schema: Value = serde_json::from_str(include_str!("emf_schema.json")).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let text = String::from_utf8(lines.lock().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        for line in &lines {
            schema.validate(line).unwrap();
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "Chat");
            assert_eq!(line["service"], "agent");
            // Every name it declares is a number of the line: the schema cannot say that.
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                assert!(line[name].is_number(), "{name} in {line}");
            }
        }
        assert_eq!((&lines[0]["ChatRequests"], &lines[0]["ChatResponses"]), (&1.into(), &1.into()));
        assert_eq!((&lines[0]["Cost"], &lines[0]["FirstTokenTime"]), (&0.000_25.into(), &120.into()));
        assert_eq!(lines[0].get("ChatErrors"), None);
        assert_eq!((&lines[0]["SessionCost"], &lines[0]["UserDayCost"]), (&0.001.into(), &0.25.into()));
        assert_eq!((&lines[0]["user"], lines[1].get("user")), (&"0123456789abcdef".into(), None));
        assert_eq!((lines[1].get("Cost"), lines[1].get("SessionCost")), (None, None));
        assert_eq!((&lines[1]["ChatErrors"], lines[1].get("ChatResponses")), (&1.into(), None));
        assert_eq!(lines[2]["ChatRefused"], 1);
        assert_eq!(lines[3]["Resumes"], 1);
        assert!(!schema.is_valid(&json!({"_aws": {"Timestamp": "now", "CloudWatchMetrics": []}})));
    }
}
