//! What an agent is: messages, events, models, tools, context strategies, and the loop between them.
//!
//! This crate knows no HTTP, no AWS and no environment. It does I/O only through [`model::Model`] and [`tool::Tool`],
//! and takes the time only from tokio's clock, which tests pause.

pub mod event;
pub mod message;
pub mod model;
pub mod tool;
