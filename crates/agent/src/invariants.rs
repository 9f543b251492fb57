//! What every provider demands of a conversation, checked and established before each call.
//!
//! - the first message is a user's, and it is not a tool's answer;
//! - roles alternate;
//! - every tool use is answered in the very next message, once, and nothing else is answered there;
//! - no message and no text block is empty.
//!
//! [`prepare`] makes any stored history satisfy them. It changes the view a model gets, never what is stored.

use std::collections::HashSet;

use crate::message::{Content, Message, Role};
use crate::transcript::missing_result;

/// What a conversation breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// There is nothing to send.
    #[error("no messages")]
    Empty,
    /// The first message is not a user's own.
    #[error("the first message is not a user's own")]
    FirstNotUser,
    /// Two messages of the same role follow each other.
    #[error("message {0} has the same role as the one before")]
    RolesDoNotAlternate(usize),
    /// A message has no content, or an empty text block.
    #[error("message {0} is empty or has an empty block")]
    EmptyContent(usize),
    /// A tool use has no answer in the next message, or an answer has no use in the message before.
    #[error("tool use and tool result do not pair up at message {0}: {1}")]
    Unpaired(usize, String),
}

/// The words a model reads where a tool's answer never came.
pub const INTERRUPTED: &str = "The call was interrupted before it gave a result. Its outcome is unknown.";

/// Whether a provider would accept the conversation.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(messages: &[Message]) -> Result<(), Violation> {
    let Some(first) = messages.first() else { return Err(Violation::Empty) };
    if first.role != Role::User || first.tool_results().next().is_some() {
        return Err(Violation::FirstNotUser);
    }
    for (at, message) in messages.iter().enumerate() {
        if at > 0 && messages[at - 1].role == message.role {
            return Err(Violation::RolesDoNotAlternate(at));
        }
        if message.content.is_empty() || message.content.iter().any(is_blank) {
            return Err(Violation::EmptyContent(at));
        }
        let mut wanted: HashSet<&str> = HashSet::new();
        if at > 0 {
            wanted.extend(messages[at - 1].tool_uses().map(|t| t.tool_use_id.as_str()));
        }
        for result in message.tool_results() {
            if !wanted.remove(result.tool_use_id.as_str()) {
                return Err(Violation::Unpaired(at, result.tool_use_id.clone()));
            }
        }
        if let Some(missing) = wanted.into_iter().next() {
            return Err(Violation::Unpaired(at, missing.to_owned()));
        }
    }
    match messages.last().and_then(|last| last.tool_uses().next()) {
        Some(open) => Err(Violation::Unpaired(messages.len() - 1, open.tool_use_id.clone())),
        None => Ok(()),
    }
}

fn is_blank(block: &Content) -> bool {
    matches!(block, Content::Text(text) if text.trim().is_empty())
}

/// The same conversation in the form every provider accepts: what cannot be paired is left out or answered with
/// [`INTERRUPTED`], neighbours of one role are joined, and metadata is dropped. An empty result means that there is
/// nothing a model could answer.
#[must_use]
pub fn prepare(messages: Vec<Message>) -> Vec<Message> {
    let mut ready: Vec<Message> = Vec::with_capacity(messages.len());
    // Ids used so far: a provider refuses a second use of one.
    let mut used: HashSet<String> = HashSet::new();
    for mut message in messages {
        message.metadata.clear();
        message.content.retain(|block| !is_blank(block));
        match message.role {
            Role::Assistant => {
                message.content.retain(|block| match block {
                    Content::ToolUse(tool_use) => used.insert(tool_use.tool_use_id.clone()),
                    Content::ToolResult(_) => false,
                    _ => true,
                });
            }
            Role::User => message.content.retain(|block| !matches!(block, Content::ToolUse(_))),
        }
        if message.content.is_empty() {
            continue;
        }
        match ready.last_mut() {
            // An assistant that goes on after its own open calls was interrupted: they are answered in between.
            Some(last) if last.role == message.role && last.tool_uses().next().is_none() => {
                last.content.append(&mut message.content);
            }
            Some(last) if last.role == message.role => {
                let answers = unanswered(last, None);
                ready.push(Message::new(Role::User, answers));
                ready.push(message);
            }
            _ => ready.push(message),
        }
    }
    for at in 0..ready.len() {
        let (before, rest) = ready.split_at_mut(at);
        let message = &mut rest[0];
        if message.role == Role::User {
            pair(before.last(), message);
        }
    }
    ready.retain(|message| !message.content.is_empty());
    let first = ready.iter().position(Message::starts_turn).unwrap_or(ready.len());
    ready.drain(..first);
    if let Some(last) = ready.last()
        && last.tool_uses().next().is_some()
    {
        let answers = unanswered(last, None);
        ready.push(Message::new(Role::User, answers));
    }
    join_neighbours(ready)
}

