//! Runs: the task behind every answer, its log, and those who read it.

mod batch;
mod drive;
pub mod engine;
pub mod files;
mod follow;
pub mod journal;
pub mod log;
pub mod reader;
pub mod run;
pub mod segments;
#[cfg(test)]
pub(crate) mod tests;
