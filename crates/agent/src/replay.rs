//! Runs a recorded run again: the same loop, with a model and tools that say what the log says they said.
//!
//! If the loop still does what it did, the events are the same, bit by bit. What is measured rather than decided is taken
//! from the log: how long a tool took, what a call cost, and the part of a tool's answer that was cut off.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::agent_loop::{Agent, Limits, RunContext, RunInput};
use crate::calls::{Decision, Verdict};
use crate::context::{Memo, SlidingWindow};
use crate::event::{Event, Outcome, Progress, StopReason};
use crate::message::{Content, Message, Role, ToolContent, ToolUse};
use crate::model::{ModelError, ModelErrorKind, ModelEvent, OnRestart, Params};
use crate::scripted::{ScriptedModel, Step};
use crate::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use crate::tool_set::ToolSet;

/// How long the loop may be silent before the replay gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time limit of a run that ended by its time limit.
const SHORT: Duration = Duration::from_secs(3);

/// What came of running it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// The events of this time.
    pub events: Vec<Event>,
    /// How many recorded events are the loop's; a last one that its server added (it could not save, its process died) is
    /// not.
    pub comparable: usize,
}

impl Replay {
    /// The place, from 0, of the first event that differs; `None` if all are the same.
    #[must_use]
    pub fn first_difference(&self, recorded: &[Event]) -> Option<usize> {
        let recorded = &recorded[..self.comparable];
        let bytes = |event: &Event| serde_json::to_vec(event).unwrap_or_default();
        let same = recorded.iter().zip(&self.events).take_while(|(a, b)| bytes(a) == bytes(b)).count();
        (same < recorded.len().max(self.events.len())).then_some(same)
    }
}

/// Runs the run of these events again. `resumed` says that it went on from an earlier run's open calls.
pub async fn replay(recorded: &[Event], resumed: bool) -> Replay {
    let script = Script::read(recorded, resumed);
    let comparable = script.comparable;
    let (seen, watch) = watch::channel(0_usize);
    let tools = script.tools(&watch);
    let cancel = CancellationToken::new();
    let agent = Agent {
        model: ScriptedModel::named(&script.model, script.calls),
        system: None,
        tools,
        context: Arc::new(SlidingWindow::new(20)),
        limits: script.limits,
    };
    let cx = RunContext {
        session_id: "replay".into(),
        run_id: "replay".into(),
        user: None,
        cancel: cancel.clone(),
        pause: CancellationToken::new(),
        on_restart: OnRestart::Reset,
        client_tools: Vec::new(),
        params: Params::default(),
        skipped: 0,
        memo: Memo::default(),
    };
    let mut stream = agent.run(script.history, script.input, cx);
    let mut events = Vec::new();
    while events.len() < comparable {
        if script.cancelled_at == Some(events.len()) {
            cancel.cancel();
        }
        match tokio::time::timeout(PATIENCE, stream.next()).await {
            Ok(Some(event)) => {
                let event = measured(event, recorded.get(events.len()));
                events.push(event);
                // Tools wait for their turn in the log.
                seen.send_replace(events.len());
            }
            Ok(None) | Err(_) => break,
        }
    }
    Replay { events, comparable }
}

/// An event with what is measured taken from the log.
fn measured(mut event: Event, recorded: Option<&Event>) -> Event {
    match (&mut event, recorded) {
        (
            Event::ToolResult { duration_ms, rest, id, .. },
            Some(Event::ToolResult { duration_ms: took, rest: cut, id: own, .. }),
        ) if id == own => {
            *duration_ms = *took;
            rest.clone_from(cut);
        }
        (
            Event::ApprovalRequested { expires_at, .. },
            Some(Event::ApprovalRequested { expires_at: noted, .. }),
        ) => expires_at.clone_from(noted),
        (
            Event::Usage { cost_usd, totals_usd, .. },
            Some(Event::Usage { cost_usd: cost, totals_usd: totals, .. }),
        ) => {
            *cost_usd = *cost;
            totals_usd.clone_from(totals);
        }
        _ => {}
    }
    event
}

