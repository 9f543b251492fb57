//! Which part of the history a model sees.
//!
//! The full history is always kept in the store; a strategy only chooses. Its choice is byte-stable: what the model saw
//! last time it sees again, except at a cut, and cuts are few and large, so that providers' prompt caches hit.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::message::Message;

/// Chooses what the model sees.
#[async_trait]
pub trait ContextStrategy: Send + Sync {
    /// How much of the history [`Self::select`] needs to be given.
    fn reach(&self) -> Reach;

    /// The messages to send: a part of `history`, ending with its last message, that begins with a user's turn and
    /// never parts a tool use from its result.
    ///
    /// # Errors
    /// [`ContextError`] where no choice fits the budget.
    async fn select(&self, history: History<'_>, budget: Budget) -> Result<Vec<Message>, ContextError>;
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
pub struct Memo(Arc<Mutex<Map<String, Value>>>);

impl Memo {
    /// A memo as it was stored.
    #[must_use]
    pub fn new(stored: Map<String, Value>) -> Self {
        Self(Arc::new(Mutex::new(stored)))
    }

    /// Reads a note.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        self.0.lock().get(key).cloned()
    }

    /// Writes a note.
    pub fn set(&self, key: &str, value: Value) {
        self.0.lock().insert(key.to_owned(), value);
    }

    /// Everything noted, to be stored.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.lock().clone()
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

/// The last messages, cut only where a user's turn begins.
#[derive(Clone, Copy, Debug)]
pub struct SlidingWindow {
    size: usize,
}

impl SlidingWindow {
    /// The reference's default.
    pub const DEFAULT_SIZE: usize = 20;

    /// A window of at most `size` messages (at least 1).
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { size: size.max(1) }
    }
}

/// The note that holds where the model's view begins, as a number of messages from the start of the session.
const START: &str = "window_start";

#[async_trait]
impl ContextStrategy for SlidingWindow {
    fn reach(&self) -> Reach {
        Reach::Last(self.size)
    }

    async fn select(&self, history: History<'_>, budget: Budget) -> Result<Vec<Message>, ContextError> {
        let total = history.skipped + history.messages.len();
        let size = match budget.attempt {
            0 => self.size,
            _ if history.messages.len() == 1 => return Err(ContextError::TooLong),
            attempt => (self.size.min(total) >> attempt).max(1),
        };
        let start = window_start(&history, size);
        history.memo.set(START, Value::from(start));
        Ok(history.messages[start - history.skipped..].to_vec())
    }
}

/// Keeps the last start while the window holds everything from there; else cuts at least a quarter of the window, at
/// the next turn of a user.
fn window_start(history: &History<'_>, size: usize) -> usize {
    let total = history.skipped + history.messages.len();
    let is_turn = |at: usize| {
        at >= history.skipped && history.messages.get(at - history.skipped).is_some_and(Message::starts_turn)
    };
    // An edited history may be shorter than what was noted: then the view begins anew.
    let last = history
        .memo
        .get(START)
        .and_then(|noted| usize::try_from(noted.as_u64()?).ok())
        .filter(|start| *start < total)
        .unwrap_or(0);
    if total - last <= size && is_turn(last) {
        return last;
    }
    let earliest = if total <= size { 0 } else { (last + size.div_ceil(4)).max(total - size) };
    (earliest.max(history.skipped)..total).find(|at| is_turn(*at)).unwrap_or(total - 1)
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Content, Role, ToolUse};
    use crate::transcript::missing_result;

    /// A conversation of turns with the given numbers of tool calls, then a new message.
    fn conversation(turns: &[usize]) -> Vec<Message> {
        let mut messages = Vec::new();
        for (turn, calls) in turns.iter().enumerate() {
            messages.push(Message::user(format!("question {turn}")));
            for call in 0..*calls {
                let id = format!("{turn}-{call}");
                let input = Value::Object(Map::new());
                messages.push(Message::new(
                    Role::Assistant,
                    vec![Content::ToolUse(ToolUse { tool_use_id: id.clone(), name: "t".into(), input })],
                ));
                messages.push(Message::new(Role::User, vec![Content::ToolResult(missing_result(&id, "r"))]));
            }
            messages.push(Message::assistant(format!("answer {turn}")));
        }
        messages
    }

    fn select(strategy: &dyn ContextStrategy, messages: &[Message], memo: &Memo) -> Vec<Message> {
        let skipped = match strategy.reach() {
            Reach::Last(n) => messages.len().saturating_sub(n),
            Reach::All => 0,
        };
        let history = History { skipped, messages: &messages[skipped..], memo };
        strategy.select(history, Budget::default()).now_or_never().unwrap().unwrap()
    }

    proptest! {
        /// Over a growing conversation: within the window, whole turns only, the new message last; the prefix stays
        /// the same between cuts, and a cut drops at least a quarter of the window.
        #[test]
        fn the_window_is_stable(turns in prop::collection::vec(0..3usize, 1..60), size in 8..40usize) {
            let strategy = SlidingWindow::new(size);
            let memo = Memo::default();
            let mut last_start = 0;
            for turn in 0..turns.len() {
                let mut messages = conversation(&turns[..turn]);
                messages.push(Message::user("new"));
                let view = select(&strategy, &messages, &memo);
                prop_assert!(view.len() <= size);
                prop_assert!(view[0].starts_turn());
                prop_assert_eq!(view.last(), messages.last());
                prop_assert_eq!(crate::invariants::check(&view), Ok(()));
                let start = messages.len() - view.len();
                prop_assert!(start == last_start || start >= last_start + size.div_ceil(4));
                last_start = start;
            }
        }
    }

    #[test]
    fn an_edited_history_begins_anew() {
        let memo = Memo::default();
        let mut long = conversation(&[0; 30]);
        long.push(Message::user("new"));
        assert!(select(&SlidingWindow::new(20), &long, &memo).len() <= 20);
        let short = [Message::user("edited")];
        assert_eq!(select(&SlidingWindow::new(20), &short, &memo), short);
    }

    #[test]
    fn a_shrunk_window_is_smaller_until_nothing_is_left() {
        let messages = conversation(&[0; 4]);
        let shrink = |messages: &[Message]| {
            let memo = Memo::default();
            let history = History { skipped: 0, messages, memo: &memo };
            SlidingWindow::new(20).select(history, Budget { attempt: 1 }).now_or_never().unwrap()
        };
        assert!(shrink(&messages[..7]).unwrap().len() < 7);
        assert!(matches!(shrink(&messages[..1]), Err(ContextError::TooLong)));
    }
}
