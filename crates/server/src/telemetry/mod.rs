//! What the service tells its operator: log lines, metrics, traces, cost.
//!
//! Nothing here knows what a user wrote, unless `log_content` says that it may. What a task works for stands beside it
//! ([`scope`]); what a run came to is counted from its events (`tally`) and told once, before its last event is shown:
//! on Lambda nothing happens after that.

pub mod cost;
pub mod emf;
pub mod http;
mod json;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod process;
pub mod scope;
pub(crate) mod tally;

pub use cost::PriceTable;
pub use metrics::Metrics;
pub use names::Metric;
pub use scope::carry;

use emf::Emf;
use tally::RunRecord;

use crate::config::TelemetryConfig;
use crate::models::ModelConfig;
use crate::secret::Secret;

/// Where figures go. One a process; shared by all that have something to tell.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// The numbers.
    pub metrics: Metrics,
    /// The prices.
    pub prices: PriceTable,
    /// What a caller of `/metrics` must show.
    pub metrics_token: Option<Secret>,
    /// CloudWatch, where metrics go there.
    pub emf: Option<Emf>,
}

impl Telemetry {
    /// From the configuration.
    #[must_use]
    pub fn new(config: &TelemetryConfig, models: &[ModelConfig]) -> Self {
        Self {
            metrics: Metrics::default(),
            prices: PriceTable::new(models),
            metrics_token: config.metrics_token.clone(),
            emf: config.emf.clone().map(|namespace| Emf::new(namespace, config.service.clone())),
        }
    }

    /// A run ended.
    pub(crate) fn run_ended(&self, run: &RunRecord) {
        if let Some(emf) = &self.emf {
            emf.run(run);
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
