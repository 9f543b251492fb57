//! The cloud crate through its front door, one module a subject:
//! `template` golden files and rules.

mod template;
mod tools;
