//! What one run came to: counted event by event, told once at its end, to the log, the metrics and CloudWatch.

use loquat_agent::event::{Event, TotalsUsd, Usage};
use loquat_agent::tool_set::ToolSet;

use super::cost;
use super::names::Metric;
use super::{Telemetry, scope};

/// Counts one run.
#[derive(Default)]
pub(crate) struct Tally {
    tools: ToolSet,
    model: String,
    steps: u32,
    calls: u32,
    call_errors: u32,
    call_ms: u64,
    resets: u32,
    first_text_ms: Option<u64>,
    usage: Usage,
    cost_usd: Option<f64>,
    /// What the session's earlier runs cost; `None` where nothing is kept of it.
    session_before: Option<f64>,
    /// What the user's earlier runs of today cost, where that is known.
    day_before: Option<f64>,
}

/// What is known only when a run ends.
pub(crate) struct End<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) session_id: &'a str,
    pub(crate) terminal: &'a Event,
    pub(crate) total_ms: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) readers: usize,
    /// What the user's runs of today cost, this one included, where the store knows.
    pub(crate) day_cost_usd: Option<f64>,
}

/// What one run came to, as CloudWatch has it.
#[derive(Clone, Debug)]
pub(crate) struct RunRecord {
    /// The model that was asked first.
    pub(crate) model: String,
    /// How it ended.
    pub(crate) outcome: &'static str,
    /// Whether that was a failure.
    pub(crate) failed: bool,
    /// Its code, else empty.
    pub(crate) code: String,
    /// Its id.
    pub(crate) run_id: String,
    /// Its session.
    pub(crate) session_id: String,
    /// A hash of its user; `None` where nobody signs in.
    pub(crate) user: Option<String>,
    /// Tokens of all its model calls.
    pub(crate) usage: Usage,
    /// Their cost in US dollars, where the models have prices.
    pub(crate) cost_usd: Option<f64>,
    /// What the session cost by then.
    pub(crate) session_cost_usd: Option<f64>,
    /// What the user's runs of today cost by then.
    pub(crate) day_cost_usd: Option<f64>,
    /// Milliseconds to the first word, if there was one.
    pub(crate) first_token_ms: Option<u64>,
    /// Milliseconds to the end.
    pub(crate) total_ms: u64,
    /// Milliseconds that tools took, all together.
    pub(crate) tool_ms: u64,
    /// Tool calls.
    pub(crate) tools: u32,
    /// Model calls made again.
    pub(crate) retries: u32,
    /// Answers taken back.
    pub(crate) resets: u32,
}

impl Tally {
    /// Of a run of a session whose earlier runs cost `session_before`; `None` where nothing is kept.
    pub(crate) fn new(tools: ToolSet, session_before: Option<f64>) -> Self {
        Self { tools, session_before, ..Self::default() }
    }

    /// Takes note of what the user's earlier runs of today cost.
    pub(crate) fn know_the_day(&mut self, cost_usd: Option<f64>) {
        self.day_before = cost_usd;
    }

    /// What the session cost, this run included; `None` where neither has a price.
    fn session_cost_usd(&self) -> Option<f64> {
        cost::sum(self.session_before, self.cost_usd).filter(|_| self.cost_usd.is_some())
    }

    /// What is spent by now; `None` where nothing has a price.
    fn totals(&self) -> Option<Box<TotalsUsd>> {
        let run = self.cost_usd?;
        let and_this = |before: Option<f64>| before.map(|before| cost::round(before + run));
        Some(Box::new(TotalsUsd {
            run,
            session: and_this(self.session_before),
            day: and_this(self.day_before),
        }))
    }

    /// Takes an event in, and prices it where it is a model call's.
    pub(crate) fn take(&mut self, telemetry: &Telemetry, event: &mut Event, age_ms: u64) {
        match event {
            Event::Started { model } => self.model.clone_from(model),
            Event::Text { .. } => {
                self.first_text_ms.get_or_insert(age_ms);
            }
            Event::Usage { model, usage, cost_usd, totals_usd, .. } => {
                self.steps += 1;
                self.usage += *usage;
                *cost_usd = telemetry.prices.cost(model, usage);
                if let Some(cost) = *cost_usd {
                    self.cost_usd = Some(cost::round(self.cost_usd.unwrap_or_default() + cost));
                    telemetry.metrics.add(Metric::Cost, &[model], cost);
                    telemetry.spending.add(cost);
                }
                *totals_usd = self.totals();
                tokens(telemetry, model, usage);
            }
            Event::ToolResult { name, is_error, duration_ms, .. } => {
                self.calls += 1;
                self.call_errors += u32::from(*is_error);
                self.call_ms += *duration_ms;
                // What the model or a client made up is no label: it may be anything.
                let name = if self.tools.spec(name).is_some() { name.as_str() } else { "unknown" };
                let result = if *is_error { "error" } else { "ok" };
                telemetry.metrics.count(Metric::ToolCalls, &[name, result]);
                telemetry.metrics.observe(Metric::ToolTime, &[name], seconds(*duration_ms));
            }
            Event::Reset { .. } => {
                self.resets += 1;
                telemetry.metrics.count(Metric::Resets, &[]);
            }
            _ => {}
        }
    }

