//! `[telemetry]`: what operators are told, beside the log.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ConfigError, TraceConfig, otel};
use crate::secret::Secret;

/// How many users `/metrics` names.
const METRICS_USERS: u8 = 10;

/// The keys of `[telemetry]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTelemetry {
    /// What this service is called in logs, metrics and traces.
    pub service: Option<String>,
    /// What a caller of `/metrics` must show as a bearer token.
    pub metrics_token: Option<Secret>,
    /// How many users `/metrics` names, by hashes, with what they cost today: those who cost most; 0 for none.
    pub metrics_users: Option<u8>,
    /// Whether metrics go to CloudWatch by log lines (Embedded Metric Format).
    pub emf: Option<bool>,
    /// Their namespace.
    pub emf_namespace: Option<String>,
}

/// What operators are told.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    /// What this service is called.
    pub service: String,
    /// The Lambda function, if this is one.
    pub function: Option<String>,
    /// What a caller of `/metrics` must show.
    pub metrics_token: Option<Secret>,
    /// How many users `/metrics` names by their hashes.
    pub metrics_users: usize,
    /// The namespace of metrics in CloudWatch; `None` where they do not go there.
    pub emf: Option<String>,
    /// Where spans go; `None` where they go nowhere.
    pub traces: Option<TraceConfig>,
}

impl TelemetryConfig {
    /// From what was written, and from the variables of Lambda and OpenTelemetry.
    pub(super) fn new(raw: &RawTelemetry, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let service = raw.service.clone().or_else(|| set("OTEL_SERVICE_NAME"));
        let function = set("AWS_LAMBDA_FUNCTION_NAME");
        let emf = raw.emf.unwrap_or(function.is_some());
        let service = service.or_else(|| set("POWERTOOLS_SERVICE_NAME")).unwrap_or_else(|| "loquat".into());
        Ok(Self {
            traces: otel::traces(env, &service)?,
            service,
            function,
            metrics_token: raw.metrics_token.clone(),
            metrics_users: raw.metrics_users.unwrap_or(METRICS_USERS).into(),
            emf: emf.then(|| {
                let own = raw.emf_namespace.clone();
                own.or_else(|| set("POWERTOOLS_METRICS_NAMESPACE")).unwrap_or_else(|| "Loquat".into())
            }),
        })
    }
}
