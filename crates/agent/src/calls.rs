//! The tool calls of one step: intent, consent, execution side by side, results in call order.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent_loop::{Turn, parse_input};
use crate::event::{Event, Outcome};
use crate::message::{Message, ToolContent, ToolUse};
use crate::tool::{ProgressSink, Tool, ToolContext, ToolOutput};

/// A call the model wrote.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) input_text: String,
}

impl Call {
    pub(crate) fn new(id: String, name: String) -> Self {
        Self { id, name, input_text: String::new() }
    }
}

/// What the user, or the client whose tool it is, says to an open call.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The call.
    pub id: String,
    /// What is decided.
    pub verdict: Verdict,
}

/// What is decided on an open call.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Run it.
    Approve,
    /// Do not run it; the model reads the reason.
    Refuse(Option<String>),
    /// The client ran it; this is its answer.
    Answer(ToolOutput),
}

/// A call that can run now, or whose answer is known without running it.
pub(crate) enum Ready {
    Run { id: Arc<str>, name: String, tool: Arc<dyn Tool>, input: Value },
    Answered { id: Arc<str>, name: String, output: ToolOutput },
}

/// The calls that the last messages of a stored conversation leave open.
#[must_use]
pub fn open_calls(history: &[Message]) -> Vec<ToolUse> {
    let Some(at) = history.iter().rposition(|message| message.tool_uses().next().is_some()) else {
        return Vec::new();
    };
    let answered: Vec<&str> = history[at + 1..]
        .iter()
        .flat_map(|message| message.tool_results().map(|r| r.tool_use_id.as_str()))
        .collect();
    history[at].tool_uses().filter(|t| !answered.contains(&t.tool_use_id.as_str())).cloned().collect()
}

/// Runs the calls of a step. `Some` is how the run ends; `None` means that the model can go on.
pub(crate) async fn run(turn: &mut Turn, calls: Vec<Call>) -> Option<Outcome> {
    let mut ready = Vec::new();
    let mut open = Vec::new();
    for call in calls {
        let (input, problem) = match parse_input(&call.input_text) {
            Ok(input) => {
                let problem = turn.tools.validate(&call.name, &input).err();
                (input, problem)
            }
            Err(problem) => (Value::Object(Map::new()), Some(problem)),
        };
        let spec = turn.tools.spec(&call.name);
        let effects = problem.is_none() && spec.is_some_and(crate::tool::ToolSpec::has_effects);
        let waits = problem.is_none() && spec.is_some_and(|spec| spec.needs_approval || spec.client_side);
        turn.emit(Event::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            input: input.clone(),
            effects: effects && !waits,
        })
        .await;
        if waits {
            open.push(ToolUse { tool_use_id: call.id, name: call.name, input });
        } else {
            ready.push(prepare(turn, &call.id, call.name, input, problem));
        }
    }
    if let Some(outcome) = execute(turn, ready).await {
        return Some(outcome);
    }
    ask(turn, open).await
}

/// Tells what open calls wait for. `Some` if there are any: the run ends, and another goes on with it.
pub(crate) async fn ask(turn: &mut Turn, open: Vec<ToolUse>) -> Option<Outcome> {
    if open.is_empty() {
        return None;
    }
    for ToolUse { tool_use_id: id, name, input } in open {
        let event = match turn.tools.spec(&name) {
            Some(spec) if !spec.client_side => {
                Event::ApprovalRequested { id, name, input, reason: None, expires_at: None }
            }
            _ => Event::ClientCall { id, name, input },
        };
        turn.emit(event).await;
    }
    Some(Outcome::Interrupted)
}