/// What a tool's call did, with the places of its events in the log.
#[derive(Debug, Default)]
struct CallScript {
    reports: Vec<(usize, Report)>,
    /// `None` for a call that never answered by itself.
    result: Option<(usize, ToolOutput)>,
}

#[derive(Clone, Debug)]
enum Report {
    Progress(Progress),
    Custom(String, Value),
}

/// A run, taken apart.
struct Script {
    model: String,
    calls: Vec<Vec<Step>>,
    tool_calls: HashMap<String, CallScript>,
    specs: BTreeMap<String, ToolSpec>,
    limits: Limits,
    history: Vec<Message>,
    input: RunInput,
    cancelled_at: Option<usize>,
    comparable: usize,
}

impl Script {
    fn read(recorded: &[Event], resumed: bool) -> Self {
        let terminal = recorded.last().filter(|event| event.is_terminal());
        let own_end = terminal.is_some_and(is_the_loops);
        let comparable =
            if own_end { recorded.len() } else { recorded.len() - usize::from(terminal.is_some()) };
        let events = &recorded[..comparable];
        let cut = match terminal {
            Some(Event::Finished { outcome: Outcome::Cancelled | Outcome::MaxSeconds }) => {
                Some(events.iter().position(was_stopped).unwrap_or(comparable - 1))
            }
            _ => None,
        };
        let (history, input) = input(events, resumed);
        Self {
            model: match recorded.first() {
                Some(Event::Started { model }) => model.clone(),
                _ => String::new(),
            },
            calls: model_calls(events),
            tool_calls: tool_calls(events),
            specs: specs(events),
            limits: limits(events),
            history,
            input,
            cancelled_at: cut
                .filter(|_| matches!(terminal, Some(Event::Finished { outcome: Outcome::Cancelled }))),
            comparable,
        }
    }

    fn tools(&self, seen: &watch::Receiver<usize>) -> ToolSet {
        let calls: HashMap<String, Arc<CallScript>> = self
            .tool_calls
            .iter()
            .map(|(id, call)| {
                let copy = CallScript { reports: call.reports.clone(), result: call.result.clone() };
                (id.clone(), Arc::new(copy))
            })
            .collect();
        let calls = Arc::new(calls);
        ToolSet::new(self.specs.values().map(|spec| {
            Arc::new(Recorded { spec: spec.clone(), calls: Arc::clone(&calls), seen: seen.clone() })
                as Arc<dyn Tool>
        }))
    }
}

/// Whether the loop itself ends a run so. Other ends are its server's.
fn is_the_loops(terminal: &Event) -> bool {
    match terminal {
        Event::Failed { code, .. } => code == "model_malformed_output" || kind(code).is_some(),
        _ => true,
    }
}

fn kind(code: &str) -> Option<ModelErrorKind> {
    use ModelErrorKind as Kind;

    let kinds = [
        Kind::Throttled,
        Kind::Unavailable,
        Kind::Timeout,
        Kind::Truncated,
        Kind::Protocol,
        Kind::ContextTooLong,
        Kind::BadRequest,
        Kind::Auth,
        Kind::NotFound,
        Kind::NotInstalled,
        Kind::Internal,
    ];
    kinds.into_iter().find(|kind| kind.code() == code)
}

/// Whether this is the answer the loop gives for a call that was stopped before it had one.
fn was_stopped(event: &Event) -> bool {
    let Event::ToolResult { content, is_error: true, duration_ms: 0, .. } = event else { return false };
    let [ToolContent::Text(text)] = content.as_slice() else { return false };
    text.ends_with("before this call gave a result. Its outcome is unknown.")
}

