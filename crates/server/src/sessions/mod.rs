//! Sessions: conversations, kept so that nothing is lost and nobody reads another's.

pub mod blob;