/// Makes a user's message answer exactly the calls of the assistant's message before it, answers first.
fn pair(before: Option<&Message>, message: &mut Message) {
    let mut open: HashSet<&str> = before
        .filter(|b| b.role == Role::Assistant)
        .map(|b| b.tool_uses().map(|t| t.tool_use_id.as_str()).collect())
        .unwrap_or_default();
    message.content.retain(|block| match block {
        Content::ToolResult(result) => open.remove(result.tool_use_id.as_str()),
        _ => true,
    });
    if let Some(before) = before.filter(|b| b.role == Role::Assistant) {
        let mut answers = unanswered(before, Some(message));
        message.content.append(&mut answers);
    }
    // Stable: results keep their order and come before what the user says.
    message.content.sort_by_key(|block| !matches!(block, Content::ToolResult(_)));
}

/// Error results for the calls of `assistant` that `answer` leaves open.
fn unanswered(assistant: &Message, answer: Option<&Message>) -> Vec<Content> {
    let answered: HashSet<&str> =
        answer.map(|a| a.tool_results().map(|r| r.tool_use_id.as_str()).collect()).unwrap_or_default();
    assistant
        .tool_uses()
        .filter(|t| !answered.contains(t.tool_use_id.as_str()))
        .map(|t| Content::ToolResult(missing_result(&t.tool_use_id, INTERRUPTED)))
        .collect()
}

/// Joins neighbours of one role that dropping messages left side by side.
fn join_neighbours(messages: Vec<Message>) -> Vec<Message> {
    let mut joined: Vec<Message> = Vec::with_capacity(messages.len());
    for mut message in messages {
        match joined.last_mut() {
            Some(last) if last.role == message.role => last.content.append(&mut message.content),
            _ => joined.push(message),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::message::ToolUse;

    fn use_(id: &str) -> Content {
        Content::ToolUse(ToolUse { tool_use_id: id.into(), name: "t".into(), input: json!({}) })
    }
    fn answer(id: &str) -> Content {
        Content::ToolResult(missing_result(id, "r"))
    }

    fn block() -> impl Strategy<Value = Content> {
        prop_oneof![
            Just(Content::Text("hi".into())),
            Just(Content::Text(" ".into())),
            (0..4u8).prop_map(|n| use_(&n.to_string())),
            (0..4u8).prop_map(|n| answer(&n.to_string())),
        ]
    }
    fn message() -> impl Strategy<Value = Message> {
        (any::<bool>(), prop::collection::vec(block(), 0..4)).prop_map(|(user, content)| {
            Message::new(if user { Role::User } else { Role::Assistant }, content)
        })
    }

    proptest! {
        /// Whatever a file holds, a provider accepts the prepared form, and preparing twice changes nothing.
        #[test]
        fn prepared_histories_are_accepted(messages in prop::collection::vec(message(), 0..12)) {
            let ready = prepare(messages);
            if !ready.is_empty() {
                prop_assert_eq!(check(&ready), Ok(()));
            }
            prop_assert_eq!(prepare(ready.clone()), ready);
        }

        /// No text that a person wrote after the first turn began is lost.
        #[test]
        fn text_survives(messages in prop::collection::vec(message(), 0..12)) {
            let count = |messages: &[Message]| messages.iter().flat_map(|m| &m.content)
                .filter(|b| matches!(b, Content::Text(t) if t == "hi")).count();
            let mut with_start = vec![Message::user("hi")];
            with_start.extend(messages);
            prop_assert_eq!(count(&prepare(with_start.clone())), count(&with_start));
        }
    }

    #[test]
    fn an_interrupted_call_is_answered() {
        let ready = prepare(vec![
            Message::user("a"),
            Message::new(Role::Assistant, vec![use_("1"), use_("2")]),
            Message::new(Role::User, vec![answer("1")]),
            Message::user("b"),
        ]);
        assert_eq!(ready.len(), 3);
        let ids: Vec<_> = ready[2].tool_results().map(|r| r.tool_use_id.as_str()).collect();
        assert_eq!(ids, ["1", "2"]);
        assert_eq!(ready[2].text(), "b");
    }
}
