//! What a run that died left behind, made whole. Nothing is ever deleted.

use jiff::Timestamp;
use loquat_agent::event::Event;
use loquat_agent::message::{Content, Message, Role};
use loquat_agent::transcript::{Transcript, missing_result};
use serde_json::{Value, json};

use super::document::{Document, Lease};
use crate::runs::journal::{Ending, Stored};

/// The stable word for a run whose process died.
pub const LOST: &str = "run_lost";

/// The terminal event of a run whose process died.
#[must_use]
pub fn lost() -> Event {
    Event::Failed {
        error: "The server stopped before the answer was complete. What was shown is kept.".into(),
        code: LOST.into(),
        retryable: true,
    }
}

/// The messages of a turn whose log ends early or not: the partial answer, with an error result for every call that
/// got none.
#[must_use]
pub fn messages_of(events: &[Event]) -> Vec<Message> {
    let mut transcript = Transcript::new();
    for event in events {
        transcript.apply(event);
    }
    answer_open_calls(&transcript)
}

/// The messages of a turn that is over: a call without a result gets an error result.
#[must_use]
pub fn answer_open_calls(transcript: &Transcript) -> Vec<Message> {
    let open = transcript.unanswered();
    let mut messages = transcript.messages();
    if !open.is_empty() {
        let answers: Vec<Content> = open
            .iter()
            .map(|call| {
                Content::ToolResult(missing_result(&call.tool_use_id, loquat_agent::invariants::INTERRUPTED))
            })
            .collect();
        match messages.last_mut() {
            Some(last) if last.role == Role::User => last.content.extend(answers),
            _ => messages.push(Message::new(Role::User, answers)),
        }
    }
    messages
}

/// Completes a session from the log of the run that held it; gives what the log lacks.
pub fn complete(document: &mut Document, lease: &Lease, stored: &Stored, now: Timestamp) -> Ending {
    let terminal = stored.events.last().filter(|event| event.is_terminal()).cloned().unwrap_or_else(lost);
    let mut messages = messages_of(&stored.events);
    mark(&mut messages, lease.id.as_str(), now, &terminal, stored.events.first());
    document.append(&messages);
    // Whoever thaws and still believes that it holds the session has an epoch that is over.
    document.head.epoch += 1;
    document.head.run = None;
    document.head.updated_at = now;
    Ending { missing: Vec::new(), terminal, message_count: Some(document.count()) }
}

/// Notes on the messages of a turn where they come from, and on the last one how the turn ended.
pub fn mark(
    messages: &mut [Message],
    run_id: &str,
    now: Timestamp,
    terminal: &Event,
    started: Option<&Event>,
) {
    for message in messages.iter_mut() {
        message.metadata.insert("run_id".into(), run_id.into());
        message.metadata.insert("created_at".into(), now.to_string().into());
        if let (Role::Assistant, Some(Event::Started { model })) = (message.role, started) {
            message.metadata.insert("model".into(), model.as_str().into());
        }
    }
    if let Some(last) = messages.last_mut() {
        note_end(last, terminal);
    }
}

/// Notes on a message how its turn ended.
pub fn note_end(message: &mut Message, terminal: &Event) {
    let (outcome, error): (&str, Option<Value>) = match terminal {
        Event::Finished { outcome } => (outcome.as_str(), None),
        Event::Failed { error, code, retryable } => {
            ("failed", Some(json!({"message": error, "code": code, "retryable": retryable})))
        }
        _ => return,
    };
    message.metadata.insert("outcome".into(), outcome.into());
    if let Some(error) = error {
        message.metadata.insert("error".into(), error);
    }
}
