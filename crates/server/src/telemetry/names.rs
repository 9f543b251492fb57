//! Every metric by name: the one table that `/metrics`, CloudWatch, the dashboards and the guide follow.

/// A metric of the service. Its place in [`METRICS`] is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// HTTP requests.
    HttpRequests,
    /// Runs that ended.
    Runs,
    /// Runs that failed, by their code.
    RunFailures,
    /// Runs that were not begun, by the code of the refusal.
    RunsRefused,
    /// Seconds from the request to the first word.
    FirstToken,
    /// Seconds from the request to the last event.
    RunTime,
    /// Tokens.
    Tokens,
    /// US dollars.
    Cost,
    /// US dollars of single runs.
    RunCost,
    /// US dollars of sessions.
    SessionCost,
    /// US dollars of a user's day.
    UserDayCost,
    /// Model calls that were made again.
    ModelRetries,
    /// Model calls that went on to the next model.
    ModelFallbacks,
    /// Seconds of a model call.
    ModelTime,
    /// Tool calls.
    ToolCalls,
    /// Seconds of a tool call.
    ToolTime,
    /// Answers that were taken back and said again.
    Resets,
    /// Streams that were picked up after a break.
    Resumes,
    /// Writes that found the session in another writer's hands.
    LeaseConflicts,
    /// Bytes of answers given to readers while their runs were live.
    StreamedBytes,
    /// What users think of answers.
    Feedback,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// How values are spread, over buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The row's metric.
    pub metric: Metric,
    /// Its Prometheus name.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// For people.
    pub help: &'static str,
    /// Its labels. Each takes a bounded number of values; users, sessions and runs are never among them.
    pub labels: &'static [&'static str],
}

/// 10 ms to 82 s, as the OpenTelemetry conventions advise for model calls.
const SECONDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// A hundredth of a cent to 100 dollars.
const DOLLARS: &[f64] = &[0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0];

const fn row(
    metric: Metric,
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Description {
    Description { metric, name, kind, help, labels }
}

/// Every metric.
pub const METRICS: &[Description] = &[
    row(
        Metric::HttpRequests,
        Kind::Counter,
        "loquat_http_requests_total",
        &["method", "route", "status"],
        "HTTP requests by route and class of status.",
    ),
    row(Metric::Runs, Kind::Counter, "loquat_runs_total", &["model", "outcome"], "Runs that ended."),
    row(
        Metric::RunFailures,
        Kind::Counter,
        "loquat_run_failures_total",
        &["code"],
        "Runs that failed, by the code of their error.",
    ),
    row(
        Metric::RunsRefused,
        Kind::Counter,
        "loquat_runs_refused_total",
        &["code"],
        "Messages that began no run, by the code of the refusal.",
    ),
    row(
        Metric::FirstToken,
        Kind::Histogram(SECONDS),
        "loquat_first_token_seconds",
        &["model"],
        "Time from the request to the first word of the answer.",
    ),
    row(
        Metric::RunTime,
        Kind::Histogram(SECONDS),
        "loquat_run_seconds",
        &["model"],
        "Time from the request to the last event.",
    ),
    row(
        Metric::Tokens,
        Kind::Counter,
        "loquat_tokens_total",
        &["model", "type"],
        "Tokens: input, output, cache_read, cache_write.",
    ),
    row(
        Metric::Cost,
        Kind::Counter,
        "loquat_cost_usd_total",
        &["model"],
        "What model calls cost in US dollars, by the configured prices.",
    ),
    row(
        Metric::RunCost,
        Kind::Histogram(DOLLARS),
        "loquat_run_cost_usd",
        &["model"],
        "What single runs cost in US dollars.",
    ),
    row(
        Metric::SessionCost,
        Kind::Histogram(DOLLARS),
        "loquat_session_cost_usd",
        &[],
        "What sessions had cost in US dollars, at the end of each of their runs.",
    ),
    row(
        Metric::UserDayCost,
        Kind::Histogram(DOLLARS),
        "loquat_user_day_cost_usd",
        &[],
        "What users had cost in US dollars since midnight (UTC), at the end of each of their runs.",
    ),
    row(
        Metric::ModelRetries,
        Kind::Counter,
        "loquat_model_retries_total",
        &["model", "reason"],
        "Model calls that failed and were made again.",
    ),
    row(
        Metric::ModelFallbacks,
        Kind::Counter,
        "loquat_model_fallbacks_total",
        &["model", "reason"],
        "Model calls that failed and went to the next model.",
    ),
    row(
        Metric::ModelTime,
        Kind::Histogram(SECONDS),
        "loquat_model_call_seconds",
        &["model", "result"],
        "Time of single model calls, each attempt by itself.",
    ),
    row(Metric::ToolCalls, Kind::Counter, "loquat_tool_calls_total", &["tool", "result"], "Tool calls."),
    row(Metric::ToolTime, Kind::Histogram(SECONDS), "loquat_tool_seconds", &["tool"], "Time of tool calls."),
    row(
        Metric::Resets,
        Kind::Counter,
        "loquat_resets_total",
        &[],
        "Answers that broke off, were taken back and said again.",
    ),
    row(Metric::Resumes, Kind::Counter, "loquat_resumes_total", &[], "Streams picked up after a break."),
    row(
        Metric::LeaseConflicts,
        Kind::Counter,
        "loquat_lease_conflicts_total",
        &[],
        "Writes that found the session in another writer's hands.",
    ),
    row(
        Metric::StreamedBytes,
        Kind::Counter,
        "loquat_streamed_bytes_total",
        &[],
        "Bytes of answers given to readers before the last event.",
    ),
    row(
        Metric::Feedback,
        Kind::Counter,
        "loquat_feedback_total",
        &["rating"],
        "What users think of answers.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_at_its_own_number() {
        for (n, row) in METRICS.iter().enumerate() {
            assert_eq!(row.metric as usize, n, "{}", row.name);
            assert!(row.name.starts_with("loquat_"));
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
        }
    }
}
