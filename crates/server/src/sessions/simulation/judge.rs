//! What must be true at the end, whatever happened.

use std::time::Duration;

use loquat_agent::event::{Event, Outcome};
use loquat_agent::invariants;
use loquat_agent::message::{Message, Role};
use tokio::time::timeout;

use super::World;
use super::client::{Seen, session, text_of};
use super::process::{Process, answer};
use crate::auth::Principal;
use crate::ids::RunId;
use crate::sessions::service::{SessionError, SessionKey};

/// Looks at the store from a process that nothing happens to.
pub(super) async fn check(world: &World, sessions: u64) -> Result<(), String> {
    // Leases of the dead run out, the frozen thaw, the late finish.
    tokio::time::sleep(Duration::from_secs(200)).await;
    let auditor = Process::start(&world.disk, world.clock, &mut world.random.lock(), false);
    let seen = world.seen.lock().clone();
    for number in 0..sessions {
        let key = SessionKey { owner: Principal::anonymous().owner().clone(), id: session(number) };
        let messages = match auditor.sessions.view(&key).await {
            Ok(document) => {
                if document.head.run.is_some() {
                    return Err(format!("{} is still held after its runs are over", key.id));
                }
                document.last(document.count()).map_err(|error| error.to_string())?
            }
            Err(SessionError::NotFound) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        check_messages(&messages)?;
        for seen in seen.iter().filter(|seen| seen.session == key.id) {
            check_turn(seen, &messages)?;
        }
    }
    for seen in seen.iter().filter(|seen| seen.accepted) {
        check_log(world, &auditor, seen).await?;
    }
    let carried_out = world.disk.tool_calls.lock().clone();
    for ((run, call), times) in carried_out {
        if times > 1 {
            return Err(format!("the tool call {call} of {run} was carried out {times} times"));
        }
        check_intent(&auditor, &run, &call).await?;
    }
    let violations = world.disk.violations.lock();
    if violations.is_empty() { Ok(()) } else { Err(violations.join("; ")) }
}

/// The intent of a tool that ran is in the log of its run, whatever came after.
async fn check_intent(auditor: &Process, run: &str, call: &str) -> Result<(), String> {
    let run = RunId::parse(run).map_err(|error| error.to_string())?;
    let owner = Principal::anonymous().owner().clone();
    let stored = auditor.sessions.journals.read(&owner, &run).await.map_err(|error| error.to_string())?;
    let is_intent = |event: &Event| matches!(event, Event::ToolCall { id, .. } if id == call);
    match stored {
        Some(stored) if stored.events.iter().any(is_intent) => Ok(()),
        _ => Err(format!("{call} of {run} was carried out and is not in the log")),
    }
}

/// What holds for any history.
fn check_messages(messages: &[Message]) -> Result<(), String> {
    let ready = invariants::prepare(messages.to_vec());
    if !messages.is_empty() {
        let mut asked = ready.clone();
        asked.push(if ready.last().is_some_and(|last| last.role == Role::User) {
            Message::assistant("end")
        } else {
            Message::user("end")
        });
        invariants::check(&asked).map_err(|violation| format!("the history breaks: {violation}"))?;
    }
    for (at, message) in messages.iter().enumerate() {
        for call in message.tool_uses() {
            let answers = messages.get(at + 1).into_iter().flat_map(Message::tool_results);
            let count = answers.filter(|result| result.tool_use_id == call.tool_use_id).count();
            if count != 1 {
                return Err(format!("the call {} has {count} answers", call.tool_use_id));
            }
        }
    }
    Ok(())
}

/// What holds for a turn that a client asked for.
fn check_turn(seen: &Seen, messages: &[Message]) -> Result<(), String> {
    let run = seen.run.as_str();
    let of_run = |message: &&Message| message.metadata.get("run_id").and_then(|id| id.as_str()) == Some(run);
    let questions = messages.iter().filter(|m| m.role == Role::User && m.text() == seen.question).count();
    if questions > 1 {
        return Err(format!("{} stands {questions} times in the history", seen.question));
    }
    if seen.accepted && questions == 0 {
        return Err(format!("{} was accepted and is not in the history", seen.question));
    }
    let stored: String =
        messages.iter().filter(of_run).filter(|m| m.role == Role::Assistant).map(Message::text).collect();
    let whole = answer(&seen.question).concat();
    let shown = seen.text();
    if !whole.starts_with(&stored) {
        return Err(format!("{run} is stored with a wrong text: {stored}"));
    }
    if !whole.starts_with(&shown) {
        return Err(format!("{run} was shown with a wrong text: {shown}"));
    }
    match seen.terminal() {
        Some(Event::Finished { outcome: Outcome::Complete }) if stored != whole || shown != whole => {
            Err(format!("{run} was complete; stored {stored:?}, shown {shown:?}"))
        }
        Some(Event::Finished { .. }) if stored != shown => {
            Err(format!("{run} ended; stored {stored:?}, shown {shown:?}"))
        }
        _ => Ok(()),
    }
}

/// Every run that began ends in exactly one terminal event, and says what was shown.
async fn check_log(world: &World, auditor: &Process, seen: &Seen) -> Result<(), String> {
    let owner = Principal::anonymous().owner().clone();
    let found = auditor.engine.find_in(&owner, &seen.run, Some(&seen.session)).await;
    let found = found.map_err(|error| error.to_string())?;
    let Some(run) = found else { return Err(format!("{} has no log: {seen:?}", seen.run)) };
    if timeout(Duration::from_secs(600), run.finished()).await.is_err() {
        let objects = world.disk.dump(seen.run.as_str()).await;
        return Err(format!("{} never ends: {objects}", seen.run));
    }
    let stored =
        auditor.sessions.journals.read(&owner, &seen.run).await.map_err(|error| error.to_string())?;
    let events = stored.unwrap_or_default().events;
    let terminals = events.iter().filter(|event| event.is_terminal()).count();
    if terminals != 1 || !events.last().is_some_and(Event::is_terminal) {
        return Err(format!("the log of {} has {terminals} ends: {events:?}", seen.run));
    }
    if !answer(&seen.question).concat().starts_with(&text_of(&events)) {
        return Err(format!("the log of {} has a wrong text", seen.run));
    }
    let (kept, shown) = (text_of(&events), seen.text());
    match seen.terminal() {
        // A writer that froze between its commit and the end of its log finds the log ended by another, as the session
        // says. What that one had shown may have been cut elsewhere; nothing is missing, and nothing is said otherwise.
        Some(Event::Finished { .. }) if kept != shown => {
            Err(format!("the log of {} says {kept:?} and {shown:?} was shown", seen.run))
        }
        Some(end @ Event::Finished { .. }) if events.last() != Some(end) => {
            Err(format!("the log of {} ends with {:?}, shown was {end:?}", seen.run, events.last()))
        }
        _ => Ok(()),
    }
}
