//! AG-UI 1.0: events by the published schema, in the order that its clients check.
//!
//! The encoder holds what is open on the wire, never what was said: a snapshot of the messages is folded from the log
//! when one is needed (a reset, a reconnection, an interruption).

mod events;
pub(crate) mod input;
pub(crate) mod messages;
mod state;
pub(crate) mod told;

use std::fmt::Write as _;

use loquat_agent::event::{Event, Outcome, Usage};
use serde_json::{Value, json};

use self::events::{Ev, Failed, Finished, Interrupt, Ran, Started, TokenUsage, VERSION};
use super::frames::Frames;
use super::{Encoder, Facts, Flow};
use crate::ids::Id;
use crate::runs::log::Entry;

/// A call that the model is writing, or has written and that has not begun to run.
#[derive(Debug)]
struct Writing {
    id: String,
    name: String,
    arguments: String,
}

/// Encodes AG-UI.
#[derive(Debug)]
pub(super) struct AgUi {
    /// Calls whose results the client has itself: it gave them.
    answered: Vec<String>,
    /// The ids of the client's own answers, by call.
    results: Value,
    model: String,
    /// The current assistant's message, and how many there were.
    message: String,
    messages: usize,
    /// Tools have answered: what the model says next is a new message.
    turned: bool,
    step: String,
    steps: usize,
    step_open: bool,
    /// Its model call is over; its tools may still run.
    step_over: bool,
    text_open: bool,
    reasoning: String,
    reasonings: usize,
    /// How many of them a reset keeps.
    reasonings_kept: usize,
    reasoning_open: bool,
    writing: Vec<Writing>,
    interrupts: Vec<Interrupt>,
    pending: Vec<String>,
    usage: Vec<TokenUsage>,
    /// The client holds something that the conversation does not: it needs a snapshot before the end.
    astray: bool,
    /// Reasoning that was taken back.
    taken_back: Option<String>,
}

impl AgUi {
    pub(super) fn new(options: &Value) -> Self {
        let answered = options["answered"].as_array().into_iter().flatten();
        Self {
            answered: answered.filter_map(Value::as_str).map(str::to_owned).collect(),
            results: options["results"].clone(),
            model: String::new(),
            message: String::new(),
            messages: 0,
            turned: true,
            step: String::new(),
            steps: 0,
            step_open: false,
            step_over: false,
            text_open: false,
            reasoning: String::new(),
            reasonings: 0,
            reasonings_kept: 0,
            reasoning_open: false,
            writing: Vec::new(),
            interrupts: Vec::new(),
            pending: Vec::new(),
            usage: Vec::new(),
            astray: false,
            taken_back: None,
        }
    }

    /// The model says something: a step and a message are open.
    fn speak(&mut self, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        if !self.step_open || self.step_over {
            // Calls that the last step began and that never ran.
            self.void(frames);
            self.close_step(frames);
            self.steps += 1;
            self.step_over = false;
            self.step.clear();
            let _ = write!(self.step, "step-{}", self.steps);
            self.step_open = true;
            frames.add(&Ev::StepStarted { step_name: &self.step });
        }
        self.turn(facts);
    }

    /// After tools have answered a new message begins.
    fn turn(&mut self, facts: &Facts<'_>) {
        if std::mem::take(&mut self.turned) {
            self.messages += 1;
            self.reasonings = 0;
            self.reasonings_kept = 0;
            self.message = messages::assistant_id(facts.info.id.as_str(), self.messages);
        }
    }

    fn close_text(&mut self, frames: &mut Frames<'_>) {
        if std::mem::take(&mut self.text_open) {
            frames.add(&Ev::TextMessageEnd { message_id: &self.message });
        }
    }

    fn close_reasoning(&mut self, frames: &mut Frames<'_>) {
        if std::mem::take(&mut self.reasoning_open) {
            frames.add(&Ev::ReasoningMessageEnd { message_id: &self.reasoning });
            frames.add(&Ev::ReasoningEnd { message_id: &self.reasoning });
        }
    }

    fn close_step(&mut self, frames: &mut Frames<'_>) {
        self.close_text(frames);
        self.close_reasoning(frames);
        if std::mem::take(&mut self.step_open) {
            frames.add(&Ev::StepFinished { step_name: &self.step });
        }
    }

