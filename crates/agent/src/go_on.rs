//! Goes on with a run that was paused, here or in another process.

use crate::agent_loop::{Turn, ending, finished};
use crate::calls::{self, Ready};
use crate::event::{Event, Outcome};
use crate::message::{Message, ToolUse};
use crate::tool::ToolOutput;

/// Goes on where a paused run stopped: takes back half an answer of the model, settles calls that have no result. `Some`
/// is how the run ends; `None` means that the model is asked next.
pub(crate) async fn go_on(turn: &mut Turn, history: &[Message], events: &[Event]) -> Option<Event> {
    // What counts is the last event that says where the turn stands.
    let last = events.iter().rev().find(|event| {
        matches!(
            event,
            Event::Text { .. }
                | Event::Reasoning { .. }
                | Event::ToolStart { .. }
                | Event::ToolInput { .. }
                | Event::ToolCall { .. }
                | Event::ToolResult { .. }
                | Event::Usage { .. }
                | Event::Reset { .. }
        )
    });
    match last {
        Some(Event::Usage { stop_reason, .. }) => return ending(*stop_reason).map(finished),
        Some(
            Event::Text { .. } | Event::Reasoning { .. } | Event::ToolStart { .. } | Event::ToolInput { .. },
        ) => {
            turn.emit(Event::Reset { reason: "The answer goes on in another process.".into() }).await;
            return None;
        }
        _ => {}
    }
    let conversation: Vec<Message> = history.iter().cloned().chain(turn.transcript.messages()).collect();
    let mut ready = Vec::new();
    let mut waiting = Vec::new();
    for ToolUse { tool_use_id: id, name, input } in calls::open_calls(&conversation) {
        let problem = turn.tools.validate(&name, &input).err();
        let spec = turn.tools.spec(&name);
        let told = |is: fn(&Event, &str) -> bool| events.iter().any(|event| is(event, &id));
        let approved = told(|event, id| matches!(event, Event::ToolProgress { id: of, .. } if of == id));
        // A tool that is not offered here and now (its server may still be starting) had effects all the same.
        let meant =
            told(|event, call| matches!(event, Event::ToolCall { id, effects: true, .. } if id == call));
        let waits = spec.is_some_and(|spec| spec.client_side || (spec.needs_approval && !approved));
        if problem.is_none() && waits {
            let asked = told(
                |event, call| matches!(event, Event::ApprovalRequested { id, .. } | Event::ClientCall { id, .. } if id == call),
            );
            waiting.push((asked, ToolUse { tool_use_id: id, name, input }));
        } else if spec.map_or(meant || approved, |spec| problem.is_none() && spec.has_effects()) {
            // It may have begun, and nobody knows how far it came.
            let output = ToolOutput::error(crate::invariants::INTERRUPTED);
            ready.push(Ready::Answered { id: id.into(), name, output });
        } else {
            ready.push(calls::prepare(turn, &id, name, input, problem));
        }
    }
    if let Some(outcome) = calls::execute(turn, ready).await {
        return Some(finished(outcome));
    }
    let still_open = !waiting.is_empty();
    calls::ask(turn, waiting.into_iter().filter_map(|(asked, call)| (!asked).then_some(call)).collect())
        .await;
    still_open.then(|| finished(Outcome::Interrupted))
}
