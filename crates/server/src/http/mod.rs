//! The HTTP edge: requests in, answers and problems out.

pub(crate) mod a2a;
pub mod admin;
pub mod ag_ui;
pub(crate) mod agentcore;
pub mod ai_sdk;
pub mod chat;
mod error_form;
pub mod guard;
mod identity;
pub mod json;
pub(crate) mod mcp;
pub mod memory;
pub mod meta;
pub mod metrics;
pub mod openai;
pub mod openapi;
pub mod problem;
mod query;
pub mod runs;
pub mod security;
pub mod sessions;
pub mod usage;
