//! The last messages.

use async_trait::async_trait;
use serde_json::Value;

use super::{Budget, ContextError, ContextStrategy, History, Reach, START};
use crate::message::Message;

/// The last messages, cut only where a user's turn begins. A turn that is longer than the window is shown whole.
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

#[async_trait]
impl ContextStrategy for SlidingWindow {
    fn reach(&self) -> Reach {
        Reach::Last(self.size)
    }

    async fn select(&self, history: History<'_>, budget: Budget) -> Result<Vec<Message>, ContextError> {
        let start = start(&history, self.size, budget)?;
        history.memo.set(START, Value::from(start));
        Ok(history.from(start).to_vec())
    }
}

/// Where a window of `size` messages begins.
pub(super) fn start(history: &History<'_>, size: usize, budget: Budget) -> Result<usize, ContextError> {
    let size = match budget.attempt {
        0 => size,
        _ if history.messages.len() == 1 => return Err(ContextError::TooLong),
        attempt => (size.min(history.total()) >> attempt).max(1),
    };
    Ok(window_start(history, size))
}

/// Keeps the last start while the window holds everything from there; else cuts at least a quarter of the window, at
/// the next turn of a user.
fn window_start(history: &History<'_>, size: usize) -> usize {
    let total = history.total();
    let last = history.noted_start();
    if total - last <= size && history.is_turn(last) {
        return last;
    }
    let earliest = if total <= size { 0 } else { (last + size.div_ceil(4)).max(total - size) };
    history.turn_from(earliest)
}
