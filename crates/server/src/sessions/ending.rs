//! How a run ended, as its session tells it: for a log whose writer died after its turn was kept.
//!
//! The session is the truth. Where the log ends early the rest of its events is made from the messages, so that whoever
//! reads the run again gets what the history holds, with the end that it had.

use loquat_agent::event::{Event, Outcome};
use loquat_agent::message::{Content, Message, Role, ToolStatus};
use loquat_agent::transcript::Transcript;
use serde_json::Value;

use super::document::{Document, Lease, Unreadable};
use super::repair;
use crate::ids::RunId;
use crate::runs::journal::{Ending, Stored};
use crate::runs::run::RunInfo;

/// What a session knows of a run: of the one that holds it, or of one whose messages it has; else `None`.
///
/// # Errors
/// [`Unreadable`] if a stored message is not one.
pub fn info_of(document: &Document, run: &RunId) -> Result<Option<RunInfo>, Unreadable> {
    if let Some(lease) = document.head.run.as_ref().filter(|lease| lease.id == *run) {
        return Ok(Some(info_of_lease(document, lease)));
    }
    let messages = document.last(document.count())?;
    let Some(first) = messages.iter().position(|message| is_of(message, run)) else { return Ok(None) };
    let created_at = messages[first].metadata.get("created_at").and_then(Value::as_str);
    let created_at = created_at.and_then(|time| time.parse().ok()).unwrap_or(document.head.updated_at);
    let info = RunInfo::new(run.clone(), document.head.session_id.clone(), created_at);
    Ok(Some(RunInfo { history_length: first, ..info }))
}

/// The run that holds a session.
#[must_use]
pub fn info_of_lease(document: &Document, lease: &Lease) -> RunInfo {
    if let Some(info) = &lease.info {
        return (**info).clone();
    }
    RunInfo {
        history_length: document.count().saturating_sub(usize::from(!lease.resumes)),
        ..RunInfo::new(lease.id.clone(), document.head.session_id.clone(), document.head.updated_at)
    }
}

fn is_of(message: &Message, run: &RunId) -> bool {
    message.metadata.get("run_id").and_then(Value::as_str) == Some(run.as_str())
}

/// The end of a run that no longer holds its session, and what its log lacks before it.
///
/// # Errors
/// [`Unreadable`] if a stored message is not one.
pub fn ending_of(document: &Document, run: &RunId, stored: &Stored) -> Result<Ending, Unreadable> {
    let messages = document.last(document.count())?;
    let Some(last) = messages.iter().rposition(|message| is_of(message, run)) else {
        return Ok(Ending { missing: Vec::new(), terminal: repair::lost(), message_count: None });
    };
    let terminal = terminal_of(&messages[last]).unwrap_or_else(repair::lost);
    let turn: Vec<&Message> =
        messages.iter().filter(|message| is_of(message, run) && !message.starts_turn()).collect();
    let missing = missing_events(&turn, &stored.events);
    Ok(Ending { missing, terminal, message_count: Some(last + 1) })
}

/// What [`repair::note_end`] noted.
fn terminal_of(last: &Message) -> Option<Event> {
    let outcome = last.metadata.get("outcome")?;
    if outcome == "failed" {
        let error = last.metadata.get("error")?;
        return Some(Event::Failed {
            error: error["message"].as_str()?.to_owned(),
            code: error["code"].as_str()?.to_owned(),
            retryable: error["retryable"].as_bool()?,
        });
    }
    let outcome: Outcome = serde_json::from_value(outcome.clone()).ok()?;
    Some(Event::Finished { outcome })
}

/// Events that lead from a log to the stored messages; none if they do not continue it.
fn missing_events(turn: &[&Message], events: &[Event]) -> Vec<Event> {
    let mut transcript = Transcript::new();
    for event in events {
        transcript.apply(event);
    }
    let logged = transcript.messages();
    let known: Vec<_> = blocks(&logged).collect();
    let mut missing = Vec::new();
    if events.is_empty()
        && let Some(model) = turn.iter().find_map(|message| message.metadata.get("model")?.as_str())
    {
        missing.push(Event::Started { model: model.to_owned() });
    }
    for (at, (role, block)) in blocks(turn.iter().copied()).enumerate() {
        match (known.get(at), block) {
            (Some(same), _) if *same == (role, block) => {}
            (Some((_, Content::Text(begun))), Content::Text(whole)) if at + 1 == known.len() => {
                match whole.strip_prefix(begun.as_str()) {
                    Some(rest) => missing.push(Event::Text { text: rest.to_owned() }),
                    None => return Vec::new(),
                }
            }
            (Some(_), _) => return Vec::new(),
            (None, block) => missing.extend(events_of(block, turn)),
        }
    }
    for event in &missing {
        transcript.apply(event);
    }
    let whole = transcript.messages();
    if blocks(&whole).eq(blocks(turn.iter().copied())) { missing } else { Vec::new() }
}

fn blocks<'a>(messages: impl IntoIterator<Item = &'a Message>) -> impl Iterator<Item = (Role, &'a Content)> {
    messages.into_iter().flat_map(|message| message.content.iter().map(|block| (message.role, block)))
}

