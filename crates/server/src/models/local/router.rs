//! Which tool a question needs.

/// The built-in tool that tells the time.
pub(super) const TIME_TOOL: &str = "current_time";
/// The built-in tool that computes.
pub(super) const CALCULATOR_TOOL: &str = "calculator";
