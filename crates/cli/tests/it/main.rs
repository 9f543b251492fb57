//! End-to-end tests: the real binary, spoken to over HTTP or a pipe, answering with a model server whose every piece
//! the test lets through by hand.

// Tests may fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aws;
mod bad_input;
mod chat;
mod clients;
mod consent;
mod dialects;
mod documents;
mod durability;
mod embedders;
mod examples;
mod hosts;
mod keys;
mod kills;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod memory;
mod ministack;
mod openai;
mod operators;
mod responses;
mod runs;
mod sessions;
mod settings;
mod support;
mod terminal;
mod tools;
mod transcripts;
mod two_processes;
