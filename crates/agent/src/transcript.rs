//! The messages of a turn, as a function of its events.
//!
//! The same fold serves the loop (what the model sees next), the commit (what is stored) and the repair of a session
//! whose process died: what is stored is exactly what was shown.

use serde_json::Value;

use crate::event::Event;
use crate::message::{
    Bytes, Content, Message, Reasoning, ReasoningText, Role, ToolContent, ToolResult, ToolStatus, ToolUse,
};

/// Folds events into messages. The user's own message is not part of it.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    done: Vec<Message>,
    assistant: Vec<Content>,
    results: Vec<Content>,
    /// Where the current model call begins in `assistant`: a reset goes back to here.
    step_start: usize,
    /// The next piece of reasoning opens a block of its own (the last one was signed).
    reasoning_closed: bool,
}

impl Transcript {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Text { text } => self.text(text),
            Event::Reasoning { text, signature, redacted } => {
                self.reasoning(text, signature.as_deref(), redacted.as_deref());
            }
            Event::ToolCall { id, name, input, .. } => {
                self.speak();
                self.assistant.push(Content::ToolUse(ToolUse {
                    tool_use_id: id.clone(),
                    name: name.clone(),
                    input: input.clone(),
                }));
            }
            Event::ToolResult { id, content, is_error, .. } => {
                let status = if *is_error { ToolStatus::Error } else { ToolStatus::Success };
                let content = content.clone();
                self.results.push(Content::ToolResult(ToolResult {
                    tool_use_id: id.clone(),
                    content,
                    status,
                }));
            }
            // While results wait for the model nothing of the current call has been said.
            Event::Reset { .. } if self.results.is_empty() => self.assistant.truncate(self.step_start),
            Event::Usage { .. } => {
                self.step_start = self.assistant.len();
                self.reasoning_closed = true;
            }
            Event::Started { .. }
            | Event::ToolStart { .. }
            | Event::ToolInput { .. }
            | Event::ToolProgress { .. }
            | Event::ApprovalRequested { .. }
            | Event::ClientCall { .. }
            | Event::Custom { .. }
            | Event::Reset { .. }
            | Event::Finished { .. }
            | Event::Failed { .. } => {}
        }
    }

    /// The messages so far, the open ones included.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let mut messages = self.done.clone();
        if !self.assistant.is_empty() {
            messages.push(Message::new(Role::Assistant, self.assistant.clone()));
        }
        if !self.results.is_empty() {
            messages.push(Message::new(Role::User, self.results.clone()));
        }
        messages
    }

    /// The tool uses that no result answers yet, in call order.
    #[must_use]
    pub fn unanswered(&self) -> Vec<ToolUse> {
        let answered = |id: &str| {
            self.results.iter().any(|block| matches!(block, Content::ToolResult(r) if r.tool_use_id == id))
        };
        self.assistant
            .iter()
            .filter_map(|block| match block {
                Content::ToolUse(tool_use) if !answered(&tool_use.tool_use_id) => Some(tool_use.clone()),
                _ => None,
            })
            .collect()
    }

    /// How many characters of text the turn holds.
    #[must_use]
    pub fn text_chars(&self) -> usize {
        self.done
            .iter()
            .flat_map(|message| &message.content)
            .chain(&self.assistant)
            .filter_map(Content::as_text)
            .map(|text| text.chars().count())
            .sum()
    }

    /// The model speaks again after tools answered: the finished pair of messages is closed.
    fn speak(&mut self) {
        if self.results.is_empty() {
            return;
        }
        if !self.assistant.is_empty() {
            self.done.push(Message::new(Role::Assistant, std::mem::take(&mut self.assistant)));
        }
        self.done.push(Message::new(Role::User, std::mem::take(&mut self.results)));
        self.step_start = 0;
        self.reasoning_closed = false;
    }

    fn text(&mut self, piece: &str) {
        self.speak();
        let open = self.assistant.len() > self.step_start;
        match self.assistant.last_mut() {
            Some(Content::Text(text)) if open => text.push_str(piece),
            _ => self.assistant.push(Content::Text(piece.to_owned())),
        }
    }

    fn reasoning(&mut self, piece: &str, signature: Option<&str>, redacted: Option<&str>) {
        self.speak();
        if let Some(redacted) = redacted {
            if let Ok(bytes) = serde_json::from_value::<Bytes>(Value::String(redacted.to_owned())) {
                let block = Reasoning { reasoning_text: None, redacted_content: Some(bytes) };
                self.assistant.push(Content::Reasoning(block));
            }
            self.reasoning_closed = true;
            return;
        }
        let open = self.assistant.len() > self.step_start && !self.reasoning_closed;
        match self.assistant.last_mut() {
            Some(Content::Reasoning(Reasoning { reasoning_text: Some(block), .. })) if open => {
                block.text.push_str(piece);
                block.signature = signature.map(str::to_owned);
            }
            _ => self.assistant.push(Content::Reasoning(Reasoning {
                reasoning_text: Some(ReasoningText {
                    text: piece.to_owned(),
                    signature: signature.map(str::to_owned),
                }),
                redacted_content: None,
            })),
        }
        self.reasoning_closed = signature.is_some();
    }
}