/// What the model said, a script a call.
fn model_calls(events: &[Event]) -> Vec<Vec<Step>> {
    let mut calls = Vec::new();
    let mut call: Vec<Step> = Vec::new();
    for event in events {
        let say = match event.clone() {
            Event::Text { text } => ModelEvent::Text(text),
            Event::Reasoning { signature: Some(signature), .. } => ModelEvent::ReasoningSignature(signature),
            Event::Reasoning { redacted: Some(redacted), .. } => ModelEvent::RedactedReasoning(redacted),
            Event::Reasoning { text, .. } => ModelEvent::Reasoning(text),
            Event::ToolStart { id, name } => ModelEvent::ToolStart { id, name },
            Event::ToolInput { id, delta } => ModelEvent::ToolInput { id, delta },
            Event::Reset { reason } => ModelEvent::Reset { reason },
            Event::Usage { model, usage, stop_reason, .. } => {
                call.push(Step::Say(ModelEvent::Usage { usage, model: Some(model) }));
                call.push(Step::Say(ModelEvent::Stop(stop_reason)));
                calls.push(std::mem::take(&mut call));
                continue;
            }
            _ => continue,
        };
        call.push(Step::Say(say));
    }
    match events.last() {
        Some(Event::Failed { error, code, .. }) => {
            if let Some(kind) = kind(code) {
                let fail = Step::Fail(ModelError::new(kind, error.clone()));
                call.push(fail.clone());
                calls.push(std::mem::take(&mut call));
                // A prompt that is too long is tried once more, shorter.
                calls.push(vec![fail]);
            }
        }
        // It was still speaking when it was stopped, or its process died.
        _ => {
            call.push(Step::Gate(Arc::new(Semaphore::new(0))));
            calls.push(call);
        }
    }
    calls
}

/// What tools did, by call.
fn tool_calls(events: &[Event]) -> HashMap<String, CallScript> {
    let mut calls: HashMap<String, CallScript> = HashMap::new();
    for (n, event) in events.iter().enumerate() {
        match event {
            // The loop's own words, when a call was allowed.
            Event::ToolProgress { progress, .. } if is_approval(progress) => {}
            Event::ToolProgress { id, progress } => {
                calls.entry(id.clone()).or_default().reports.push((n, Report::Progress(progress.clone())));
            }
            // Whose it was is not recorded, nor does it matter: the call that answers next says it again.
            Event::Custom { name, data } => {
                let next = events[n..].iter().find_map(|event| match event {
                    Event::ToolResult { id, .. } => Some(id.clone()),
                    _ => None,
                });
                if let Some(id) = next {
                    let report = Report::Custom(name.clone(), data.clone());
                    calls.entry(id).or_default().reports.push((n, report));
                }
            }
            Event::ToolResult { id, content, is_error, .. } if !was_stopped(event) => {
                let output = ToolOutput { content: content.clone(), is_error: *is_error };
                calls.entry(id.clone()).or_default().result = Some((n, output));
            }
            _ => {}
        }
    }
    calls
}

fn is_approval(progress: &Progress) -> bool {
    *progress == Progress { message: Some("approved".into()), ..Progress::default() }
}

/// What is known of the tools.
fn specs(events: &[Event]) -> BTreeMap<String, ToolSpec> {
    let mut specs: BTreeMap<String, ToolSpec> = BTreeMap::new();
    let mut names: HashMap<&str, &str> = HashMap::new();
    for event in events {
        let (Event::ToolCall { id, name, .. }
        | Event::ToolResult { id, name, .. }
        | Event::ApprovalRequested { id, name, .. }
        | Event::ClientCall { id, name, .. }) = event
        else {
            continue;
        };
        names.insert(id, name);
        let spec = specs.entry(name.clone()).or_insert_with(|| {
            let mut spec = ToolSpec::new(name.clone(), "", json!({"type": "object"})).read_only();
            spec.timeout = Duration::from_secs(3_600);
            spec
        });
        match event {
            Event::ToolCall { effects: true, .. } => spec.read_only = false,
            Event::ApprovalRequested { .. } => spec.needs_approval = true,
            Event::ClientCall { .. } => spec.client_side = true,
            _ => {}
        }
    }
    for event in events {
        if let Event::ToolProgress { id, progress } = event
            && is_approval(progress)
            && let Some(spec) = names.get(id.as_str()).and_then(|name| specs.get_mut(*name))
        {
            spec.read_only = false;
        }
    }
    specs
}

