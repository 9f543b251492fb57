//! What somebody wrote: the keys of `loquat.toml`, each optional.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loquat_agent::model::Params;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ConfigError, RawTelemetry, file, secret};
use crate::auth::AuthConfig;
use crate::dialects::config::DialectsConfig;
use crate::http::security::WebConfig;
use crate::limits::LimitsConfig;
use crate::models::{BedrockOptions, ModelConfig, Prices, PromptCache};
use crate::runs::engine::{OnBusy, OnDisconnect};
use crate::secret::Secret;
use crate::tools::config::{
    BuiltinConfig, BuiltinTool, LambdaConfig, McpConfig, OpenApiConfig, PythonConfig, ToolPolicy,
};

/// The keys of `loquat.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// The model that answers: `bedrock/…`, `anthropic/…`, `openai/…`, `ollama/…`, `local/…`; a bare name is Bedrock's.
    pub model: Option<String>,
    /// More models: each stands in for the ones before it when they fail.
    pub models: Option<Vec<String>>,
    /// Sampling parameters of all models.
    #[serde(default)]
    pub params: Params,
    /// Settings of single models, by name.
    #[serde(default)]
    pub model_settings: BTreeMap<String, ModelSettings>,
    /// The instructions.
    pub system_prompt: Option<String>,
    /// A file with the instructions, beside `loquat.toml`.
    pub system_prompt_file: Option<PathBuf>,
    /// The bucket of the object with the instructions.
    pub system_prompt_s3_bucket_name: Option<String>,
    /// The key of the object with the instructions.
    pub system_prompt_s3_key: Option<String>,
    /// The address to listen on.
    pub host: Option<IpAddr>,
    /// The port to listen on.
    pub port: Option<u16>,
    /// Listen beyond this machine although nobody signs in.
    pub insecure: Option<bool>,
    /// Where sessions are kept: `sqlite`, `memory`, `none`, `s3://…`, `gs://…`, `az://…`. On Lambda `none`
    /// unless it is said.
    pub store: Option<String>,
    /// The S3 bucket of sessions; chooses S3.
    pub session_bucket: Option<String>,
    /// The KMS key that encrypts sessions on S3.
    pub session_kms_key: Option<String>,
    /// How long a session lives after its last change.
    pub session_ttl: Option<String>,
    /// The folder of the database, run logs and keys.
    pub data_dir: Option<PathBuf>,
    /// The folder of fetched models.
    pub model_dir: Option<PathBuf>,
    /// Whether the model sees earlier messages at all.
    pub context_enabled: Option<bool>,
    /// Which part of a long conversation the model sees.
    pub context_strategy: Option<ContextStrategyName>,
    /// Messages in the window.
    pub context_window_size: Option<u64>,
    /// Tokens in the window, for the strategies that count them.
    pub context_tokens: Option<u64>,
    /// A message that finds its session busy: `reject`, `queue` or `interrupt`.
    pub on_busy: Option<OnBusy>,
    /// A run whose last reader leaves: `finish` or `cancel`.
    pub on_disconnect: Option<OnDisconnect>,
    /// Most model calls in a run.
    pub max_steps: Option<u64>,
    /// Most seconds of a run.
    pub max_seconds: Option<u64>,
    /// Most tokens written in a run.
    pub max_output_tokens: Option<u64>,
    /// How long runs may go on after the server was asked to stop, in seconds.
    pub drain_seconds: Option<u64>,
    /// The longest message, in bytes.
    pub message_bytes: Option<u64>,
    /// The largest attachment, in bytes.
    pub attachment_bytes: Option<u64>,
    /// The largest body, in bytes.
    pub body_bytes: Option<u64>,
    /// What is logged, in the form of `RUST_LOG`.
    pub log_level: Option<String>,
    /// How it is logged.
    pub log_format: Option<LogFormat>,
    /// Whether what users wrote may be logged.
    pub log_content: Option<bool>,
    /// How people sign in.
    #[serde(default)]
    pub auth: AuthConfig,
    /// How much they may ask for.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What browsers are told.
    #[serde(default)]
    pub web: WebConfig,
    /// How clients of other protocols are answered.
    #[serde(default)]
    pub dialects: DialectsConfig,
    /// What operators are told beside the log.
    #[serde(default)]
    pub telemetry: RawTelemetry,
    /// The built-in tools that are on.
    pub tools: Option<Vec<BuiltinTool>>,
    /// Settings of the built-in tools.
    #[serde(default)]
    pub builtin: BuiltinConfig,
    /// What the owner says of single tools.
    #[serde(default)]
    pub tool: BTreeMap<String, ToolPolicy>,
    /// MCP servers.
    #[serde(default)]
    pub mcp: Vec<McpConfig>,
    /// Lambda functions as tools.
    #[serde(default)]
    pub lambda: Vec<LambdaConfig>,
    /// HTTP APIs as tools.
    #[serde(default)]
    pub openapi: Vec<OpenApiConfig>,
    /// Python tools.
    #[serde(default)]
    pub python: PythonConfig,
    /// Python tools on S3, as the reference's JSON.
    pub tools_config: Option<String>,
    /// How long the first run waits for servers of tools that are still connecting, in milliseconds.
    pub connect_wait_ms: Option<u64>,
    /// What people see of the agent.
    pub page: Option<RawPage>,
    /// What `loquat deploy` reads. The server leaves it alone.
    #[serde(rename = "deploy")]
    pub _deploy: Option<toml::Table>,
}