    /// Takes in an event that another process counted before it paused the run.
    pub(crate) fn recall(&mut self, event: &Event) {
        match event {
            Event::Started { model } => self.model.clone_from(model),
            Event::Usage { usage, cost_usd, .. } => {
                self.steps += 1;
                self.usage += *usage;
                if let Some(cost) = cost_usd {
                    self.cost_usd = Some(cost::round(self.cost_usd.unwrap_or_default() + cost));
                }
            }
            Event::ToolResult { is_error, duration_ms, .. } => {
                self.calls += 1;
                self.call_errors += u32::from(*is_error);
                self.call_ms += *duration_ms;
            }
            Event::Reset { .. } => self.resets += 1,
            _ => {}
        }
    }

    /// What its model calls used.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// What they cost.
    pub(crate) fn cost_usd(&self) -> Option<f64> {
        self.cost_usd
    }

    /// Tells what the run came to.
    pub(crate) fn end(self, telemetry: &Telemetry, end: &End<'_>) -> RunRecord {
        let (outcome, code) = match end.terminal {
            Event::Finished { outcome } => (outcome.as_str(), ""),
            Event::Failed { code, .. } => ("failed", code.as_str()),
            _ => ("", ""),
        };
        let facts = scope::current().and_then(|scope| scope.run.clone());
        let retries = facts.as_ref().map_or(0, |facts| facts.retries());
        let user = facts.and_then(|facts| facts.user.clone());
        let session_cost_usd = self.session_cost_usd();
        let day_cost_usd = end.day_cost_usd.filter(|_| self.cost_usd.is_some());
        // The cloud stack's metric filters and dashboard read this line by its message and the names of its fields.
        tracing::info!(
            target: "loquat::run",
            run_id = end.run_id,
            session_id = end.session_id,
            outcome,
            code,
            model = self.model,
            steps = self.steps,
            tools = self.calls,
            tool_errors = self.call_errors,
            tool_ms = self.call_ms,
            input_tokens = self.usage.input_tokens,
            output_tokens = self.usage.output_tokens,
            cache_read_tokens = self.usage.cache_read_tokens,
            cache_write_tokens = self.usage.cache_write_tokens,
            cost_usd = self.cost_usd,
            session_cost_usd,
            user_day_cost_usd = day_cost_usd,
            first_token_ms = self.first_text_ms,
            total_ms = end.total_ms,
            events = end.events,
            bytes = end.bytes,
            readers = end.readers,
            retries,
            resets = self.resets,
            "run ended"
        );
        let metrics = &telemetry.metrics;
        metrics.count(Metric::Runs, &[&self.model, outcome]);
        if !code.is_empty() {
            metrics.count(Metric::RunFailures, &[code]);
        }
        if let Some(first) = self.first_text_ms {
            metrics.observe(Metric::FirstToken, &[&self.model], seconds(first));
        }
        metrics.observe(Metric::RunTime, &[&self.model], seconds(end.total_ms));
        if let Some(cost) = self.cost_usd {
            metrics.observe(Metric::RunCost, &[&self.model], cost);
        }
        if let Some(cost) = session_cost_usd {
            metrics.observe(Metric::SessionCost, &[], cost);
        }
        if let Some(cost) = day_cost_usd {
            metrics.observe(Metric::UserDayCost, &[], cost);
            telemetry.spending.user(user.as_deref(), cost);
        }
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        metrics.add(Metric::StreamedBytes, &[], end.bytes as f64);
        RunRecord {
            model: self.model,
            outcome,
            failed: !code.is_empty(),
            code: code.to_owned(),
            run_id: end.run_id.to_owned(),
            session_id: end.session_id.to_owned(),
            user,
            usage: self.usage,
            cost_usd: self.cost_usd,
            session_cost_usd,
            day_cost_usd,
            first_token_ms: self.first_text_ms,
            total_ms: end.total_ms,
            tool_ms: self.call_ms,
            tools: self.calls,
            retries,
            resets: self.resets,
        }
    }
}

fn tokens(telemetry: &Telemetry, model: &str, usage: &Usage) {
    for (kind, tokens) in [
        ("input", usage.input_tokens),
        ("output", usage.output_tokens),
        ("cache_read", usage.cache_read_tokens),
        ("cache_write", usage.cache_write_tokens),
    ] {
        if tokens > 0 {
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            telemetry.metrics.add(Metric::Tokens, &[model, kind], tokens as f64);
        }
    }
}

// Milliseconds of runs are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
