//! Conversations that only the client keeps: its messages as the model gets them.

use loquat_agent::message::{Content, Message, Role, ToolResult, ToolStatus};
use loquat_agent::tool::ToolOutput;

/// The answer to a call, as it stands in a message.
pub(crate) fn result(call: &str, output: ToolOutput) -> ToolResult {
    let status = if output.is_error { ToolStatus::Error } else { ToolStatus::Success };
    ToolResult { tool_use_id: call.to_owned(), content: output.content, status }
}

/// Adds the answer to a call. Answers that follow each other are one message.
pub(crate) fn add_result(messages: &mut Vec<Message>, result: ToolResult) {
    match messages.last_mut() {
        Some(last) if answers(last) => last.content.push(Content::ToolResult(result)),
        _ => messages.push(Message::new(Role::User, vec![Content::ToolResult(result)])),
    }
}

/// The answers of tools that a conversation ends with: what is asked is to go on.
pub(crate) fn take_answers(messages: &mut Vec<Message>) -> Option<Message> {
    messages.pop_if(|last| answers(last))
}

fn answers(message: &Message) -> bool {
    message.role == Role::User && !message.starts_turn() && !message.content.is_empty()
}