/// The context strategies by the reference's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ContextStrategyName {
    /// The last messages.
    #[default]
    SlidingWindow,
    /// The new message alone.
    Null,
    /// As many of the last messages as fit a number of tokens.
    TokenBudget,
    /// A summary of the older messages, then the last ones.
    Summarizing,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What people see of the agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPage {
    /// The agent's name.
    pub name: Option<String>,
    /// What the page says before the first message.
    pub greeting: Option<String>,
    /// Messages to begin with.
    #[serde(default)]
    pub suggestions: Vec<String>,
    /// A picture: a file, a path on the page's own host (`/…`) or a `data:` URL.
    pub logo: Option<String>,
    /// A colour as `#rrggbb`.
    pub accent: Option<String>,
}

/// Settings of one model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// Where the provider answers.
    pub base_url: Option<String>,
    /// The variable that holds the key.
    pub api_key_env: Option<String>,
    /// The file that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// Sampling parameters; these win over the common ones.
    pub params: Option<Params>,
    /// Prices, for the cost of runs.
    pub prices: Option<Prices>,
    /// Whether prompts are marked for the provider's cache.
    #[serde(default)]
    pub prompt_cache: PromptCache,
    /// Headers, each by the variable that holds its value.
    #[serde(default)]
    pub header_env: BTreeMap<String, String>,
    /// Fields merged into the request's body.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// What only Bedrock knows.
    #[serde(default)]
    pub bedrock: BedrockOptions,
    /// Seconds for the connection.
    pub connect_seconds: Option<f64>,
    /// Seconds from the request to the first byte.
    pub first_byte_seconds: Option<f64>,
    /// Seconds between two pieces of the answer.
    pub between_bytes_seconds: Option<f64>,
    /// Attempts, the first included.
    pub attempts: Option<u32>,
    /// Seconds after which no further attempt is begun.
    pub retry_budget_seconds: Option<f64>,
}

impl ModelSettings {
    /// Fills a model's configuration in.
    pub(super) fn apply(
        &self,
        model: &mut ModelConfig,
        folder: &Path,
        env: &BTreeMap<String, String>,
        places: &file::Places,
    ) -> Result<(), ConfigError> {
        model.base_url.clone_from(&self.base_url);
        model.api_key = secret(
            "model_settings.api_key_env",
            self.api_key_env.as_deref(),
            self.api_key_file.as_deref(),
            folder,
            env,
            places,
        )?;
        if let Some(params) = &self.params {
            let common = std::mem::replace(&mut model.params, params.clone());
            let own = &mut model.params;
            own.temperature = own.temperature.or(common.temperature);
            own.top_p = own.top_p.or(common.top_p);
            own.max_output_tokens = own.max_output_tokens.or(common.max_output_tokens);
            own.reasoning_effort = own.reasoning_effort.take().or(common.reasoning_effort);
            own.reasoning_budget = own.reasoning_budget.or(common.reasoning_budget);
            own.seed = own.seed.or(common.seed);
            own.output = own.output.take().or(common.output);
            own.tool_choice = own.tool_choice.take().or(common.tool_choice);
            if own.stop_sequences.is_empty() {
                own.stop_sequences = common.stop_sequences;
            }
        }
        model.prices = self.prices;
        model.prompt_cache = self.prompt_cache;
        for (header, variable) in &self.header_env {
            let value = env.get(variable).filter(|value| !value.is_empty()).ok_or_else(|| {
                places.wrong("model_settings.header_env", variable, "the name of a variable that is set")
            })?;
            model.headers.push((header.clone(), Secret::new(value.clone())));
        }
        model.extra = self.extra.clone();
        model.bedrock = self.bedrock.clone();
        let seconds = |key, value: Option<f64>, slot: &mut Duration| match value {
            None => Ok(()),
            Some(value) => match Duration::try_from_secs_f64(value) {
                Ok(time) if !time.is_zero() => {
                    *slot = time;
                    Ok(())
                }
                _ => Err(places.wrong(key, &value.to_string(), "a number of seconds above 0")),
            },
        };
        seconds("model_settings.connect_seconds", self.connect_seconds, &mut model.timeouts.connect)?;
        seconds(
            "model_settings.first_byte_seconds",
            self.first_byte_seconds,
            &mut model.timeouts.first_byte,
        )?;
        seconds(
            "model_settings.between_bytes_seconds",
            self.between_bytes_seconds,
            &mut model.timeouts.between_bytes,
        )?;
        seconds("model_settings.retry_budget_seconds", self.retry_budget_seconds, &mut model.retry.budget)?;
        if let Some(attempts) = self.attempts {
            if attempts == 0 {
                return Err(places.wrong("model_settings.attempts", "0", "a whole number from 1"));
            }
            model.retry.attempts = attempts;
        }
        Ok(())
    }
}
