//! The loop: call the model; run the tools it asks for; give it their results; again, until the turn ends.
//!
//! ```text
//! Started ─▶ (Text | Reasoning | ToolStart | ToolInput | Reset)* ─▶ Usage ─▶ ToolCall* ─▶ (ToolProgress | Custom)*
//!              ▲                                                                    │
//!              └───────────────────────────── ToolResult* ◀─────────────────────────┘   … ─▶ Finished | Failed
//! ```
//!
//! Whatever goes wrong with a tool is a result that the model reads; whatever goes wrong with the model ends the run in
//! one `Failed`; nothing goes wrong in silence.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::calls::{self, Call, Decision};
use crate::context::{Budget, ContextStrategy, History, Memo};
use crate::emitter::{Emitter, Events};
use crate::event::{Event, Outcome, StopReason, Usage};
use crate::go_on::go_on;
use crate::invariants;
use crate::message::{Message, Role};
use crate::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest, OnRestart, Params};
use crate::tool::ToolSpec;
use crate::tool_set::ToolSet;
use crate::transcript::Transcript;

/// What bounds a run.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most model calls.
    pub max_steps: u32,
    /// Most time, tools included.
    pub max_time: Duration,
    /// Most tokens written in all calls together.
    pub max_output_tokens: Option<u64>,
    /// Most tools running side by side.
    pub tool_concurrency: usize,
    /// Most bytes of a tool's text that the model reads.
    pub result_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_steps: 20,
            max_time: Duration::from_secs(600),
            max_output_tokens: None,
            tool_concurrency: 8,
            result_bytes: 64 * 1024,
        }
    }
}

/// An agent: a model, its instructions, its tools, and how it chooses what the model sees. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    /// The model.
    pub model: Arc<dyn Model>,
    /// The system prompt.
    pub system: Option<Arc<str>>,
    /// The tools.
    pub tools: ToolSet,
    /// What the model sees of a long history.
    pub context: Arc<dyn ContextStrategy>,
    /// What bounds a run.
    pub limits: Limits,
}

/// What one run is about.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// The session.
    pub session_id: Arc<str>,
    /// The run.
    pub run_id: Arc<str>,
    /// Who is asking.
    pub user: Option<Arc<str>>,
    /// Stops the run: the model's connection is closed, tools are cancelled, the outcome is `cancelled`.
    pub cancel: CancellationToken,
    /// Asks the run to pause: it ends without a terminal event before its next model call, so that another process can
    /// go on with it ([`RunInput::GoOn`]).
    pub pause: CancellationToken,
    /// What to do when text has to be taken back.
    pub on_restart: OnRestart,
    /// Tools that run in the client.
    pub client_tools: Vec<ToolSpec>,
    /// Overrides of the model's parameters.
    pub params: Params,
    /// How many stored messages stand before the given history.
    pub skipped: usize,
    /// What the context strategy noted in earlier turns.
    pub memo: Memo,
}

/// What a run answers.
#[derive(Clone, Debug)]
pub enum RunInput {
    /// A user's message.
    Message(Message),
    /// Decisions on the calls that the last run left open. The history ends with these calls.
    Resume(Vec<Decision>),
    /// The events of this very run so far: it was paused, here or in another process. They are not emitted again. The
    /// history ends with the user's message, or with the calls that the run was about.
    GoOn(Vec<Event>),
}

impl Agent {
    /// Runs one turn. The stream ends with exactly one terminal event, or without any if the run was paused. Nothing
    /// happens between two polls: when an event has been taken, the next step begins with the next poll.
    pub fn run(
        &self,
        history: Vec<Message>,
        input: RunInput,
        cx: RunContext,
    ) -> impl Stream<Item = Event> + Send + Unpin + use<> {
        let agent = self.clone();
        Events::new(move |out| async move { Turn::new(agent, history, cx, out).run(input).await })
    }
}

/// One run under way.
pub(crate) struct Turn {
    pub(crate) agent: Agent,
    pub(crate) cx: RunContext,
    pub(crate) tools: ToolSet,
    pub(crate) deadline: Instant,
    pub(crate) transcript: Transcript,
    out: Emitter,
    history: Vec<Message>,
    /// The part of the history that the model sees, chosen once a run.
    pub(crate) view: Vec<Message>,
    used: Usage,
    shrunk: u32,
    /// Whether the strategy knows what its choice cost.
    observed: bool,
}

/// How one model call ended.
enum Said {
    Stopped { reason: StopReason, calls: Vec<Call> },
    Failed(ModelError),
    Over(Outcome),
}

