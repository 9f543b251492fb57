//! What keeps a call alive: retries with growing pauses, then the next model.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest, OnRestart, Params};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::config::Retry;
use crate::telemetry::model::ModelCall;
use crate::telemetry::scope::{self, retried};

/// A model and how often to try it.
pub(super) struct Candidate {
    pub(super) model: Arc<dyn Model>,
    pub(super) retry: Retry,
    /// Where it answers, if that is configured: host and port.
    pub(super) server: Option<(String, u16)>,
}

/// A list of models of which the first answers, unless it cannot.
///
/// A failure that may pass is retried with full-jitter exponential pauses, `Retry-After` honoured, within the model's
/// budget of time; then the next model is tried, which also happens at once if a model is not reachable for this
/// account. A wrong request is wrong everywhere and fails. What an abandoned attempt had said is taken back by
/// [`ModelEvent::Reset`]; with [`OnRestart::Fail`] text that was said ends the call with the failure instead.
pub(super) struct Resilient {
    candidates: Arc<[Candidate]>,
}

impl Resilient {
    /// `candidates` has at least one.
    pub(super) fn new(candidates: Vec<Candidate>) -> Self {
        Self { candidates: candidates.into() }
    }
}

impl Model for Resilient {
    fn name(&self) -> &str {
        self.candidates.first().map_or("", |candidate| candidate.model.name())
    }

    fn accepts(&self, params: &Params) -> Result<(), ModelError> {
        self.candidates.first().map_or(Ok(()), |candidate| candidate.model.accepts(params))
    }

    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let call = Box::new(Call {
            candidates: Arc::clone(&self.candidates),
            request,
            at: 0,
            attempt: 0,
            began: None,
            pause: None,
            answer: None,
            watch: None,
            said: false,
            text: false,
            counted: false,
            failures: Vec::new(),
            stop: None,
            over: false,
        });
        futures_util::stream::unfold(call, |mut call| async move {
            let item = call.next().await?;
            Some((item, call))
        })
        .boxed()
    }
}

struct Call {
    candidates: Arc<[Candidate]>,
    request: ModelRequest,
    /// The candidate that is asked.
    at: usize,
    /// How often it was asked.
    attempt: u32,
    /// When it was asked first.
    began: Option<Instant>,
    /// Before it is asked again.
    pause: Option<Duration>,
    answer: Option<BoxStream<'static, Result<ModelEvent, ModelError>>>,
    /// Tells the operator about this attempt.
    watch: Option<ModelCall>,
    /// This attempt has said something.
    said: bool,
    /// It was text.
    text: bool,
    /// It has told its usage.
    counted: bool,
    /// The last failure of each candidate that was given up.
    failures: Vec<(usize, ModelError)>,
    /// The end, when an event has to be said before it.
    stop: Option<StopReason>,
    over: bool,
}

