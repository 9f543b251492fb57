//! The configuration: read once, from `loquat.toml` and the environment, checked, then passed around as values.
//!
//! Two steps: [`raw::RawConfig`] is what somebody wrote, [`Config`] is what the program needs. A setting that is wrong
//! stops the start with where it stands, its name, its value and what was expected; nothing is silently ignored.

mod agent;
pub mod env;
mod error;
mod expected;
mod file;
mod otel;
mod page;
pub mod raw;
mod sign_in;
mod store;
mod telemetry;
mod tools;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use loquat_agent::Limits;

pub use error::ConfigError;
pub use otel::{Sampler, TraceConfig};
use raw::{ContextStrategyName, RawConfig};
pub use telemetry::{RawTelemetry, TelemetryConfig};

use crate::auth::AuthConfig;
use crate::dialects::config::DialectsConfig;
use crate::host::lambda::LambdaHost;
use crate::http::security::WebConfig;
use crate::limits::LimitsConfig;
use crate::models::ModelConfig;
use crate::runs::engine::{OnBusy, OnDisconnect};
use crate::secret::Secret;
use crate::tools::config::ToolsConfig;

/// The model of a program that nobody configured.
pub const DEFAULT_MODEL: &str = "local/smollm2-135m-instruct";

/// Everything the server needs to know, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub http: HttpConfig,
    /// The models: the first answers, the others stand in for it.
    pub models: Vec<ModelConfig>,
    /// Whether somebody named a model.
    pub model_named: bool,
    /// The instructions.
    pub prompt: Prompt,
    /// Where sessions are kept.
    pub store: StoreConfig,
    /// What the model sees of a long conversation.
    pub context: ContextConfig,
    /// How runs behave.
    pub runs: RunConfig,
    /// How people sign in.
    pub auth: AuthConfig,
    /// How much they may ask for.
    pub limits: LimitsConfig,
    /// What browsers are told.
    pub web: WebConfig,
    /// How clients of other protocols are answered.
    pub dialects: DialectsConfig,
    /// What people see.
    pub page: PageConfig,
    /// Logs.
    pub log: LogConfig,
    /// What operators are told beside the log.
    pub telemetry: TelemetryConfig,
    /// Tools.
    pub tools: ToolsConfig,
    /// What every child process sees of the environment: `PATH`, `HOME`, `LANG`.
    pub child_env: Vec<(String, String)>,
    /// Folders.
    pub folders: Folders,
    /// Whether AWS Lambda's runtime starts this process: then it answers invocations instead of listening.
    pub on_lambda: bool,
    /// Where Lambda's runtime is, if it starts this process.
    pub lambda: Option<LambdaHost>,
    /// Another endpoint than AWS's own for S3.
    pub s3_endpoint: Option<String>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
}

/// Where the server listens and what it takes.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The address.
    pub host: IpAddr,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// Listen beyond this machine although nobody signs in.
    pub insecure: bool,
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// The largest attachment, in bytes.
    pub attachment_bytes: usize,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// How long runs may go on after the server was asked to stop.
    pub drain: Duration,
}

/// Where the instructions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// There are none.
    None,
    /// They stand here.
    Text(String),
    /// They are an object on S3, read when the first run needs them.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
}

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In a database file in the data folder.
    Sqlite,
    /// In memory: gone with the process.
    Memory,
    /// Nowhere: every message stands alone.
    None,
    /// On object storage.
    Object {
        /// `s3://bucket/prefix`, `gs://…` or `az://…`.
        url: String,
        /// The KMS key that encrypts new objects (S3).
        kms_key: Option<String>,
        /// Another endpoint than AWS's own (S3).
        endpoint: Option<String>,
    },
}

/// What the model sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextConfig {
    /// How it is chosen.
    pub strategy: ContextStrategyName,
    /// Messages, for the strategies that count them.
    pub window: usize,
    /// Tokens, for the strategies that count them.
    pub tokens: usize,
}

/// How runs behave.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// What bounds a run.
    pub limits: Limits,
    /// A message that finds its session busy.
    pub on_busy: OnBusy,
    /// A run whose last reader leaves.
    pub on_disconnect: OnDisconnect,
    /// How long a session lives after its last change.
    pub session_ttl: Duration,
}

/// What people see of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageConfig {
    /// The agent's name.
    pub name: String,
    /// What the page says before the first message.
    pub greeting: Option<String>,
    /// Messages to begin with.
    pub suggestions: Vec<String>,
    /// The address of a picture (same origin or `data:`).
    pub logo: Option<String>,
    /// A CSS colour (`#rrggbb`).
    pub accent: Option<String>,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `RUST_LOG`'s form.
    pub filter: String,
    /// One JSON object a line instead of text for people. `None`: JSON where no terminal is attached.
    pub json: Option<bool>,
    /// Whether what users wrote may be logged.
    pub content: bool,
    /// What this service is called.
    pub service: String,
    /// The Lambda function, if this is one.
    pub function: Option<String>,
}