impl Turn {
    fn new(agent: Agent, history: Vec<Message>, cx: RunContext, out: Emitter) -> Self {
        let tools = agent.tools.with_client_tools(&cx.client_tools);
        let deadline = Instant::now() + agent.limits.max_time;
        Self {
            agent,
            cx,
            tools,
            deadline,
            transcript: Transcript::new(),
            out,
            history,
            view: Vec::new(),
            used: Usage::default(),
            shrunk: 0,
            observed: false,
        }
    }

    /// Emits an event and takes it into the transcript.
    pub(crate) async fn emit(&mut self, event: Event) {
        self.transcript.apply(&event);
        self.out.emit(event).await;
    }

    /// The terminal event; `None` if the run was paused.
    async fn run(mut self, input: RunInput) -> Option<Event> {
        let mut steps = 0;
        let begun = match input {
            RunInput::Message(message) => {
                self.started().await;
                self.history.push(message);
                None
            }
            RunInput::Resume(decisions) => {
                self.started().await;
                let open = calls::open_calls(&self.history);
                calls::decide(&mut self, open, decisions).await.map(finished)
            }
            RunInput::GoOn(events) => {
                steps = self.take_in(&events);
                let history = std::mem::take(&mut self.history);
                let ended = go_on(&mut self, &history, &events).await;
                self.history = history;
                ended
            }
        };
        match begun {
            Some(terminal) => Some(terminal),
            None => self.steps(steps + 1).await,
        }
    }

    async fn started(&mut self) {
        self.emit(Event::Started { model: self.agent.model.name().to_owned() }).await;
    }

    /// Takes in what the run has told before it was paused; gives the number of model calls.
    fn take_in(&mut self, events: &[Event]) -> u32 {
        let mut steps = 0;
        for event in events {
            self.transcript.apply(event);
            if let Event::Usage { usage, .. } = event {
                self.used += *usage;
                self.observed = true;
                steps += 1;
            }
        }
        steps
    }

    async fn steps(&mut self, first: u32) -> Option<Event> {
        if let Err(failed) = self.choose_view().await {
            return Some(failed);
        }
        // A note to the model after an unreadable tool call; given once.
        let mut note: Option<Message> = None;
        let mut noted = false;
        for step in first..=self.agent.limits.max_steps {
            if self.cx.pause.is_cancelled() {
                return None;
            }
            if let Some(terminal) = self.step(step, &mut note, &mut noted).await {
                return Some(terminal);
            }
        }
        Some(finished(Outcome::MaxSteps))
    }

    /// One model call and the tools it asks for; `Some` is how the run ends.
    async fn step(&mut self, step: u32, note: &mut Option<Message>, noted: &mut bool) -> Option<Event> {
        let said = match self.call_model(step, note.take()).await {
            Said::Failed(error) if error.kind == ModelErrorKind::ContextTooLong && self.shrunk == 0 => {
                self.shrunk += 1;
                if let Err(failed) = self.choose_view().await {
                    return Some(failed);
                }
                self.call_model(step, None).await
            }
            said => said,
        };
        let (reason, calls) = match said {
            Said::Stopped { reason, calls } => (reason, calls),
            Said::Over(outcome) => return Some(finished(outcome)),
            Said::Failed(error) => {
                return Some(Event::Failed {
                    error: error.message,
                    code: error.kind.code().into(),
                    retryable: error.kind.is_transient(),
                });
            }
        };
        match ending(reason) {
            // Some servers say `stop` although they ask for tools.
            Some(Outcome::Complete) if !calls.is_empty() => {
                if let Some(outcome) = calls::run(self, calls).await {
                    return Some(finished(outcome));
                }
            }
            Some(outcome) => return Some(finished(outcome)),
            None if !std::mem::replace(noted, true) => {
                *note = Some(Message::user(
                    "Your last output could not be read. If you want to call a tool, write its input as valid JSON.",
                ));
            }
            None => {
                return Some(Event::Failed {
                    error: "The model wrote an unreadable tool call twice.".into(),
                    code: "model_malformed_output".into(),
                    retryable: true,
                });
            }
        }
        let spent = self.agent.limits.max_output_tokens.is_some_and(|most| self.used.output_tokens >= most);
        // A tool that the run's end cut short leaves no time for another call.
        let late = Instant::now() >= self.deadline;
        spent.then_some(Outcome::MaxTokens).or(late.then_some(Outcome::MaxSeconds)).map(finished)
    }