impl Call {
    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(reason) = self.stop {
                self.over = true;
                return Some(Ok(ModelEvent::Stop(reason)));
            }
            let Some(answer) = &mut self.answer else {
                if let Some(pause) = self.pause.take() {
                    sleep(pause).await;
                }
                self.attempt += 1;
                self.began.get_or_insert_with(Instant::now);
                let Candidate { model, server, .. } = &self.candidates[self.at];
                self.watch =
                    Some(ModelCall::begin(model.name(), server.as_ref(), self.attempt, &self.request));
                self.answer = Some(model.stream(self.request.clone()));
                continue;
            };
            // What a call sends it sends before its first word.
            let watch = self.watch.as_ref().filter(|_| !self.said);
            let item = match watch.and_then(ModelCall::scope) {
                Some(scope) => scope::enter(scope, answer.next()).await,
                None => answer.next().await,
            };
            let error = match item {
                Some(Ok(event)) => {
                    if let Some(watch) = &mut self.watch {
                        watch.hears(&event);
                    }
                    return Some(Ok(self.pass(event)));
                }
                Some(Err(error)) => error,
                None => {
                    let what =
                        format!("{} ended without its proper end", self.candidates[self.at].model.name());
                    ModelError::new(ModelErrorKind::Truncated, what)
                }
            };
            self.answer = None;
            if let Some(mut watch) = self.watch.take() {
                watch.failed(error.kind.code());
            }
            match self.fail(error) {
                Some(item) => return Some(item),
                None => continue,
            }
        }
    }

    /// Notes what an event means, and names the model where it is not the first.
    fn pass(&mut self, event: ModelEvent) -> ModelEvent {
        match event {
            ModelEvent::Text(_) => {
                self.said = true;
                self.text = true;
                event
            }
            ModelEvent::Reset { .. } => {
                self.said = false;
                self.text = false;
                event
            }
            ModelEvent::Usage { usage, model } => {
                self.counted = true;
                ModelEvent::Usage { usage, model: model.or_else(|| self.other_name()) }
            }
            ModelEvent::Stop(reason) => {
                self.answer = None;
                self.watch = None;
                match self.other_name().filter(|_| !self.counted) {
                    // Usage is where the log learns who answered.
                    Some(model) => {
                        self.stop = Some(reason);
                        ModelEvent::Usage { usage: Usage::default(), model: Some(model) }
                    }
                    None => {
                        self.over = true;
                        event
                    }
                }
            }
            other => {
                self.said = true;
                other
            }
        }
    }

    fn other_name(&self) -> Option<String> {
        (self.at > 0).then(|| self.candidates[self.at].model.name().to_owned())
    }

    /// Chooses what follows a failure. `None` means to go on without a word.
    fn fail(&mut self, error: ModelError) -> Option<Result<ModelEvent, ModelError>> {
        let candidate = &self.candidates[self.at];
        let name = candidate.model.name();
        let code = error.kind.code();
        if self.text && self.request.on_restart == OnRestart::Fail {
            warn!(model = name, error = code, "the answer broke off after text was shown");
            self.over = true;
            return Some(Err(error));
        }
        let reason = if let Some(pause) = self.pause_before_retry(candidate.retry, &error) {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            warn!(
                model = name,
                error = code,
                attempt = self.attempt,
                pause_ms,
                "a model call failed; trying again"
            );
            retried(name, code, false);
            self.pause = Some(pause);
            format!("{name} broke off; trying again")
        } else if self.at + 1 < self.candidates.len() && tries_next(error.kind) {
            let next = self.candidates[self.at + 1].model.name();
            warn!(
                model = name,
                error = code,
                attempt = self.attempt,
                next,
                "a model call failed; trying the next model"
            );
            retried(name, code, true);
            let reason = format!("{name} failed; asking {next}");
            self.failures.push((self.at, error));
            self.at += 1;
            self.attempt = 0;
            self.began = None;
            reason
        } else {
            warn!(model = name, error = code, attempt = self.attempt, "a model call failed");
            self.failures.push((self.at, error));
            self.over = true;
            return Some(Err(self.verdict()));
        };
        self.counted = false;
        self.text = false;
        std::mem::take(&mut self.said).then_some(Ok(ModelEvent::Reset { reason }))
    }

    /// The pause before another attempt of the same model, if there may be one.
    fn pause_before_retry(&self, retry: Retry, error: &ModelError) -> Option<Duration> {
        if !error.kind.is_transient() || self.attempt >= retry.attempts {
            return None;
        }
        let bound = retry.base.saturating_mul(1 << (self.attempt - 1).min(16)).min(retry.cap);
        // Full jitter: clients that failed together do not come back together.
        let pause = bound.mul_f64(fastrand::f64()).max(error.retry_after.unwrap_or_default());
        let spent = self.began.map(|began| began.elapsed()).unwrap_or_default();
        (spent + pause <= retry.budget).then_some(pause)
    }

    /// The failure to report: one that may pass if there is any, else the first model's.
    fn verdict(&mut self) -> ModelError {
        let tried = self.failures.len();
        let place = self.failures.iter().position(|(_, error)| error.kind.is_transient()).unwrap_or_default();
        let (_, mut error) = self.failures.swap_remove(place);
        if tried > 1 {
            let others = tried - 1;
            error.message = format!("{} ({others} more of the configured models failed too)", error.message);
        }
        error
    }
}

/// Whether another model may do better. A wrong or too long request is for the caller to change.
fn tries_next(kind: ModelErrorKind) -> bool {
    kind.is_transient()
        || matches!(kind, ModelErrorKind::Auth | ModelErrorKind::NotFound | ModelErrorKind::NotInstalled)
}

#[cfg(test)]
mod tests;