    /// Calls that will not run. They get an answer, so that no client waits for one or runs them itself.
    fn void(&mut self, frames: &mut Frames<'_>) {
        for call in std::mem::take(&mut self.writing) {
            self.astray = true;
            frames.add(&Ev::ToolCallEnd { tool_call_id: &call.id });
            frames.add(&Ev::ToolCallResult {
                message_id: &messages::result_id(&call.id),
                tool_call_id: &call.id,
                content: "This call was not completed.".into(),
                role: "tool",
                metadata: Ran { is_error: true, duration_ms: 0 },
            });
        }
    }

    fn text(&mut self, delta: &str, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        if !self.text_open {
            self.close_reasoning(frames);
            self.speak(facts, frames);
            self.text_open = true;
            frames.add(&Ev::TextMessageStart { message_id: &self.message, role: "assistant" });
        }
        frames.add(&Ev::TextMessageContent { message_id: &self.message, delta });
    }

    fn think(&mut self, delta: &str, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        if !self.reasoning_open {
            self.close_text(frames);
            self.speak(facts, frames);
            self.reasonings += 1;
            self.reasoning = messages::reasoning_id(&self.message, self.reasonings);
            self.open_reasoning(frames);
        }
        frames.add(&Ev::ReasoningMessageContent { message_id: &self.reasoning, delta });
    }

    fn open_reasoning(&mut self, frames: &mut Frames<'_>) {
        self.reasoning_open = true;
        frames.add(&Ev::ReasoningStart { message_id: &self.reasoning });
        frames.add(&Ev::ReasoningMessageStart { message_id: &self.reasoning, role: "reasoning" });
    }

    fn started(&mut self, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        frames.add(&Ev::RunStarted {
            thread_id: facts.info.session_id.as_str(),
            run_id: facts.info.id.as_str(),
            protocol_version: VERSION,
            parent_run_id: facts.info.continues.as_ref().map(Id::as_str),
            metadata: Started { model: &self.model, history_length: facts.info.history_length },
        });
    }

    /// All messages of the conversation up to an event. `false` where what stands before the run is not known.
    fn snapshot(&self, n: u64, facts: &Facts<'_>, frames: &mut Frames<'_>) -> bool {
        let Some(before) = facts.before else { return false };
        let mut all = messages::all(before);
        all.extend(messages::of_run(facts.log, n, facts.info.id.as_str()));
        for told in &mut all {
            if let Some(id) = told["toolCallId"].as_str().and_then(|call| self.results.get(call)) {
                told["id"] = id.clone();
            }
        }
        // Calls that are being written are not part of the conversation yet.
        if !self.writing.is_empty() {
            let calls =
                self.writing.iter().map(|call| messages::call_of(&call.id, &call.name, &call.arguments));
            let own = all.iter_mut().rev().find(|message| message["id"] == *self.message);
            match own {
                Some(own) => match own["toolCalls"].as_array_mut() {
                    Some(known) => known.extend(calls),
                    None => own["toolCalls"] = calls.collect(),
                },
                None => all.push(json!({
                    "id": self.message, "role": "assistant", "toolCalls": calls.collect::<Vec<_>>()
                })),
            }
        }
        // Clients keep their reasoning if a snapshot has none at all.
        if let (Some(id), false) = (&self.taken_back, all.iter().any(|told| told["role"] == "reasoning")) {
            all.push(json!({"id": id, "role": "reasoning", "content": ""}));
        }
        frames.add(&Ev::MessagesSnapshot { messages: &all });
        true
    }

    fn count(&mut self, model: &str, usage: &Usage) {
        let (provider, name) = match model.split_once('/') {
            Some((provider, name)) => (Some(provider.to_owned()), name),
            None => (None, model),
        };
        let at = self.usage.iter().position(|known| known.model == name && known.provider == provider);
        let at = at.unwrap_or_else(|| {
            self.usage.push(TokenUsage { provider, model: name.to_owned(), ..TokenUsage::default() });
            self.usage.len() - 1
        });
        let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
        let sum = &mut self.usage[at];
        sum.input_tokens += input;
        sum.output_tokens += usage.output_tokens;
        sum.total_tokens += input + usage.output_tokens;
        sum.cached_input_tokens += usage.cache_read_tokens;
        sum.cache_write_input_tokens += usage.cache_write_tokens;
    }

