//! The HTTP edge: requests in, answers and problems out.

pub mod chat;
pub mod json;
pub mod meta;
pub mod problem;
pub mod runs;
pub mod sessions;
