//! Models of the providers people use, and what keeps a call alive when they misbehave.
//!
//! [`build()`] makes one [`Model`](loquat_agent::model::Model) of a list of [`ModelConfig`]s. Nothing here reads the
//! environment; only the AWS SDK does, by its own rules, at the first call.

mod anthropic;
mod bedrock;
mod body;
mod build;
mod check;
mod config;
mod failure;
mod history;
mod http;
#[cfg(feature = "local-model")]
pub mod local;
mod marked;
mod openai;
mod params;
mod resilience;
mod silence;
pub mod sse;

pub use build::{BuildContext, BuildError, LocalFactory, build};
pub use check::{Checked, Latency, check};
pub use config::{
    BedrockOptions, Guardrail, GuardrailMode, ModelConfig, Prices, PromptCache, Provider, Retry, Timeouts,
};
pub use http::Http;
pub use params::{ParamError, check as check_params};