/// Carries out the decisions on calls that an earlier run left open. What nobody decided stays open, and so does what was
/// decided in a way that does not fit: a client cannot answer in the place of a server's tool, and the server cannot
/// run the client's.
pub(crate) async fn decide(turn: &mut Turn, open: Vec<ToolUse>, decisions: Vec<Decision>) -> Option<Outcome> {
    let mut ready = Vec::new();
    let mut still_open = Vec::new();
    for call in open {
        let ToolUse { tool_use_id: id, name, input } = call;
        let client_side = turn.tools.spec(&name).map(|spec| spec.client_side);
        match decisions.iter().find(|decision| decision.id == id).map(|decision| &decision.verdict) {
            Some(Verdict::Approve) if client_side != Some(true) => {
                let problem = turn.tools.validate(&name, &input).err();
                if turn.tools.spec(&name).is_some_and(crate::tool::ToolSpec::has_effects) {
                    // The intent stood in the log of the run that asked; this run says that it is carried out now.
                    let progress =
                        crate::event::Progress { message: Some("approved".into()), ..Default::default() };
                    turn.emit(Event::ToolProgress { id: id.clone(), progress }).await;
                }
                ready.push(prepare(turn, &id, name, input, problem));
            }
            Some(Verdict::Refuse(reason)) => {
                let output = ToolOutput::error(match reason {
                    Some(reason) => format!("The user did not allow this call: {reason}"),
                    None => "The user did not allow this call.".to_owned(),
                });
                ready.push(Ready::Answered { id: id.into(), name, output });
            }
            Some(Verdict::Answer(output)) if client_side != Some(false) => {
                ready.push(Ready::Answered { id: id.into(), name, output: output.clone() });
            }
            _ => still_open.push(ToolUse { tool_use_id: id, name, input }),
        }
    }
    match execute(turn, ready).await {
        None => ask(turn, still_open).await,
        outcome => outcome,
    }
}

pub(crate) fn prepare(turn: &Turn, id: &str, name: String, input: Value, problem: Option<String>) -> Ready {
    let id: Arc<str> = id.into();
    match (problem, turn.tools.tool(&name)) {
        (Some(problem), _) => Ready::Answered { id, name, output: ToolOutput::error(problem) },
        (None, Some(tool)) => Ready::Run { id, name, tool, input },
        (None, None) => {
            let output = ToolOutput::error(format!("The tool `{name}` is not available now."));
            Ready::Answered { id, name, output }
        }
    }
}

