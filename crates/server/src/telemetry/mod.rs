//! What the service tells its operator: log lines, metrics, traces, cost.
//!
//! Nothing here knows what a user wrote, unless `log_content` says that it may. What a task works for stands beside it
//! ([`scope`]); what a run came to is counted from its events (`tally`) and told once, before its last event is shown:
//! on Lambda nothing happens after that.

pub mod cost;
#[cfg(test)]
mod dashboard;
pub mod emf;
pub mod http;
mod json;
pub mod logs;
pub mod metrics;
pub(crate) mod model;
pub mod names;
pub mod process;
pub mod scope;
pub mod spending;
pub(crate) mod tally;
pub(crate) mod tool;
pub mod trace;

pub use cost::PriceTable;
pub use metrics::Metrics;
pub use names::Metric;
pub use scope::carry;

use std::sync::Arc;
use std::time::Duration;

use emf::Emf;
use spending::Spending;
use tally::RunRecord;
use trace::Tracer;

use crate::config::Config;
use crate::secret::Secret;

/// Where figures go. One a process; shared by all that have something to tell.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// The numbers.
    pub metrics: Metrics,
    /// The prices.
    pub prices: PriceTable,
    /// What was spent today.
    pub spending: Spending,
    /// What a caller of `/metrics` must show.
    pub metrics_token: Option<Secret>,
    /// CloudWatch, where metrics go there.
    pub emf: Option<Emf>,
    /// Spans, where they go anywhere.
    pub tracer: Option<Arc<Tracer>>,
    /// Whether what users and models say may be logged.
    pub log_content: bool,
    /// The agent's name, for spans.
    pub agent: String,
    /// Nothing happens between a run's last event and the next request (Lambda): what is to be sent is sent before.
    pub freezes: bool,
}

/// How long a run's last event waits for its spans to be sent, where nothing is sent after it.
const TAIL: Duration = Duration::from_millis(1_500);

impl Telemetry {
    /// From the configuration. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let (models, agent, freezes) =
            (&config.models, config.page.name.clone(), config.telemetry.function.is_some());
        let log_content = config.log.content;
        let config = &config.telemetry;
        Self {
            metrics: Metrics::default(),
            prices: PriceTable::new(models),
            spending: Spending::new(config.metrics_users),
            metrics_token: config.metrics_token.clone(),
            tracer: config.traces.clone().map(Tracer::start),
            log_content,
            agent,
            freezes,
            emf: config.emf.clone().map(|namespace| Emf::new(namespace, config.service.clone())),
        }
    }

    /// A run ended.
    pub(crate) fn run_ended(&self, run: &RunRecord) {
        if let Some(emf) = &self.emf {
            emf.run(run);
        }
        if let Some(facts) = scope::current().and_then(|scope| scope.run.clone()) {
            facts.end_span(run);
        }
    }

    /// Whether X-Ray's decision not to sample is obeyed. Where no spans are sent there is nothing to decide.
    fn xray_decides(&self) -> bool {
        self.tracer.as_ref().is_none_or(|tracer| tracer.xray_decides())
    }

    /// To be awaited before the last event of a run is shown.
    pub(crate) async fn before_last_event(&self) {
        if let (true, Some(tracer)) = (self.freezes, &self.tracer) {
            tracer.flush(TAIL).await;
        }
    }

    /// Sends what is there, before the process ends.
    pub async fn flush(&self) {
        if let Some(tracer) = &self.tracer {
            tracer.flush(Duration::from_secs(5)).await;
        }
    }

    /// A message began no run.
    pub(crate) fn run_refused(&self, code: &str) {
        self.metrics.count(Metric::RunsRefused, &[code]);
        if let Some(emf) = &self.emf {
            emf.refused(code);
        }
    }

    /// A stream was picked up after a break.
    pub(crate) fn resumed(&self) {
        self.metrics.count(Metric::Resumes, &[]);
        if let Some(emf) = &self.emf {
            emf.one("Resumes");
        }
    }

    /// A write found the session in another writer's hands.
    pub(crate) fn lease_conflict(&self) {
        self.metrics.count(Metric::LeaseConflicts, &[]);
        if let Some(emf) = &self.emf {
            emf.one("LeaseConflicts");
        }
    }

    /// Somebody said what they think of an answer.
    pub(crate) fn feedback(&self, rating: &'static str) {
        self.metrics.count(Metric::Feedback, &[rating]);
        if let Some(emf) = &self.emf {
            emf.one(if rating == "up" { "FeedbackUp" } else { "FeedbackDown" });
        }
    }
}