    fn finished(&mut self, n: u64, outcome: Outcome, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        self.close_step(frames);
        self.void(frames);
        let waits = outcome == Outcome::Interrupted && !self.interrupts.is_empty();
        if waits {
            tell_state(n, facts, frames);
        }
        if self.astray || waits {
            self.snapshot(n, facts, frames);
        }
        let told = match outcome {
            Outcome::Cancelled => events::Outcome::Cancelled,
            Outcome::Interrupted if waits => events::Outcome::Interrupt { interrupts: &self.interrupts },
            Outcome::Interrupted => events::Outcome::Success { pending_tool_call_ids: &self.pending },
            _ => events::Outcome::Success { pending_tool_call_ids: &[] },
        };
        frames.add(&Ev::RunFinished {
            thread_id: facts.info.session_id.as_str(),
            run_id: facts.info.id.as_str(),
            outcome: told,
            usage: &self.usage,
            metadata: Finished {
                outcome: outcome.as_str(),
                message_count: facts.message_count,
                cost_usd: facts.cost_usd,
            },
        });
    }

    fn failed(
        &mut self,
        error: &str,
        code: &str,
        retryable: bool,
        cost_usd: Option<f64>,
        frames: &mut Frames<'_>,
    ) {
        self.close_step(frames);
        self.void(frames);
        frames.add(&Ev::RunError {
            message: error,
            code,
            usage: &self.usage,
            metadata: Failed { retryable, cost_usd },
        });
    }

    fn other(&mut self, n: u64, event: &Event, facts: &Facts<'_>, frames: &mut Frames<'_>) -> Flow {
        match event {
            Event::Started { model } => {
                self.model.clone_from(model);
                self.started(facts, frames);
            }
            Event::Text { text } => self.text(text, facts, frames),
            Event::Reasoning { text, signature, redacted } => {
                if !text.is_empty() {
                    self.think(text, facts, frames);
                }
                // Signatures are for the model's provider alone; they end a block.
                if signature.is_some() || redacted.is_some() {
                    self.close_reasoning(frames);
                }
            }
            Event::ToolStart { id, name } => {
                self.close_text(frames);
                self.speak(facts, frames);
                frames.add(&Ev::ToolCallStart {
                    tool_call_id: id,
                    tool_call_name: name,
                    parent_message_id: &self.message,
                });
                let (id, name) = (id.clone(), name.clone());
                self.writing.push(Writing { id, name, arguments: String::new() });
            }
            Event::ToolInput { id, delta } => {
                if let Some(call) = self.writing.iter_mut().find(|call| call.id == *id) {
                    call.arguments.push_str(delta);
                    frames.add(&Ev::ToolCallArgs { tool_call_id: id, delta });
                }
            }
            Event::ToolCall { id, name, input, .. } => {
                let at = self.writing.iter().position(|call| call.id == *id);
                let written = at.map(|at| self.writing.remove(at));
                if written.is_none() {
                    self.turn(facts);
                    frames.add(&Ev::ToolCallStart {
                        tool_call_id: id,
                        tool_call_name: name,
                        parent_message_id: &self.message,
                    });
                }
                if written.is_none_or(|call| call.arguments.is_empty()) {
                    frames.add(&Ev::ToolCallArgs { tool_call_id: id, delta: &input.to_string() });
                }
                frames.add(&Ev::ToolCallEnd { tool_call_id: id });
            }
            Event::ToolProgress { id, progress } => {
                let mut value = serde_json::to_value(progress).unwrap_or_default();
                value["id"] = id.as_str().into();
                frames.add(&Ev::Custom { name: "tool_progress", value: &value });
            }
            Event::ToolResult { id, content, is_error, duration_ms, .. } => {
                self.turned = true;
                if !self.answered.contains(id) {
                    frames.add(&Ev::ToolCallResult {
                        message_id: &messages::result_id(id),
                        tool_call_id: id,
                        content: messages::result_content(content),
                        role: "tool",
                        metadata: Ran { is_error: *is_error, duration_ms: *duration_ms },
                    });
                }
            }
            Event::ApprovalRequested { id, name, reason, expires_at, .. } => {
                self.interrupts.push(Interrupt {
                    id: id.clone(),
                    reason: "tool_call",
                    message: reason.clone().unwrap_or_else(|| format!("May the tool `{name}` run?")),
                    tool_call_id: id.clone(),
                    response_schema: json!({
                        "type": "object",
                        "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
                        "required": ["approved"],
                    }),
                    expires_at: expires_at.clone(),
                });
            }
            Event::ClientCall { id, .. } => self.pending.push(id.clone()),
            Event::Custom { name, data } => {
                frames.add(&state::of(event).unwrap_or(Ev::Custom { name, value: data }));
            }
            Event::Reset { .. } => {
                self.close_text(frames);
                self.close_reasoning(frames);
                self.void(frames);
                if self.reasonings > self.reasonings_kept {
                    let first = messages::reasoning_id(&self.message, self.reasonings_kept + 1);
                    self.taken_back = Some(first);
                }
                self.reasonings = self.reasonings_kept;
                self.astray = false;
                if !self.snapshot(n, facts, frames) {
                    let error =
                        "The answer broke off and is being written again. Ask for this run once more.";
                    self.failed(error, "answer_restarted", true, facts.cost_usd, frames);
                    return Flow::End;
                }
            }
            Event::Usage { model, usage, .. } => {
                self.count(model, usage);
                self.close_text(frames);
                self.close_reasoning(frames);
                self.reasonings_kept = self.reasonings;
                // The tools of a step are part of it; the model's next word begins another.
                self.step_over = true;
            }
            Event::Finished { outcome } => {
                self.finished(n, *outcome, facts, frames);
                return Flow::End;
            }
            Event::Failed { error, code, retryable } => {
                self.close_step(frames);
                self.void(frames);
                if self.astray {
                    self.snapshot(n, facts, frames);
                }
                self.failed(error, code, *retryable, facts.cost_usd, frames);
                return Flow::End;
            }
        }
        Flow::Continue
    }
}

