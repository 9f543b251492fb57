//! The cloud crate through its front door, one module a subject:
//! `template` golden files and rules, `parity` the table beside the reference's stack.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects")]

mod parity;
mod template;
mod tools;
