//! The server over real sockets, one module a subject:
//! `auth` sign-in, ownership and limits;
//! `embed` the agent inside another program;
//! `encoding` what an event takes in memory, in every dialect;
//! `lambda` the native Lambda host behind the emulator of API Gateway and the Runtime API;
//! `local_model` the embedded model with its real weights;
//! `models` every provider against the mock model server, by one suite;
//! `telemetry` what an operator is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects")]

mod auth;
mod embed;
mod encoding;
mod lambda;
#[cfg(feature = "local-model")]
mod local_model;
mod models;
mod telemetry;