/// Folders. A process without a home folder, such as a Lambda function, has none unless they are named; it needs them only
/// for what it keeps on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    data: Option<PathBuf>,
    models: Option<PathBuf>,
}

impl Folders {
    /// Sessions, run logs, keys.
    ///
    /// # Errors
    /// There is no home folder, and no other was named.
    pub fn data(&self) -> Result<&Path, ConfigError> {
        named(self.data.as_deref(), "data_dir")
    }

    /// Fetched models.
    ///
    /// # Errors
    /// There is no home folder, and no other was named.
    pub fn models(&self) -> Result<&Path, ConfigError> {
        named(self.models.as_deref(), "model_dir")
    }
}

fn named<'a>(folder: Option<&'a Path>, key: &str) -> Result<&'a Path, ConfigError> {
    folder.ok_or_else(|| ConfigError {
        place: "environment".into(),
        key: key.into(),
        value: "not set".into(),
        expected: format!("a folder, since there is no home folder (set LOQUAT_{})", key.to_uppercase()),
    })
}

/// What the command line says; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--host`.
    pub host: Option<IpAddr>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--insecure`.
    pub insecure: bool,
}

impl Config {
    /// Reads `loquat.toml` (the one named by `--config` or `LOQUAT_CONFIG`, else the one in the working folder, if there
    /// is one) and the process's environment.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::from(flags, &env::process())
    }

    /// Where Lambda's runtime is, for a process whose configuration is wrong and that must say so.
    #[must_use]
    pub fn lambda_runtime() -> Option<String> {
        lambda(&env::process()).map(|host| host.runtime_api)
    }

    /// From the text of a `loquat.toml` that is no file, and the process's environment unless another one is given.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn from_text(text: &str, env: Option<&BTreeMap<String, String>>) -> Result<Self, ConfigError> {
        let env = env.cloned().unwrap_or_else(env::process);
        let mut raw = file::parse(Path::new("settings"), text)?;
        env::apply(&mut raw, &env)?;
        let places = file::Places::new(None, text.to_owned(), env.clone());
        Self::check(raw, None, &env, &places)
    }

    /// The same with an environment given as a map.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn from(flags: &Flags, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let named = flags.config.clone().or_else(|| env.get("LOQUAT_CONFIG").map(PathBuf::from));
        let (file, text) = file::find(named)?;
        let mut raw = match &file {
            Some(path) => file::parse(path, &text)?,
            None => RawConfig::default(),
        };
        env::apply(&mut raw, env)?;
        if let Some(host) = flags.host {
            raw.host = Some(host);
        }
        raw.port = flags.port.or(raw.port);
        raw.insecure = Some(flags.insecure || raw.insecure.unwrap_or(false));
        let places = file::Places::new(file.clone(), text, env.clone());
        Self::check(raw, file, env, &places)
    }

    fn check(
        raw: RawConfig,
        file: Option<PathBuf>,
        env: &BTreeMap<String, String>,
        places: &file::Places,
    ) -> Result<Self, ConfigError> {
        let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        let folders = file::folders(&raw, env);
        let prompt = agent::prompt(&raw, &folder, places)?;
        let models = agent::models(&raw, &folder, env, places)?;
        let positive = |key: &'static str, value: Option<u64>, default: u64| match value {
            Some(0) => Err(places.wrong(key, "0", "a whole number from 1")),
            value => Ok(value.unwrap_or(default)),
        };
        let limits = Limits {
            max_steps: u32::try_from(positive("max_steps", raw.max_steps, 20)?)
                .map_err(|_| places.wrong("max_steps", "a larger number", "at most 4294967295"))?,
            max_time: Duration::from_secs(positive("max_seconds", raw.max_seconds, 600)?),
            max_output_tokens: raw.max_output_tokens,
            ..Limits::default()
        };
        let bytes = |key, value: Option<u64>, default: u64| {
            positive(key, value, default).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
        };
        let message_bytes = bytes("message_bytes", raw.message_bytes, 64 * 1024)?;
        let attachment_bytes = bytes("attachment_bytes", raw.attachment_bytes, 4 * 1024 * 1024)?;
        // Room for the message with every character escaped, or a few attachments in base64.
        let body_default = (message_bytes * 6).max(attachment_bytes * 4) as u64 + 64 * 1024;
        let store = store::store(&raw, env, places)?;
        let lambda = lambda(env);
        let tools = tools::tools(&raw, &folder, env, places)?;
        let telemetry = TelemetryConfig::new(&raw.telemetry, env)?;
        let context_on = raw.context_enabled.unwrap_or(true);
        Ok(Self {
            http: HttpConfig {
                host: raw.host.unwrap_or(IpAddr::from([127, 0, 0, 1])),
                port: raw.port.unwrap_or(8080),
                insecure: raw.insecure.unwrap_or(false),
                message_bytes,
                attachment_bytes,
                body_bytes: bytes("body_bytes", raw.body_bytes, body_default)?,
                drain: Duration::from_secs(raw.drain_seconds.unwrap_or(25)),
            },
            model_named: raw.model.is_some() || raw.models.as_ref().is_some_and(|models| !models.is_empty()),
            models,
            prompt,
            store,
            tools,
            child_env: tools::child_env(env),
            context: ContextConfig {
                strategy: if context_on {
                    raw.context_strategy.unwrap_or_default()
                } else {
                    ContextStrategyName::Null
                },
                window: bytes("context_window_size", raw.context_window_size, 20)?,
                tokens: bytes("context_tokens", raw.context_tokens, 32_000)?,
            },
            runs: RunConfig {
                limits,
                on_busy: raw.on_busy.unwrap_or_default(),
                on_disconnect: raw.on_disconnect.unwrap_or_default(),
                session_ttl: duration("session_ttl", raw.session_ttl.as_deref(), "24h", places)?,
            },
            page: page::page(&raw, &folder, places)?,
            auth: sign_in::auth(&raw, places)?,
            limits: raw.limits.clone(),
            web: sign_in::web(&raw, places)?,
            dialects: raw.dialects.clone(),
            log: LogConfig {
                filter: log_filter(raw.log_level, places)?,
                json: raw.log_format.map(|format| format == raw::LogFormat::Json),
                content: raw.log_content.unwrap_or(false),
                service: telemetry.service.clone(),
                function: telemetry.function.clone(),
            },
            telemetry,
            folders,
            on_lambda: lambda.is_some(),
            lambda,
            s3_endpoint: store::s3_endpoint(env),
            file,
        })
    }
}

/// What is logged. A word alone is a level: as the name of a crate it would silence everything else.
fn log_filter(written: Option<String>, places: &file::Places) -> Result<String, ConfigError> {
    let filter = written.unwrap_or_else(|| "info".to_owned());
    let word = filter.trim();
    let is_level = word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    if is_level || word.contains(['=', ',', ':', '[']) {
        return Ok(filter);
    }
    let expected = "off, error, warn, info, debug, trace or a filter like info,loquat_server=debug";
    Err(places.wrong("log_level", word, expected))
}

/// Lambda's runtime, unless the Lambda Web Adapter stands between it and this process.
fn lambda(env: &BTreeMap<String, String>) -> Option<LambdaHost> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    if env.keys().any(|name| name.starts_with("AWS_LWA_")) {
        return None;
    }
    Some(LambdaHost {
        runtime_api: set("AWS_LAMBDA_RUNTIME_API")?.clone(),
        concurrency: set("AWS_LAMBDA_MAX_CONCURRENCY").and_then(|text| text.parse().ok()).unwrap_or(1),
    })
}

/// `24h`, `90m`, `30s`, `7d`, or seconds as a number.
fn duration(
    key: &'static str,
    text: Option<&str>,
    default: &str,
    places: &file::Places,
) -> Result<Duration, ConfigError> {
    let text = text.unwrap_or(default).trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        _ => None,
    };
    match (digits.parse::<u64>(), unit) {
        (Ok(n), Some(unit)) if n > 0 => Ok(Duration::from_secs(n.saturating_mul(unit))),
        _ => Err(places.wrong(key, text, "a time like 24h, 90m, 30s or 7d")),
    }
}

/// A secret named by a variable or a file.
pub(crate) fn secret(
    key: &'static str,
    variable: Option<&str>,
    path: Option<&Path>,
    folder: &Path,
    env: &BTreeMap<String, String>,
    places: &file::Places,
) -> Result<Option<Secret>, ConfigError> {
    match (variable, path) {
        (Some(_), Some(_)) => Err(places.wrong(key, "a variable and a file", "only one of the two")),
        (Some(variable), None) => match env.get(variable).filter(|value| !value.is_empty()) {
            Some(value) => Ok(Some(Secret::new(value.clone()))),
            None => Err(places.wrong(key, variable, "the name of a variable that is set")),
        },
        (None, Some(path)) => match std::fs::read_to_string(folder.join(path)) {
            Ok(text) => Ok(Some(Secret::new(text.trim().to_owned()))),
            Err(error) => {
                let shown = path.display().to_string();
                Err(places.wrong(key, &shown, &format!("a file that can be read ({error})")))
            }
        },
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod guide;
#[cfg(test)]
mod tests;
