//! What a model can be told. Plain values: the configuration of the server fills them in.

use std::fmt;
use std::time::Duration;

use loquat_agent::event::Usage;
use loquat_agent::model::Params;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::secret::Secret;

/// One model and how to call it.
#[derive(Clone, Debug, Default)]
pub struct ModelConfig {
    /// `bedrock/…`, `anthropic/…`, `openai/…`, `ollama/…`, `local/…`; without a prefix it is Bedrock's.
    pub id: String,
    /// Where the provider answers. `None` is the provider's own address. For Bedrock it overrides the SDK's own.
    pub base_url: Option<String>,
    /// The key. Bedrock takes a bearer API key; without one the AWS SDK's own chain is used.
    pub api_key: Option<Secret>,
    /// Sampling parameters.
    pub params: Params,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How to try again.
    pub retry: Retry,
    /// What it costs, if known.
    pub prices: Option<Prices>,
    /// Whether to mark the stable part of the prompt as cacheable where the provider wants marks (Anthropic, Bedrock).
    pub prompt_cache: PromptCache,
    /// Headers added to each call (OpenAI and Anthropic).
    pub headers: Vec<(String, Secret)>,
    /// Fields merged into the request's body; `null` removes one. For Bedrock they are the
    /// `additionalModelRequestFields`.
    pub extra: Map<String, Value>,
    /// What only Bedrock knows.
    pub bedrock: BedrockOptions,
}

/// Whether prompts are marked for the provider's cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptCache {
    /// Where the model is known to support it.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Settings of Amazon Bedrock.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BedrockOptions {
    /// The region, if not the AWS SDK's own.
    pub region: Option<String>,
    /// The profile of the shared configuration files, if not the AWS SDK's own.
    pub profile: Option<String>,
    /// A guardrail applied to each call.
    pub guardrail: Option<Guardrail>,
    /// `standard` or `optimized`.
    pub latency: Option<String>,
    /// `default`, `priority`, `flex` or `reserved`.
    pub service_tier: Option<String>,
}

/// A guardrail of Bedrock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// Its id or ARN.
    pub id: String,
    /// Its version: a number or `DRAFT`.
    pub version: String,
    /// Whether text is held back until it is checked (`sync`, the default) or shown at once (`async`).
    #[serde(default)]
    pub mode: GuardrailMode,
    /// Whether the trace is asked for.
    #[serde(default)]
    pub trace: bool,
}

/// When a guardrail looks at the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuardrailMode {
    /// Before it is sent.
    #[default]
    Sync,
    /// While it is sent.
    Async,
}

/// How long to wait for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// From the request to the first byte of the answer's body.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub between_bytes: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
        }
    }
}

/// How to try again after a failure that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts of one model, the first included. At least 1.
    pub attempts: u32,
    /// The upper bound of the first wait; each further bound is twice the one before.
    pub base: Duration,
    /// The largest wait that is chosen by us (a `Retry-After` may be longer).
    pub cap: Duration,
    /// The time from the start of the call after which no further attempt of this model is begun.
    pub budget: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(20),
            budget: Duration::from_secs(90),
        }
    }
}

/// Prices in US dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// A million tokens that the model reads, in US dollars.
    pub input: f64,
    /// A million tokens that it writes.
    pub output: f64,
    /// A million tokens that are read from the provider's cache; the price of `input` if not given.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// A million tokens that are written to the provider's cache; the price of `input` if not given.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

impl Prices {
    /// What a usage costs, in US dollars.
    #[must_use]
    // Token counts are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    pub fn cost(&self, usage: &Usage) -> f64 {
        let million = 1_000_000.0;
        (usage.input_tokens as f64 * self.input
            + usage.output_tokens as f64 * self.output
            + usage.cache_read_tokens as f64 * self.cache_read.unwrap_or(self.input)
            + usage.cache_write_tokens as f64 * self.cache_write.unwrap_or(self.input))
            / million
    }
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Amazon Bedrock.
    Bedrock,
    /// Anthropic's own API.
    Anthropic,
    /// OpenAI and everything that speaks its chat completions.
    OpenAi,
    /// Ollama, by its OpenAI-compatible endpoint.
    Ollama,
    /// The model inside this process.
    Local,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bedrock => "Amazon Bedrock",
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
            Self::Ollama => "Ollama",
            Self::Local => "the built-in model",
        })
    }
}

impl Provider {
    /// Splits a configured id into the provider and the provider's own name of the model.
    ///
    /// Only the known prefixes count: ARNs and the ids of inference profiles contain colons and slashes of their own
    /// (`arn:aws:bedrock:…:inference-profile/…`) and are Bedrock's as a whole.
    #[must_use]
    pub fn of(id: &str) -> (Self, &str) {
        match id.split_once('/') {
            Some(("bedrock", rest)) => (Self::Bedrock, rest),
            Some(("anthropic", rest)) => (Self::Anthropic, rest),
            Some(("openai", rest)) => (Self::OpenAi, rest),
            Some(("ollama", rest)) => (Self::Ollama, rest),
            Some(("local", rest)) => (Self::Local, rest),
            _ => (Self::Bedrock, id),
        }
    }

    /// Whether an id can be a model's: Bedrock's own ids have no slash, but for those in ARNs.
    #[must_use]
    pub fn knows(id: &str) -> bool {
        let (provider, name) = Self::of(id);
        provider != Self::Bedrock || name.starts_with("arn:") || !name.contains('/')
    }

    /// The prefix of its models' names.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Bedrock => "bedrock",
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::Local => "local",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_prefix_and_nothing_else() {
        let arn = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-x-v1:0";
        for (id, provider, name) in [
            ("openai/gpt-x", Provider::OpenAi, "gpt-x"),
            ("openai/meta-llama/Llama-3:free", Provider::OpenAi, "meta-llama/Llama-3:free"),
            ("ollama/llama3.2:1b", Provider::Ollama, "llama3.2:1b"),
            ("anthropic/claude-x", Provider::Anthropic, "claude-x"),
            ("local/smollm2", Provider::Local, "smollm2"),
            ("us.amazon.nova-lite-v1:0", Provider::Bedrock, "us.amazon.nova-lite-v1:0"),
            ("anthropic.claude-x-v1:0", Provider::Bedrock, "anthropic.claude-x-v1:0"),
            (arn, Provider::Bedrock, arn),
            ("meta/llama", Provider::Bedrock, "meta/llama"),
        ] {
            assert_eq!(Provider::of(id), (provider, name), "{id}");
        }
        assert_eq!(Provider::of(&format!("bedrock/{arn}")), (Provider::Bedrock, arn));
        assert!(
            ["openai/a/b", arn, "bedrock/nova", "us.amazon.nova-lite-v1:0"].into_iter().all(Provider::knows)
        );
        assert!(!Provider::knows("opneai/gpt-x"));
    }

    #[test]
    fn adds_up_the_cost() {
        let prices = Prices { input: 3.0, output: 15.0, cache_read: Some(0.3), cache_write: None };
        let usage = Usage {
            input_tokens: 1_000_000,
            output_tokens: 100_000,
            cache_read_tokens: 1_000_000,
            cache_write_tokens: 1_000_000,
        };
        assert!((prices.cost(&usage) - (3.0 + 1.5 + 0.3 + 3.0)).abs() < 1e-9);
    }
}
