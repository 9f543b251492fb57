//! What a run that died left behind, made whole. Nothing is ever deleted.

use jiff::Timestamp;
use loquat_agent::event::Event;
use loquat_agent::message::{Content, Message, Role, ToolUse};
use loquat_agent::open_calls;
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
    let answers = unknown(&transcript.unanswered());
    let mut messages = transcript.messages();
    match messages.last_mut() {
        _ if answers.is_empty() => {}
        Some(last) if last.role == Role::User => last.content.extend(answers),
        _ => messages.push(Message::new(Role::User, answers)),
    }
    messages
}

/// Answers for calls whose outcome nobody knows.
fn unknown(calls: &[ToolUse]) -> Vec<Content> {
    let answer = |call: &ToolUse| {
        Content::ToolResult(missing_result(&call.tool_use_id, loquat_agent::invariants::INTERRUPTED))
    };
    calls.iter().map(answer).collect()
}

/// Completes a session from the log of the run that held it; gives what the log lacks.
pub fn complete(document: &mut Document, lease: &Lease, stored: &Stored, now: Timestamp) -> Ending {
    let terminal = stored.events.last().filter(|event| event.is_terminal()).cloned().unwrap_or_else(lost);
    let mut messages = messages_of(&stored.events);
    if lease.resumes {
        answer_asked_calls(document, &mut messages);
    }
    mark(&mut messages, lease.id.as_str(), now, &terminal, stored.events.first());
    match messages.is_empty() {
        true => note_on_question(document, lease, &terminal),
        false => document.append(&messages),
    }
    // Whoever thaws and still believes that it holds the session has an epoch that is over.
    document.head.epoch += 1;
    document.head.run = None;
    document.head.updated_at = now;
    Ending { missing: Vec::new(), terminal, message_count: Some(document.count()) }
}

/// Where nothing was answered, the question says how its turn ended. One that cannot be read stays as it is.
fn note_on_question(document: &mut Document, lease: &Lease, terminal: &Event) {
    let is_question =
        |m: &Message| m.starts_turn() && m.metadata.get("run_id") == Some(&lease.id.as_str().into());
    if !document.last(1).is_ok_and(|last| last.iter().all(is_question)) {
        return;
    }
    if let Ok(mut all) = document.last(document.count())
        && let Some(question) = all.last_mut()
    {
        note_end(question, terminal);
        document.replace(&all);
    }
}

/// A run that goes on with the calls of an earlier one answers them first, in one message. Those it did not come to may
/// have begun: whoever reads the session is told that nobody knows.
fn answer_asked_calls(document: &Document, messages: &mut Vec<Message>) {
    // What cannot be read stays as it is; who reads the session next says so.
    let mut history = document.last(64).unwrap_or_default();
    let first_is_answers = messages.first().is_some_and(|first| first.tool_results().next().is_some());
    history.extend(messages.first().filter(|_| first_is_answers).cloned());
    let answers = unknown(&open_calls(&history));
    match messages.first_mut() {
        _ if answers.is_empty() => {}
        Some(first) if first_is_answers => first.content.extend(answers),
        _ => messages.insert(0, Message::new(Role::User, answers)),
    }
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

#[cfg(test)]
mod tests {
    use loquat_agent::message::ToolContent;

    use super::*;
    use crate::ids::{RunId, SessionId};

    /// The process died before the first word.
    #[test]
    fn a_question_without_an_answer_says_that_its_run_is_lost() {
        let now: Timestamp = "2026-02-11T09:00:00Z".parse().unwrap();
        for (asked_by, noted) in [("r", true), ("another", false)] {
            let mut document = Document::new(SessionId::parse("s").unwrap(), None, now);
            let mut question = Message::user("Why?");
            question.metadata.insert("run_id".into(), asked_by.into());
            document.append(&[Message::user("Before."), question]);
            let lease = Lease::of(RunId::parse("r").unwrap(), now);
            let stored = Stored { events: vec![Event::Started { model: "m".into() }], ..Stored::default() };
            assert_eq!(complete(&mut document, &lease, &stored, now).terminal, lost());
            let messages = document.last(9).unwrap();
            assert_eq!(messages.len(), 2);
            assert!(!messages[0].metadata.contains_key("outcome"));
            let code = messages[1].metadata.get("error").map(|error| error["code"].clone());
            assert_eq!(code, noted.then(|| LOST.into()));
        }
    }

    /// The process died while it carried out what the user had allowed.
    #[test]
    fn calls_that_were_decided_and_got_no_answer_have_an_unknown_outcome() {
        let now: Timestamp = "2026-02-11T09:00:00Z".parse().unwrap();
        let call = |id: &str| {
            Content::ToolUse(ToolUse { tool_use_id: id.into(), name: "pay".into(), input: json!({}) })
        };
        let result = Event::ToolResult {
            id: "a".into(),
            name: "pay".into(),
            content: vec![ToolContent::Text("paid".into())],
            is_error: false,
            duration_ms: 1,
            rest: None,
        };
        for (events, expected) in [(vec![], ["unknown", "unknown"]), (vec![result], ["paid", "unknown"])] {
            let mut document = Document::new(SessionId::parse("s").unwrap(), None, now);
            document.append(&[
                Message::user("Pay both."),
                Message::new(Role::Assistant, vec![call("a"), call("b")]),
            ]);
            let lease = Lease { resumes: true, ..Lease::of(RunId::parse("r").unwrap(), now) };
            let stored = Stored { events, ..Stored::default() };
            let ending = complete(&mut document, &lease, &stored, now);
            assert_eq!(ending.terminal, lost());
            let messages = document.last(9).unwrap();
            assert_eq!(messages.len(), 3);
            assert!(open_calls(&messages).is_empty());
            assert_eq!(messages[2].metadata["outcome"], "failed");
            let told: Vec<String> =
                messages[2].tool_results().map(|result| json!(result.content).to_string()).collect();
            for (told, part) in told.iter().zip(expected) {
                assert!(told.contains(part), "{told}");
            }
        }
    }
}
