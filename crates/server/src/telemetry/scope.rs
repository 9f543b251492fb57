//! What is known about the work a task does: which invocation, which run, whose trace. Kept beside the task (a tokio
//! task local), so that a log line or a call to another service needs nobody to hand it through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Telemetry;
use super::names::Metric;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// What a task works for.
#[derive(Clone, Default)]
pub struct Scope {
    /// Where figures go.
    pub telemetry: Option<Arc<Telemetry>>,
    /// The invocation, on Lambda.
    pub invocation: Option<Arc<InvocationFacts>>,
    /// The run.
    pub run: Option<Arc<RunFacts>>,
}

impl Scope {
    /// The scope of a run that the current task begins.
    #[must_use]
    pub fn of_run(telemetry: Arc<Telemetry>, run: RunFacts) -> Arc<Self> {
        let invocation = current().and_then(|outer| outer.invocation.clone());
        Arc::new(Self { telemetry: Some(telemetry), invocation, run: Some(Arc::new(run)) })
    }
}

/// What Lambda says of an invocation.
#[derive(Clone, Debug)]
pub struct InvocationFacts {
    /// Its id.
    pub request_id: String,
    /// The trace it belongs to, as `X-Amzn-Trace-Id` has it.
    pub xray_trace_id: Option<String>,
    /// Whether it is the first of its process.
    pub cold_start: bool,
}

/// What log lines say of a run, and what its model calls add to it.
#[derive(Debug)]
pub struct RunFacts {
    /// Its id.
    pub run_id: Arc<str>,
    /// Its session.
    pub session_id: Arc<str>,
    /// A hash of its user; `None` where nobody signs in.
    pub user: Option<String>,
    /// How often a model call was made again.
    retries: AtomicU32,
}

impl RunFacts {
    /// Of a run that begins.
    #[must_use]
    pub fn new(run_id: Arc<str>, session_id: Arc<str>, user: Option<&str>) -> Self {
        Self { run_id, session_id, user: user.map(hashed), retries: AtomicU32::new(0) }
    }

    /// How often a model call was made again, by the same model or the next one.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries.load(Ordering::Relaxed)
    }
}

/// A user's id as logs have it: the same for all their runs, and not the id.
#[must_use]
pub fn hashed(user: &str) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;

    let digest = sha2::Sha256::digest(format!("loquat user {user}").as_bytes());
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What the current task works for; `None` for work of the service itself.
#[must_use]
pub fn current() -> Option<Arc<Scope>> {
    SCOPE.try_with(Arc::clone).ok()
}

/// Does work for something.
pub fn enter<F: Future>(scope: Arc<Scope>, work: F) -> impl Future<Output = F::Output> {
    SCOPE.scope(scope, work)
}

/// Work for what the current task works for, to be done in another task.
pub fn carry<F: Future>(work: F) -> impl Future<Output = F::Output> {
    enter(current().unwrap_or_default(), work)
}

/// Notes that a model call failed and is made again: by the same model, or by the next one.
pub(crate) fn retried(model: &str, reason: &str, next: bool) {
    let Some(scope) = current() else { return };
    if let Some(run) = &scope.run {
        run.retries.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(telemetry) = &scope.telemetry {
        let metric = if next { Metric::ModelFallbacks } else { Metric::ModelRetries };
        telemetry.metrics.count(metric, &[model, reason]);
    }
}

/// Where the current task's figures go, if anywhere.
pub(crate) fn telemetry() -> Option<Arc<Telemetry>> {
    current()?.telemetry.clone()
}
