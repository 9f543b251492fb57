//! What is known about the work a task does: which invocation, which run, whose trace. Kept beside the task (a tokio
//! task local), so that a log line or a call to another service needs nobody to hand it through.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use http::{HeaderName, HeaderValue};
use loquat_agent::tool::ToolContext;
use parking_lot::Mutex;

use super::Telemetry;
use super::names::Metric;
use super::tally::RunRecord;
use super::trace::{Kind, Span, TraceContext, conventions as names};

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
    /// The span it stands below, here or elsewhere.
    pub trace: Option<TraceContext>,
}

/// What names a run from inside a tool.
type RunName = (Arc<str>, Arc<str>, Option<String>);

/// The live runs, for tools, which run on tasks of their own.
static RUNS: LazyLock<Mutex<HashMap<RunName, Weak<Scope>>>> = LazyLock::new(Mutex::default);

impl Scope {
    /// The scope of a run that the current task begins, with its span below the request's.
    #[must_use]
    pub fn of_run(telemetry: Arc<Telemetry>, run: RunFacts, model: &str) -> Arc<Self> {
        let outer = current().unwrap_or_default();
        let mut trace = outer.trace.clone();
        if let Some(tracer) = &telemetry.tracer {
            let name = format!("invoke_agent {}", telemetry.agent);
            let mut span = tracer.span(trace.as_ref(), name, Kind::Internal);
            let (provider, model) = names::provider_and_model(model);
            span.set(names::OPERATION, "invoke_agent");
            span.set(names::PROVIDER, provider);
            span.set(names::REQUEST_MODEL, model);
            span.set(names::AGENT_NAME, telemetry.agent.as_str());
            span.set(names::CONVERSATION, &*run.session_id);
            span.set(names::RUN_ID, &*run.run_id);
            if let Some(user) = &run.user {
                span.set(names::USER_HASH, user.as_str());
            }
            trace = Some(span.context().clone());
            *run.span.lock() = Some(span);
        }
        let name = run.name();
        let invocation = outer.invocation.clone();
        let scope =
            Arc::new(Self { telemetry: Some(telemetry), invocation, run: Some(Arc::new(run)), trace });
        RUNS.lock().insert(name, Arc::downgrade(&scope));
        scope
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
    /// Tokens of model calls that were stopped or broke off before they told how many they used: an estimate.
    untold: AtomicU64,
    /// Its span, while it is under way.
    span: Mutex<Option<Span>>,
}

impl RunFacts {
    /// Of a run that begins.
    #[must_use]
    pub fn new(run_id: Arc<str>, session_id: Arc<str>, user: Option<&str>) -> Self {
        let user = user.map(hashed);
        let (retries, untold) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { run_id, session_id, user, retries, untold, span: Mutex::new(None) }
    }

    fn name(&self) -> RunName {
        (Arc::clone(&self.run_id), Arc::clone(&self.session_id), self.user.clone())
    }

    /// Ends its span.
    pub(super) fn end_span(&self, run: &RunRecord) {
        let Some(mut span) = self.span.lock().take() else { return };
        span.set(names::OUTCOME, run.outcome);
        let usage = &run.usage;
        let all = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
        span.set(names::INPUT_TOKENS, all);
        span.set(names::OUTPUT_TOKENS, usage.output_tokens);
        if let Some(cost) = run.cost_usd {
            span.set(names::COST, cost);
        }
        if run.failed {
            span.fail(&run.code);
        }
    }

    /// How often a model call was made again, by the same model or the next one.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries.load(Ordering::Relaxed)
    }

    /// About how many tokens its model calls used that did not live to tell it.
    #[must_use]
    pub fn untold_tokens(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    /// Notes such a call.
    pub(super) fn add_untold(&self, tokens: u64) {
        self.untold.fetch_add(tokens, Ordering::Relaxed);
    }
}

impl Drop for RunFacts {
    fn drop(&mut self) {
        let mut runs = RUNS.lock();
        let name = self.name();
        // Another run of the same name may have taken its place.
        if runs.get(&name).is_some_and(|scope| scope.strong_count() == 0) {
            runs.remove(&name);
        }
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

/// What the run of a tool call works for.
pub(super) fn of_call(cx: &ToolContext) -> Option<Arc<Scope>> {
    let name = (Arc::clone(&cx.run_id), Arc::clone(&cx.session_id), cx.user.as_deref().map(hashed));
    RUNS.lock().get(&name)?.upgrade()
}

/// The headers that tell another service which trace a call of it belongs to; none outside any trace.
pub(crate) fn headers() -> Vec<(HeaderName, HeaderValue)> {
    current().and_then(|scope| Some(scope.trace.as_ref()?.headers())).unwrap_or_default()
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
