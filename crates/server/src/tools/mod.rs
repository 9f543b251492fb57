//! Where tools come from: built in, MCP servers, Python files, Lambda functions, HTTP APIs. All meet in [`Toolbox`],
//! which gives a run its tools under unique names, with the owner's policies applied.
//!
//! A source that is down, slow or wrong costs its own tools and nothing else.

mod aws;
mod builtin;
pub mod config;
mod guard;
mod lambda;
mod mcp;
mod naming;
mod openapi;
mod python;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod toolbox;

pub use builtin::memory::{BlobMemory, Fact, MemoryError, MemoryStore, NOBODY, VolatileMemory};
pub(crate) use openapi::look_at as look_at_document;
pub use python::{ObjectReader, s3_reader};
pub use toolbox::{SourceKind, SourceState, SourceStatus, ToolDeps, Toolbox};
