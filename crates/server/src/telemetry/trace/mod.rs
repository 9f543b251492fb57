//! Traces: spans by the OpenTelemetry conventions for generative AI, sent by OTLP over HTTP.
//!
//! A hand of our own instead of the OpenTelemetry crates: three kinds of spans and two encodings are a few hundred
//! lines, and what is sent before Lambda freezes is decided here. [`conventions`] is the one table of names.

pub mod context;
pub mod conventions;
mod encode;
mod export;
mod span;

use std::sync::Arc;
use std::time::Duration;

pub use context::TraceContext;
pub use span::{Kind, Span, Value};

use crate::config::{Sampler, TraceConfig};

/// Begins spans and sends them.
#[derive(Debug)]
pub struct Tracer {
    config: TraceConfig,
    exporter: Arc<export::Exporter>,
}

impl Tracer {
    /// Begins to send in the background. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(config: TraceConfig) -> Arc<Self> {
        let exporter = export::Exporter::start(&config);
        Arc::new(Self { config, exporter })
    }

    /// Whether spans may hold what users and models say.
    #[must_use]
    pub fn content(&self) -> bool {
        self.config.content
    }

    /// Whether X-Ray's decision not to sample is obeyed.
    #[must_use]
    pub fn xray_decides(&self) -> bool {
        self.config.xray_decides
    }

    /// Begins a span below `parent`, or a trace of its own.
    #[must_use]
    pub fn span(&self, parent: Option<&TraceContext>, name: String, kind: Kind) -> Span {
        let mut own = TraceContext::child_of(parent);
        own.sampled = match parent {
            // A child of a local span shares its fate, and so, by default, does the child of a remote one.
            Some(parent) if parent.decided && (self.config.sampler.follows_parent || !parent.remote) => {
                parent.sampled
            }
            _ => sampled(self.config.sampler, own.trace_id),
        };
        Span::begin(Arc::clone(&self.exporter), own, parent.and_then(TraceContext::span), name, kind)
    }

    /// Sends what is there, and returns when it was sent or the time is up.
    pub async fn flush(&self, limit: Duration) {
        if tokio::time::timeout(limit, self.exporter.flush()).await.is_err() {
            tracing::warn!("spans were not sent in time");
        }
    }
}

/// By the last seven bytes of the id, which are random in every trace (also in X-Ray's).
#[allow(clippy::cast_precision_loss, reason = "56 bits against a ratio of two digits")]
fn sampled(sampler: Sampler, trace_id: [u8; 16]) -> bool {
    let random = trace_id[9..].iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    sampler.ratio >= 1.0 || (random as f64) < sampler.ratio * (1_u64 << 56) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_a_ratio() {
        let sampler = Sampler { ratio: 0.25, follows_parent: true };
        let taken = (0..4_000).filter(|_| sampled(sampler, TraceContext::child_of(None).trace_id)).count();
        assert!((800..1_200).contains(&taken), "{taken}");
        assert!(!sampled(Sampler { ratio: 0.0, ..sampler }, [0; 16]));
    }
}
