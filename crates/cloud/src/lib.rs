//! The AWS side of Loquat: the CloudFormation template, packaging, deploying, destroying, logs and the
//! doctor.
//!
//! This crate shares no types with the server. The two meet in the names of environment variables, and a test
//! holds them together (`tests/it`, in the `loquat` crate, which sees both).

pub mod agent;
pub mod assets;
pub mod aws;
pub mod cognito;
pub mod deploy;
pub mod destroy;
pub mod doctor;
pub mod elf;
pub mod init;
pub mod logs;
pub mod package;
pub mod settings;
pub mod template;
pub mod ui;
