//! What an agent is: messages, events, models, tools, context strategies, and the loop between them.
//!
//! This crate knows no HTTP, no AWS and no environment. It does I/O only through [`model::Model`] and [`tool::Tool`],
//! and takes the time only from tokio's clock, which tests pause.

pub mod agent_loop;
mod answer;
mod calls;
pub mod context;
mod emitter;
pub mod event;
mod go_on;
pub mod invariants;
pub mod message;
pub mod model;
pub mod replay;
pub mod scripted;
pub mod tool;
pub mod tool_set;
pub mod transcript;

pub use agent_loop::{Agent, Limits, RunContext, RunInput};
pub use calls::{Decision, Verdict, open_calls};

#[cfg(test)]
mod tests;
