//! As many of the last messages as fit a number of tokens.

use async_trait::async_trait;
use serde_json::Value;

use super::{Budget, ContextError, ContextStrategy, History, Memo, Reach, START};
use crate::event::Usage;
use crate::message::{Content, Document, Message, Source, ToolContent};

/// The last messages whose calls fit a number of input tokens, cut only where a user's turn begins.
///
/// Tokens are counted by the provider, not by a tokenizer that would be right for one model only: the strategy notes
/// what the last call cost in all (system prompt and tools included) and estimates, from characters, only what changed
/// since. Before a session's first call there is only the estimate.
#[derive(Clone, Copy, Debug)]
pub struct TokenBudget {
    tokens: u64,
}

impl TokenBudget {
    /// A budget of so many input tokens a call.
    #[must_use]
    pub fn new(tokens: u64) -> Self {
        Self { tokens: tokens.max(1) }
    }
}

/// The note that holds by how many tokens the provider's count of the last call was above the estimate. It may be
/// negative.
const CORRECTION: &str = "token_correction";

#[async_trait]
impl ContextStrategy for TokenBudget {
    fn reach(&self) -> Reach {
        Reach::All
    }

    async fn select(&self, history: History<'_>, budget: Budget) -> Result<Vec<Message>, ContextError> {
        let start = self.start(&history, budget)?;
        history.memo.set(START, Value::from(start));
        Ok(history.from(start).to_vec())
    }

    fn observe(&self, view: &[Message], usage: &Usage, memo: &Memo) {
        let counted = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
        // A provider that does not count says 0.
        if counted > 0 {
            memo.set(CORRECTION, Value::from(counted.cast_signed() - estimate(view).cast_signed()));
        }
    }
}

impl TokenBudget {
    fn start(&self, history: &History<'_>, budget: Budget) -> Result<usize, ContextError> {
        let noted = history.noted_start().max(history.skipped);
        let correction = history.memo.get(CORRECTION).and_then(|noted| noted.as_i64()).unwrap_or(0);
        let cost = |tokens: u64| tokens.saturating_add_signed(correction);
        let now = estimate(history.from(noted));
        let most = match budget.attempt {
            0 if cost(now) <= self.tokens && history.is_turn(noted) => return Ok(noted),
            // A cut frees at least a quarter of the budget.
            0 => self.tokens - self.tokens / 4,
            // The model knows better than the budget: half of what it did not take.
            attempt => cost(now).min(self.tokens) >> attempt,
        };
        // From the end: how far back the budget reaches.
        let mut tokens = 0;
        let mut earliest = history.total();
        for (at, message) in history.messages.iter().enumerate().rev() {
            tokens += message_estimate(message);
            if cost(tokens) > most {
                break;
            }
            earliest = history.skipped + at;
        }
        // A history that was edited may reach back before the noted start; else a start never moves back.
        let earliest = if history.is_turn(noted) { earliest.max(noted) } else { earliest };
        let start = history.turn_from(earliest);
        if budget.attempt > 0 && start <= noted { Err(ContextError::TooLong) } else { Ok(start) }
    }
}

/// About how many tokens messages have, where nobody has counted them.
#[must_use]
pub fn estimate(messages: &[Message]) -> u64 {
    messages.iter().map(message_estimate).sum()
}

fn message_estimate(message: &Message) -> u64 {
    /// The role and the marks between messages.
    const FRAME: u64 = 4;
    FRAME + message.content.iter().map(block_estimate).sum::<u64>()
}

fn block_estimate(block: &Content) -> u64 {
    match block {
        Content::Text(text) => text_estimate(text),
        Content::Reasoning(reasoning) => {
            reasoning.reasoning_text.as_ref().map_or(0, |reasoning| text_estimate(&reasoning.text))
        }
        Content::ToolUse(call) => text_estimate(&call.name) + text_estimate(&call.input.to_string()),
        Content::ToolResult(result) => result
            .content
            .iter()
            .map(|part| match part {
                ToolContent::Text(text) => text_estimate(text),
                ToolContent::Json(value) => text_estimate(&value.to_string()),
                ToolContent::Image(_) => IMAGE,
                ToolContent::Document(document) => document_estimate(document),
                ToolContent::Other(map) => text_estimate(&Value::Object(map.clone()).to_string()),
            })
            .sum(),
        Content::Image(_) => IMAGE,
        Content::Document(document) => document_estimate(document),
        Content::Other(map) => text_estimate(&Value::Object(map.clone()).to_string()),
    }
}

/// What providers count for a picture of the size that they scale to.
const IMAGE: u64 = 1600;

/// Four ASCII characters are about a token; other scripts have a token for every character or two.
fn text_estimate(text: &str) -> u64 {
    if text.is_ascii() {
        return (text.len() as u64).div_ceil(4);
    }
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let others = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    ascii.div_ceil(4) + others
}

fn document_estimate(document: &Document) -> u64 {
    /// What is stored elsewhere is not measured.
    const UNKNOWN: u64 = 3000;
    match (&document.source, document.format.as_str()) {
        (Source::Bytes(bytes), "txt" | "md" | "csv" | "html") => bytes.0.len() as u64 / 4,
        // Formats with fonts, pictures and compression: about a token in twenty bytes.
        (Source::Bytes(bytes), _) => bytes.0.len() as u64 / 20,
        (Source::Other(_), _) => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_grow_with_the_text() {
        assert_eq!(text_estimate(""), 0);
        assert_eq!(text_estimate("four"), 1);
        assert_eq!(text_estimate("日本語"), 3);
        assert_eq!(estimate(&[Message::user("x".repeat(400)), Message::assistant("")]), 108);
    }
}