/// The events that one block came from, or might have.
fn events_of(block: &Content, turn: &[&Message]) -> Vec<Event> {
    match block {
        Content::Text(text) => vec![Event::Text { text: text.clone() }],
        Content::Reasoning(reasoning) => match &reasoning.reasoning_text {
            Some(block) => vec![Event::Reasoning {
                text: block.text.clone(),
                signature: block.signature.clone(),
                redacted: None,
            }],
            None => Vec::new(),
        },
        Content::ToolUse(call) => vec![
            Event::ToolStart { id: call.tool_use_id.clone(), name: call.name.clone() },
            Event::ToolCall {
                id: call.tool_use_id.clone(),
                name: call.name.clone(),
                input: call.input.clone(),
                effects: true,
            },
        ],
        Content::ToolResult(result) => {
            let named = |message: &&Message| {
                message
                    .tool_uses()
                    .find(|call| call.tool_use_id == result.tool_use_id)
                    .map(|call| call.name.clone())
            };
            vec![Event::ToolResult {
                id: result.tool_use_id.clone(),
                name: turn.iter().find_map(named).unwrap_or_default(),
                content: result.content.clone(),
                is_error: result.status == ToolStatus::Error,
                duration_ms: 0,
                rest: None,
            }]
        }
        Content::Image(_) | Content::Document(_) | Content::Other(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use loquat_agent::event::{StopReason, Usage};
    use loquat_agent::message::ToolContent;
    use serde_json::json;

    use super::*;
    use crate::ids::SessionId;

    fn run() -> RunId {
        RunId::parse("r").unwrap()
    }

    fn events() -> Vec<Event> {
        let usage = Event::Usage {
            step: 1,
            model: "m".into(),
            usage: Usage::default(),
            stop_reason: StopReason::ToolUse,
            cost_usd: None,
            totals_usd: None,
        };
        vec![
            Event::Started { model: "m".into() },
            Event::Reasoning { text: "Hm".into(), signature: Some("s".into()), redacted: None },
            Event::Text { text: "Let ".into() },
            Event::Text { text: "me see".into() },
            Event::ToolStart { id: "c".into(), name: "look".into() },
            Event::ToolCall { id: "c".into(), name: "look".into(), input: json!({"at": 1}), effects: false },
            usage.clone(),
            Event::ToolResult {
                id: "c".into(),
                name: "look".into(),
                content: vec![ToolContent::Text("seen".into())],
                is_error: false,
                duration_ms: 3,
                rest: None,
            },
            Event::Text { text: "It is ".into() },
            Event::Text { text: "there.".into() },
            usage,
        ]
    }

    fn session(terminal: &Event) -> Document {
        let now: Timestamp = "2026-02-11T09:00:00Z".parse().unwrap();
        let mut document = Document::new(SessionId::parse("s").unwrap(), None, now);
        let mut question = Message::user("Where?");
        question.metadata.insert("run_id".into(), "r".into());
        let mut turn = repair::messages_of(&events());
        repair::mark(&mut turn, "r", now, terminal, events().first());
        document.append(&[Message::user("before"), Message::assistant("it"), question]);
        document.append(&turn);
        document.append(&[Message::user("after")]);
        document
    }

    /// Wherever the log ends, with what is made from the session it says the same as the session.
    #[test]
    fn a_log_cut_anywhere_is_completed_from_the_session() {
        let terminal = Event::Finished { outcome: Outcome::Complete };
        let document = session(&terminal);
        for cut in 0..=events().len() {
            let stored = Stored { events: events()[..cut].to_vec(), ..Stored::default() };
            let ending = ending_of(&document, &run(), &stored).unwrap();
            assert_eq!((&ending.terminal, ending.message_count), (&terminal, Some(6)), "{cut}");
            let all: Vec<Event> = stored.events.iter().chain(&ending.missing).cloned().collect();
            assert_eq!(repair::messages_of(&all), repair::messages_of(&events()), "{cut}");
            assert_eq!(all[0], events()[0], "{cut}");
        }
        let info = info_of(&document, &run()).unwrap().unwrap();
        assert_eq!((info.history_length, info.session_id.as_str()), (2, "s"));
        assert_eq!(info_of(&document, &RunId::parse("other").unwrap()).unwrap(), None);
    }

    /// What the session contradicts is not mended by guessing: only the end is added.
    #[test]
    fn a_log_that_says_something_else_gets_its_end_only() {
        let failed = Event::Failed { error: "e".into(), code: "c".into(), retryable: true };
        let document = session(&failed);
        let stored = Stored { events: vec![Event::Text { text: "Other".into() }], ..Stored::default() };
        let ending = ending_of(&document, &run(), &stored).unwrap();
        assert_eq!((ending.missing, ending.terminal), (Vec::new(), failed));
        let unknown = ending_of(&document, &RunId::parse("x").unwrap(), &stored).unwrap();
        assert_eq!(unknown.terminal, repair::lost());
    }
}
