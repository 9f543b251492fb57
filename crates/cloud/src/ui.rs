//! How long commands talk to whoever started them.

/// The other side of a command: a terminal, or a test.
pub trait Ui: Send {
    /// Shows a line.
    fn say(&mut self, line: &str);
    /// Asks a yes-or-no question; no is the safe answer.
    fn confirm(&mut self, question: &str) -> bool;
}