fn limits(events: &[Event]) -> Limits {
    let mut limits = Limits {
        max_steps: u32::MAX,
        tool_concurrency: 1_024,
        result_bytes: usize::MAX,
        ..Limits::default()
    };
    let calls = events.iter().filter_map(|event| match event {
        Event::Usage { usage, stop_reason, .. } => Some((usage.output_tokens, *stop_reason)),
        _ => None,
    });
    let calls: Vec<(u64, StopReason)> = calls.collect();
    match events.last() {
        Some(Event::Finished { outcome: Outcome::MaxSteps }) => {
            limits.max_steps = u32::try_from(calls.len()).unwrap_or(u32::MAX);
        }
        Some(Event::Finished { outcome: Outcome::MaxSeconds }) => limits.max_time = SHORT,
        // By the model's own limit, or by the run's?
        Some(Event::Finished { outcome: Outcome::MaxTokens })
            if calls.last().is_some_and(|(_, reason)| {
                !matches!(reason, StopReason::MaxTokens | StopReason::ModelContextWindowExceeded)
            }) =>
        {
            limits.max_output_tokens = Some(calls.iter().map(|(tokens, _)| tokens).sum());
        }
        _ => {}
    }
    limits
}

/// What the run answers, and what stood before it. What the user wrote is not in the log, and changes nothing.
fn input(events: &[Event], resumed: bool) -> (Vec<Message>, RunInput) {
    if !resumed {
        return (Vec::new(), RunInput::Message(Message::user("(replay)")));
    }
    let until = events.iter().position(|event| {
        matches!(
            event,
            Event::Text { .. } | Event::Reasoning { .. } | Event::ToolStart { .. } | Event::Usage { .. }
        )
    });
    let mut open: Vec<ToolUse> = Vec::new();
    let mut decisions = Vec::new();
    for event in &events[..until.unwrap_or(events.len())] {
        let (id, name, input) = match event {
            Event::ToolResult { id, name, .. } => (id, name, Value::Object(Map::new())),
            Event::ApprovalRequested { id, name, input, .. } | Event::ClientCall { id, name, input } => {
                (id, name, input.clone())
            }
            _ => continue,
        };
        open.push(ToolUse { tool_use_id: id.clone(), name: name.clone(), input });
        if let Event::ToolResult { content, .. } = event {
            let verdict = match content.as_slice() {
                [ToolContent::Text(text)] if text == "The user did not allow this call." => {
                    Verdict::Refuse(None)
                }
                [ToolContent::Text(text)] => match text.strip_prefix("The user did not allow this call: ") {
                    Some(reason) => Verdict::Refuse(Some(reason.to_owned())),
                    None => Verdict::Approve,
                },
                _ => Verdict::Approve,
            };
            decisions.push(Decision { id: id.clone(), verdict });
        }
    }
    let asked = Message::new(Role::Assistant, open.into_iter().map(Content::ToolUse).collect());
    (vec![Message::user("(replay)"), asked], RunInput::Resume(decisions))
}

/// A tool that does what the log says it did, when it did it.
struct Recorded {
    spec: ToolSpec,
    calls: Arc<HashMap<String, Arc<CallScript>>>,
    seen: watch::Receiver<usize>,
}

#[async_trait]
impl Tool for Recorded {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _: Value, cx: ToolContext) -> ToolOutput {
        let Some(script) = self.calls.get(&*cx.call_id).cloned() else {
            return std::future::pending().await;
        };
        let mut seen = self.seen.clone();
        for (n, report) in &script.reports {
            // The sender lives as long as the replay.
            let _ = seen.wait_for(|seen| seen >= n).await;
            match report.clone() {
                Report::Progress(progress) => cx.progress.report(progress),
                Report::Custom(name, data) => cx.progress.custom(name, data).await,
            }
        }
        match &script.result {
            Some((n, output)) => {
                let _ = seen.wait_for(|seen| seen >= n).await;
                output.clone()
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
