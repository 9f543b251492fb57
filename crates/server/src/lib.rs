//! Everything of Loquat that has a socket: HTTP, sessions, runs, dialects, models, tools.

mod alarm;
pub mod app;
pub mod assemble;
pub mod auth;
pub mod aws;
pub mod clock;
pub mod config;
pub mod dialects;
pub mod embed;
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod http;
pub mod ids;
pub mod limits;
pub mod models;
pub mod page;
pub mod runs;
pub mod secret;
pub mod sessions;
pub mod telemetry;
pub mod tls;
pub mod tools;