/// Runs what is ready, side by side, and emits the results in call order. `Some` if the run was stopped meanwhile: then
/// every call has got a result all the same.
pub(crate) async fn execute(turn: &mut Turn, ready: Vec<Ready>) -> Option<Outcome> {
    let (sender, mut reports) = mpsc::channel::<Event>(64);
    let cancel = turn.cx.cancel.child_token();
    // Stops what still runs, however this function is left.
    let _stop_all = cancel.clone().drop_guard();
    let deadline = turn.deadline;
    let mut unanswered: Vec<(Arc<str>, String)> = ready
        .iter()
        .map(|ready| match ready {
            Ready::Run { id, name, .. } | Ready::Answered { id, name, .. } => (Arc::clone(id), name.clone()),
        })
        .rev()
        .collect();
    let cx = turn.cx.clone();
    let concurrency = turn.agent.limits.tool_concurrency.max(1);
    let mut results = stream::iter(ready.into_iter().map(move |ready| {
        let progress = sender.clone();
        let cancel = cancel.child_token();
        let cx = cx.clone();
        async move {
            match ready {
                Ready::Answered { output, .. } => (output, 0),
                Ready::Run { id, name, tool, input } => {
                    let context = ToolContext {
                        session_id: cx.session_id,
                        run_id: cx.run_id,
                        user: cx.user,
                        call_id: Arc::clone(&id),
                        cancel: cancel.clone(),
                        deadline: deadline.min(Instant::now() + tool.spec().timeout),
                        progress: ProgressSink::new(id, progress),
                    };
                    let start = Instant::now();
                    let output = call_one(tool, name, input, context, cancel).await;
                    (output, u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
                }
            }
        }
    }))
    .buffered(concurrency);

    let stopped = {
        let run_cancel = turn.cx.cancel.clone();
        let mut cancelled = std::pin::pin!(run_cancel.cancelled());
        let mut late = std::pin::pin!(tokio::time::sleep_until(deadline));
        loop {
            let event = tokio::select! {
                biased;
                () = &mut cancelled => break Some(Outcome::Cancelled),
                Some(report) = reports.recv() => report,
                result = results.next() => match result {
                    Some((output, duration_ms)) => {
                        // Reports of a call come before its result.
                        while let Ok(report) = reports.try_recv() {
                            turn.emit(report).await;
                        }
                        let Some((id, name)) = unanswered.pop() else { break None };
                        result_event(&id, name, output, duration_ms, turn.agent.limits.result_bytes)
                    }
                    None => break None,
                },
                () = &mut late => break Some(Outcome::MaxSeconds),
            };
            turn.emit(event).await;
        }
    };
    if let Some(outcome) = stopped {
        let why = match outcome {
            Outcome::Cancelled => {
                "The user stopped the run before this call gave a result. Its outcome is unknown."
            }
            _ => "The run's time was up before this call gave a result. Its outcome is unknown.",
        };
        drop(results);
        while let Some((id, name)) = unanswered.pop() {
            turn.emit(result_event(&id, name, ToolOutput::error(why), 0, usize::MAX)).await;
        }
    }
    stopped
}

/// Runs one tool on a task of its own, so that neither a panic nor a blocking call of it can hurt the run.
async fn call_one(
    tool: Arc<dyn Tool>,
    name: String,
    input: Value,
    context: ToolContext,
    cancel: CancellationToken,
) -> ToolOutput {
    let deadline = context.deadline;
    let limit = tool.spec().timeout;
    let late = match deadline < Instant::now() + limit {
        true => "was ended: the run's time was up".to_owned(),
        false => format!("timed out after {} s", limit.as_secs_f32()),
    };
    let effects = tool.spec().has_effects();
    let mut task = tokio::spawn(async move { tool.call(input, context).await });
    let abort = task.abort_handle();
    let outcome = tokio::select! {
        joined = &mut task => match joined {
            Ok(output) => return output,
            Err(_) => "crashed",
        },
        () = tokio::time::sleep_until(deadline) => late.as_str(),
        () = cancel.cancelled() => "was cancelled",
    };
    cancel.cancel();
    abort.abort();
    let unknown = if effects { " Its outcome is unknown." } else { "" };
    ToolOutput::error(format!("The tool `{name}` {outcome}.{unknown}"))
}

fn result_event(id: &str, name: String, mut output: ToolOutput, duration_ms: u64, limit: usize) -> Event {
    let rest = truncate(&mut output.content, limit);
    if output.content.is_empty() {
        // Providers refuse an answer without content.
        output.content.push(ToolContent::Text("(no output)".into()));
    }
    Event::ToolResult {
        id: id.to_owned(),
        name,
        content: output.content,
        is_error: output.is_error,
        duration_ms,
        rest,
    }
}

/// Cuts an answer to `limit` bytes of text; gives what was cut off.
fn truncate(content: &mut [ToolContent], limit: usize) -> Option<String> {
    let mut left = limit;
    let mut rest = String::new();
    for block in content {
        let text = match block {
            ToolContent::Text(text) => std::mem::take(text),
            ToolContent::Json(value) => {
                let text = value.to_string();
                if text.len() <= left {
                    left -= text.len();
                    continue;
                }
                text
            }
            _ => continue,
        };
        let cut = text.floor_char_boundary(left.min(text.len()));
        left -= cut;
        *block = ToolContent::Text(if cut == text.len() {
            text
        } else {
            rest.push_str(&text[cut..]);
            format!("{}\n[cut here: {} more bytes were left out]", &text[..cut], text.len() - cut)
        });
    }
    (!rest.is_empty()).then_some(rest)
}
