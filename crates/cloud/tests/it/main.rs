//! The cloud crate through its front door, one module a subject:
//! `template` golden files and rules.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects")]

mod template;
mod tools;