    async fn choose_view(&mut self) -> Result<(), Event> {
        let history = History { skipped: self.cx.skipped, messages: &self.history, memo: &self.cx.memo };
        let choice = self.agent.context.select(history, Budget { attempt: self.shrunk });
        // A strategy may ask a model, which takes its time.
        let chosen = tokio::select! {
            biased;
            () = self.cx.cancel.cancelled() => return Err(finished(Outcome::Cancelled)),
            () = tokio::time::sleep_until(self.deadline) => return Err(finished(Outcome::MaxSeconds)),
            chosen = choice => chosen,
        };
        match chosen {
            Ok(view) => {
                self.view = view;
                Ok(())
            }
            Err(error) => Err(Event::Failed {
                error: error.to_string(),
                code: ModelErrorKind::ContextTooLong.code().into(),
                retryable: false,
            }),
        }
    }

    fn request(&self, note: Option<Message>) -> ModelRequest {
        let mut messages = self.view.clone();
        let said = self.transcript.messages();
        let mut params = self.cx.params.clone();
        if !said.is_empty() {
            // Forced again after its result, the model would call for ever.
            params.tool_choice = None;
        }
        messages.extend(said);
        messages.extend(note);
        if let Some(most) = self.agent.limits.max_output_tokens {
            let left = u32::try_from(most.saturating_sub(self.used.output_tokens)).unwrap_or(u32::MAX);
            params.max_output_tokens =
                Some(params.max_output_tokens.map_or(left, |own| own.min(left)).max(1));
        }
        ModelRequest {
            system: self.agent.system.clone(),
            messages: invariants::prepare(messages),
            tools: self.tools.specs(),
            params,
            on_restart: self.cx.on_restart,
        }
    }

    async fn call_model(&mut self, step: u32, note: Option<Message>) -> Said {
        let request = self.request(note);
        if request.messages.last().is_none_or(|last| last.role != Role::User) {
            let message = "There is nothing to answer.";
            return Said::Failed(ModelError::new(ModelErrorKind::BadRequest, message));
        }
        let mut stream = self.agent.model.stream(request);
        // Made once a call, not once a token, and looked at only when they wake up: `FuturesUnordered` knows.
        let (cancel, deadline) = (self.cx.cancel.clone(), self.deadline);
        let mut interrupted = FuturesUnordered::from_iter([async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Outcome::Cancelled,
                () = tokio::time::sleep_until(deadline) => Outcome::MaxSeconds,
            }
        }]);
        let mut answer = Answer::new(self);
        loop {
            let item = tokio::select! {
                biased;
                Some(outcome) = interrupted.next() => break Said::Over(outcome),
                item = stream.next() => item,
            };
            match item {
                Some(Ok(ModelEvent::Stop(reason))) => {
                    let calls = answer.calls;
                    let usage = answer.usage;
                    let model = answer.model.unwrap_or_else(|| self.agent.model.name().to_owned());
                    self.used += usage;
                    if !std::mem::replace(&mut self.observed, true) {
                        self.agent.context.observe(&self.view, &usage, &self.cx.memo);
                    }
                    // The connection is not needed while tools run.
                    drop(stream);
                    self.emit(Event::Usage {
                        step,
                        model,
                        usage,
                        stop_reason: reason,
                        cost_usd: None,
                        totals_usd: None,
                    })
                    .await;
                    return Said::Stopped { reason, calls };
                }
                Some(Ok(event)) => {
                    if let Some(event) = answer.take(event) {
                        self.emit(event).await;
                    }
                }
                Some(Err(error)) => break Said::Failed(error),
                None => {
                    let message = "The model's answer broke off before its end.";
                    break Said::Failed(ModelError::new(ModelErrorKind::Truncated, message));
                }
            }
        }
    }
}

pub(crate) fn finished(outcome: Outcome) -> Event {
    Event::Finished { outcome }
}

/// How a run ends whose model stopped for this reason and asked for no tool; `None` if what it wrote is unreadable.
pub(crate) fn ending(reason: StopReason) -> Option<Outcome> {
    match reason {
        StopReason::ToolUse | StopReason::EndTurn => Some(Outcome::Complete),
        StopReason::MaxTokens | StopReason::ModelContextWindowExceeded => Some(Outcome::MaxTokens),
        StopReason::StopSequence => Some(Outcome::StopSequence),
        StopReason::GuardrailIntervened => Some(Outcome::Guardrail),
        StopReason::ContentFiltered => Some(Outcome::Refusal),
        StopReason::MalformedToolUse | StopReason::MalformedModelOutput => None,
    }
}

/// A tool's input as the model wrote it; no text at all means an empty object.
pub(crate) fn parse_input(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("The input has to be a JSON object.".into()),
        Err(error) => Err(format!("The input is not valid JSON ({error}).")),
    }
}
