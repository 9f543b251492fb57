//! Which part of the history a model sees.
//!
//! The full history is always kept in the store; a strategy only chooses. Its choice is byte-stable: what the model saw
//! last time it sees again, except at a cut, and cuts are few and large, so that providers' prompt caches hit.
//!
//! | strategy | the model sees |
//! |---|---|
//! | [`SlidingWindow`] | the last messages |
//! | [`Null`] | the new message alone |
//! | [`TokenBudget`] | as many of the last messages as fit a number of tokens |
//! | [`Summarizing`] | a summary of the older messages, then the last messages |

mod sliding_window;
mod summarizing;
#[cfg(test)]
mod tests;
mod token_budget;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};

pub use self::sliding_window::SlidingWindow;
pub use self::summarizing::Summarizing;
pub use self::token_budget::{TokenBudget, estimate};
use crate::event::Usage;
use crate::message::Message;

/// Chooses what the model sees.
#[async_trait]
pub trait ContextStrategy: Send + Sync {
    /// How much of the history [`Self::select`] needs to be given.
    fn reach(&self) -> Reach;

    /// The messages to send: the end of `history`, beginning with a user's turn, so that no tool use is parted from its
    /// result. What stands before may be told in the first of them.
    ///
    /// # Errors
    /// [`ContextError`] where no choice fits the budget.
    async fn select(&self, history: History<'_>, budget: Budget) -> Result<Vec<Message>, ContextError>;

    /// What the first call with a choice of [`Self::select`] cost, as the provider says.
    fn observe(&self, _view: &[Message], _usage: &Usage, _memo: &Memo) {}
}

/// How much history a strategy needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The last so many messages.
    Last(usize),
    /// All of it.
    All,
}

/// A conversation up to and including the user's new message.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// How many messages stand before `messages` in the store.
    pub skipped: usize,
    /// The messages, the new one last.
    pub messages: &'a [Message],
    /// What the strategy noted in earlier turns.
    pub memo: &'a Memo,
}

/// What a strategy remembers from turn to turn. The server stores it in the session beside the messages.
#[derive(Clone, Debug, Default)]
pub struct Memo(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    notes: Mutex<Map<String, Value>>,
    warnings: Mutex<Vec<String>>,
}

impl Memo {
    /// A memo as it was stored.
    #[must_use]
    pub fn new(stored: Map<String, Value>) -> Self {
        Self(Arc::new(Inner { notes: Mutex::new(stored), warnings: Mutex::default() }))
    }

    /// Reads a note.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.notes.lock().get(key).cloned()
    }

    /// Writes a note.
    pub fn set(&self, key: &str, value: Value) {
        self.0.notes.lock().insert(key.to_owned(), value);
    }

    /// Everything noted, to be stored.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.notes.lock().clone()
    }

    /// Says what went wrong without failing the run: for the log, so it holds no text of messages.
    pub fn warn(&self, warning: impl Into<String>) {
        self.0.warnings.lock().push(warning.into());
    }

    /// What was said by [`Self::warn`] since this was last asked. Warnings are not stored.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.0.warnings.lock())
    }
}

/// What the choice has to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// How often the model has said that the choice was too long: 0, then 1.
    pub attempt: u32,
}

/// Why no choice could be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ContextError {
    /// Nothing is left to drop.
    #[error("the message is too long for the model")]
    TooLong,
}

/// The new message alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

#[async_trait]
impl ContextStrategy for Null {
    fn reach(&self) -> Reach {
        Reach::Last(1)
    }

    async fn select(&self, history: History<'_>, _: Budget) -> Result<Vec<Message>, ContextError> {
        Ok(history.messages.last().cloned().into_iter().collect())
    }
}

/// The note that holds where the model's view begins, as a number of messages from the start of the session.
const START: &str = "window_start";

impl History<'_> {
    /// How many messages the session has.
    fn total(&self) -> usize {
        self.skipped + self.messages.len()
    }

    /// Whether a user's turn begins at this message of the session; no for those that are not given.
    fn is_turn(&self, at: usize) -> bool {
        at.checked_sub(self.skipped).and_then(|at| self.messages.get(at)).is_some_and(Message::starts_turn)
    }

    /// The messages from this one of the session on.
    fn from(&self, start: usize) -> &[Message] {
        &self.messages[start - self.skipped..]
    }

    /// Where the view began last time, if a view may still begin there. An edited history may be shorter than what was
    /// noted: then the view begins anew.
    fn noted_start(&self) -> usize {
        let noted = self.memo.get(START).and_then(|noted| usize::try_from(noted.as_u64()?).ok());
        noted.filter(|start| *start < self.total()).unwrap_or(0)
    }

    /// The first turn at or after a message of the session, else the last turn there is: a turn is never parted, however
    /// long it is.
    fn turn_from(&self, earliest: usize) -> usize {
        let earliest = earliest.max(self.skipped);
        (earliest..self.total())
            .find(|at| self.is_turn(*at))
            .or_else(|| (self.skipped..earliest).rev().find(|at| self.is_turn(*at)))
            .unwrap_or(self.total() - 1)
    }
}
