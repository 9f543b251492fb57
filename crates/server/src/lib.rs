//! Everything of Loquat that has a socket: HTTP, sessions, runs, dialects, models, tools.

pub mod auth;
pub mod aws;
pub mod host;
pub mod limits;
pub mod models;
pub mod secret;
pub mod sessions;
pub mod tls;
