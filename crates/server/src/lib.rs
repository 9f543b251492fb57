//! Everything of Loquat that has a socket: HTTP, sessions, runs, dialects, models, tools.

pub mod auth;
pub mod sessions;