/// The error result that stands in for a tool's answer that never came.
#[must_use]
pub fn missing_result(tool_use_id: &str, reason: &str) -> ToolResult {
    ToolResult {
        tool_use_id: tool_use_id.to_owned(),
        content: vec![ToolContent::Text(reason.to_owned())],
        status: ToolStatus::Error,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{StopReason, Usage};

    fn fold(events: &[Event]) -> Vec<Message> {
        let mut transcript = Transcript::new();
        for event in events {
            transcript.apply(event);
        }
        transcript.messages()
    }
    fn text(text: &str) -> Event {
        Event::Text { text: text.into() }
    }
    fn usage() -> Event {
        Event::Usage {
            step: 1,
            model: "m".into(),
            usage: Usage::default(),
            stop_reason: StopReason::EndTurn,
            cost_usd: None,
            totals_usd: None,
        }
    }
    fn call(id: &str) -> Event {
        Event::ToolCall { id: id.into(), name: "t".into(), input: json!({}), effects: false }
    }
    fn result(id: &str) -> Event {
        Event::ToolResult {
            id: id.into(),
            name: "t".into(),
            content: vec![ToolContent::Text("r".into())],
            is_error: false,
            duration_ms: 1,
            rest: None,
        }
    }

    #[test]
    fn a_turn_with_tools_alternates() {
        let messages =
            fold(&[text("a"), text("b"), call("1"), call("2"), usage(), result("1"), result("2"), text("c")]);
        let shape: Vec<_> = messages.iter().map(|m| (m.role, m.content.len())).collect();
        assert_eq!(shape, [(Role::Assistant, 3), (Role::User, 2), (Role::Assistant, 1)]);
        assert_eq!(messages[0].text(), "ab");
    }

    #[test]
    fn a_reset_takes_back_the_current_call_only() {
        let reset = Event::Reset { reason: "cut".into() };
        let messages =
            fold(&[text("a"), call("1"), usage(), result("1"), text("x"), reset.clone(), text("c")]);
        assert_eq!(messages.len(), 3);
        assert_eq!(messages[2].text(), "c");
        // Nothing said after the results: the reset has nothing to take back.
        assert_eq!(fold(&[text("a"), call("1"), usage(), result("1"), reset]).len(), 2);
    }

    #[test]
    fn signed_reasoning_blocks_stay_apart() {
        let piece = |text: &str, signature: Option<&str>| Event::Reasoning {
            text: text.into(),
            signature: signature.map(str::to_owned),
            redacted: None,
        };
        let messages = fold(&[piece("a", None), piece("b", None), piece("", Some("s")), piece("c", None)]);
        let blocks = serde_json::to_value(&messages[0].content).unwrap();
        assert_eq!(
            blocks,
            json!([
                {"reasoningContent": {"reasoningText": {"text": "ab", "signature": "s"}}},
                {"reasoningContent": {"reasoningText": {"text": "c"}}},
            ])
        );
    }
}