/// The agent's state as it was after an event, if a tool has told it.
fn tell_state(n: u64, facts: &Facts<'_>, frames: &mut Frames<'_>) {
    for told in state::until(n, facts.log) {
        frames.add(&told);
    }
}

impl Encoder for AgUi {
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        let mut frames = Frames::new(out);
        let flow = match entry {
            Entry::Text(text) => {
                self.text(text, facts, &mut frames);
                Flow::Continue
            }
            Entry::Reasoning(text) => {
                self.think(text, facts, &mut frames);
                Flow::Continue
            }
            Entry::Other(event) => self.other(n, event, facts, &mut frames),
        };
        frames.finish(n);
        flow
    }

    fn failure(&mut self, error: &str, code: &str, retryable: bool, out: &mut Vec<u8>) {
        self.failed(error, code, retryable, None, &mut Frames::new(out));
    }

    fn stateful(&self) -> bool {
        true
    }

    fn begins_anew(&self) -> bool {
        true
    }

    /// A client's checks begin anew with every answer: the run is announced, the state and the messages are told as they
    /// were, and what is open is opened again.
    fn resume(&mut self, after: u64, facts: &Facts<'_>, out: &mut Vec<u8>) {
        let mut frames = Frames::new(out);
        self.started(facts, &mut frames);
        tell_state(after, facts, &mut frames);
        self.snapshot(after, facts, &mut frames);
        if self.step_open {
            frames.add(&Ev::StepStarted { step_name: &self.step });
        }
        if self.text_open {
            frames.add(&Ev::TextMessageStart { message_id: &self.message, role: "assistant" });
        }
        if self.reasoning_open {
            self.open_reasoning(&mut frames);
        }
        for call in &self.writing {
            frames.add(&Ev::ToolCallStart {
                tool_call_id: &call.id,
                tool_call_name: &call.name,
                parent_message_id: &self.message,
            });
        }
    }
}
