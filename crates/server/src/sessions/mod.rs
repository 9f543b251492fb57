//! Sessions: conversations, kept so that nothing is lost and nobody reads another's.

pub mod blob;
pub mod blob_index;
#[cfg(test)]
mod conformance;
pub mod index;
pub mod memory;
pub mod sqlite;
