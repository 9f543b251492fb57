//! The environment: every variable the server reads, in one table. The only place that reads the process's environment.

use std::collections::BTreeMap;

use super::raw::{ContextStrategyName, LogFormat, RawConfig};
use super::{ConfigError, file};
use crate::auth::{ApiToken, AuthType, Login, NamedKey};
use crate::dialects::config::ClientHistory;
use crate::models::{ModelConfig, Provider};
use crate::runs::engine::{OnBusy, OnDisconnect};
use crate::secret::Secret;
use crate::tools::config::BuiltinTool;

/// A variable of the environment.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The key of `loquat.toml` it overrides.
    pub key: &'static str,
    /// What it means.
    pub doc: &'static str,
    apply: fn(&mut RawConfig, &str) -> Result<(), &'static str>,
}

/// A variable whose value is read by `FromStr`-like means into an optional key.
macro_rules! variables {
    ($($name:literal $key:literal $($field:ident).+, $parse:ident $doc:literal;)*) => {
        &[$(Variable { name: $name, key: $key, doc: $doc, apply: |raw, text| {
            raw.$($field).+ = $parse(text)?.into();
            Ok(())
        } },)*]
    };
}

/// Every variable that overrides a key.
pub static VARIABLES: &[Variable] = variables! {
    "MODEL_ID" "model" model, text "The model that answers; without a prefix it is Bedrock's.";
    "LOQUAT_MODELS" "models" models, list "More models, by commas: each stands in for the ones before it.";
    "LOQUAT_SYSTEM_PROMPT" "system_prompt" system_prompt, text "The instructions.";
    "LOQUAT_SYSTEM_PROMPT_FILE" "system_prompt_file" system_prompt_file, path "A file with the instructions.";
    "SYSTEM_PROMPT_S3_BUCKET_NAME" "system_prompt_s3_bucket_name" system_prompt_s3_bucket_name, text "The bucket of the object with the instructions.";
    "SYSTEM_PROMPT_S3_KEY" "system_prompt_s3_key" system_prompt_s3_key, text "The key of the object with the instructions.";
    "HOST" "host" host, address "The address to listen on.";
    "PORT" "port" port, number "The port to listen on; 0 lets the system choose.";
    "LOQUAT_INSECURE" "insecure" insecure, boolean "Listen beyond this machine although nobody signs in.";
    "LOQUAT_STORE" "store" store, text "Where sessions are kept: sqlite, memory, none, s3://…, gs://…, az://…. On Lambda none unless it is said.";
    "SESSION_BUCKET" "session_bucket" session_bucket, text "The S3 bucket of sessions; chooses S3.";
    "LOQUAT_SESSION_KMS_KEY" "session_kms_key" session_kms_key, text "The KMS key that encrypts sessions on S3.";
    "LOQUAT_SESSION_TTL" "session_ttl" session_ttl, text "How long a session lives after its last change (24h).";
    "LOQUAT_DATA_DIR" "data_dir" data_dir, path "The folder of the database, run logs and keys.";
    "LOQUAT_MODEL_DIR" "model_dir" model_dir, path "The folder of fetched models.";
    "CONTEXT_ENABLED" "context_enabled" context_enabled, boolean "Whether the model sees earlier messages.";
    "CONTEXT_STRATEGY" "context_strategy" context_strategy, strategy "Which part of a long conversation it sees.";
    "CONTEXT_WINDOW_SIZE" "context_window_size" context_window_size, whole "Messages in the window.";
    "LOQUAT_CONTEXT_TOKENS" "context_tokens" context_tokens, whole "Tokens in the window, for strategies that count them.";
    "LOQUAT_ON_BUSY" "on_busy" on_busy, busy "A message that finds its session busy.";
    "LOQUAT_ON_DISCONNECT" "on_disconnect" on_disconnect, disconnect "A run whose last reader leaves.";
    "LOQUAT_MAX_STEPS" "max_steps" max_steps, whole "Most model calls in a run.";
    "LOQUAT_MAX_SECONDS" "max_seconds" max_seconds, whole "Most seconds of a run.";
    "LOQUAT_MAX_OUTPUT_TOKENS" "max_output_tokens" max_output_tokens, whole "Most tokens written in a run.";
    "LOQUAT_DRAIN_SECONDS" "drain_seconds" drain_seconds, whole "How long runs may go on after a request to stop.";
    "LOQUAT_MESSAGE_BYTES" "message_bytes" message_bytes, whole "The longest message.";
    "LOQUAT_ATTACHMENT_BYTES" "attachment_bytes" attachment_bytes, whole "The largest attachment.";
    "LOQUAT_BODY_BYTES" "body_bytes" body_bytes, whole "The largest body.";
    "LOQUAT_TOOLS" "tools" tools, builtin_tools "The built-in tools that are on, by commas.";
    "TOOLS_CONFIG" "tools_config" tools_config, text "Python tools on S3: a JSON array of {bucketName, key, isFile, isZipArchive}.";
    "LOQUAT_CONNECT_WAIT_MS" "connect_wait_ms" connect_wait_ms, whole "How long the first run waits for servers of tools.";
    "RUST_LOG" "log_level" log_level, text "What is logged.";
    "LOQUAT_LOG_FORMAT" "log_format" log_format, format "How it is logged: text or json.";
    "LOQUAT_LOG_CONTENT" "log_content" log_content, boolean "Whether what users wrote may be logged.";
    "LOQUAT_SERVICE_NAME" "telemetry.service" telemetry.service, text "What this service is called in logs, metrics and traces.";
    "LOQUAT_METRICS_TOKEN" "telemetry.metrics_token" telemetry.metrics_token, hidden "What a caller of /metrics must show as a bearer token.";
    "LOQUAT_METRICS_USERS" "telemetry.metrics_users" telemetry.metrics_users, tiny "How many users /metrics names by their hashes, with what they cost today (10).";
    "LOQUAT_EMF" "telemetry.emf" telemetry.emf, boolean "Whether metrics go to CloudWatch by log lines; on Lambda they do.";
    "LOQUAT_EMF_NAMESPACE" "telemetry.emf_namespace" telemetry.emf_namespace, text "The namespace of metrics in CloudWatch (Loquat).";
    "AUTH_TYPE" "auth.type" auth.kind, sign_in "How people sign in: None, Cognito, Oidc, ApiKey.";
    "USER_POOL_ID" "auth.user_pool_id" auth.user_pool_id, text "Cognito: the user pool.";
    "USER_POOL_CLIENT_ID" "auth.user_pool_client_id" auth.user_pool_client_id, text "Cognito: the app client.";
    "LOQUAT_ISSUER" "auth.issuer" auth.issuer, text "The issuer of tokens; Cognito's follows from the pool.";
    "LOQUAT_JWKS_URL" "auth.jwks_url" auth.jwks_url, text "Where the issuer's keys are, if not where it says.";
    "LOQUAT_AUDIENCE" "auth.audience" auth.audience, list "OpenID Connect: for whom tokens must be, by commas.";
    "LOQUAT_CLIENT_ID" "auth.client_id" auth.client_id, text "OpenID Connect: the client id of the web page.";
    "LOQUAT_SCOPE" "auth.scope" auth.scope, text "The scopes that the web page asks for.";
    "LOQUAT_API_TOKEN" "auth.api_token" auth.api_token, token "Which token the API takes: id or access.";
    "LOQUAT_USER_CLAIM" "auth.user_claim" auth.user_claim, text "The claim that is the user's id (sub).";
    "LOQUAT_ADMIN_CLAIM" "auth.admin_claim" auth.admin_claim, text "The claim that lists a user's roles.";
    "LOQUAT_ADMIN_ROLE" "auth.admin_role" auth.admin_role, text "The role that opens /admin/…; admin if the claim is set, else nobody has it.";
    "LOQUAT_LOGIN" "auth.login" auth.login, login "Where the page signs people in: redirect or form.";
    "LOQUAT_LOGIN_DOMAIN" "auth.domain" auth.domain, text "Cognito: the domain of managed login.";
    "LOQUAT_USER_POOL_ENDPOINT" "auth.user_pool_endpoint" auth.user_pool_endpoint, text "Cognito: its API, if not AWS's.";
    "LOQUAT_API_KEYS" "auth.keys" auth.keys, keys "API keys beside those of `loquat keys`: name=sha256, by commas.";
    "LOQUAT_CLIENT_HISTORY" "dialects.client_history" dialects.client_history, client_history "AG-UI: a past that a client has rewritten: refuse, or ignore for what is stored.";
    "LOQUAT_AI_SDK_NEW_CHUNKS" "dialects.ai_sdk_new_chunks" dialects.ai_sdk_new_chunks, boolean "AI SDK: send chunks that only its newer clients know (reset-step, which takes an answer back that broke off).";
    "LOQUAT_CORS_ORIGINS" "web.cors_origins" web.cors_origins, list "Origins whose pages may call the API, by commas; * for all.";
    "LOQUAT_ALLOWED_HOSTS" "web.allowed_hosts" web.allowed_hosts, list "Names this server may be called by, by commas.";
    "LOQUAT_HSTS" "web.hsts" web.hsts, boolean "Tell browsers to use TLS only.";
    "LOQUAT_REQUESTS_PER_MINUTE" "limits.requests_per_minute" limits.requests_per_minute, small "Requests a minute of one user; 0 for no limit.";
    "LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS" "limits.requests_per_minute_per_address" limits.requests_per_minute_per_address, small "Requests a minute from one address; 0 for no limit.";
    "LOQUAT_RUNS_PER_USER" "limits.runs_per_user" limits.runs_per_user, small "Answers written for one user at a time; 0 for no limit.";
    "LOQUAT_RUNS_PER_ADDRESS" "limits.runs_per_address" limits.runs_per_address, small "Answers written for one address at a time; 0 for no limit.";
    "LOQUAT_RUNS_TOTAL" "limits.runs_total" limits.runs_total, small "Answers written at a time; 0 for no limit.";
    "LOQUAT_TOKENS_PER_DAY" "limits.tokens_per_day" limits.tokens_per_day, whole "Tokens of one user in one day (UTC); 0 for no limit.";
    "LOQUAT_TRUSTED_PROXIES" "limits.trusted_proxies" limits.trusted_proxies, tiny "Proxies in front that append to X-Forwarded-For.";
    "LOQUAT_JSON_DEPTH" "limits.json_depth" limits.json_depth, small "How deep JSON in a request may be nested.";
    "LOQUAT_READ_SECONDS" "limits.read_seconds" limits.read_seconds, small "Seconds in which a request's body must arrive.";
    "LOQUAT_IDLE_SECONDS" "limits.idle_seconds" limits.idle_seconds, small "Seconds in which a request's headers must arrive, and between requests.";
    "LOQUAT_WRITE_SECONDS" "limits.write_seconds" limits.write_seconds, small "Seconds that a client may leave an answer unread.";
    "LOQUAT_HEADER_BYTES" "limits.header_bytes" limits.header_bytes, small "The largest size of a request's headers.";
    "LOQUAT_CONNECTIONS" "limits.connections" limits.connections, small "Connections at a time.";
};

/// Variables that begin with `LOQUAT_` and are read elsewhere than in the table.
const OTHERS: &[&str] = &["LOQUAT_CONFIG", "LOQUAT_TOKEN"];

fn sign_in(text: &str) -> Result<AuthType, &'static str> {
    match text {
        "None" => Ok(AuthType::None),
        "Cognito" => Ok(AuthType::Cognito),
        "Oidc" => Ok(AuthType::Oidc),
        "ApiKey" => Ok(AuthType::ApiKey),
        _ => Err("None, Cognito, Oidc or ApiKey"),
    }
}
fn token(text: &str) -> Result<ApiToken, &'static str> {
    match text {
        "id" => Ok(ApiToken::Id),
        "access" => Ok(ApiToken::Access),
        _ => Err("id or access"),
    }
}
fn login(text: &str) -> Result<Login, &'static str> {
    match text {
        "redirect" => Ok(Login::Redirect),
        "form" => Ok(Login::Form),
        _ => Err("redirect or form"),
    }
}
/// `name=sha256`, by commas. `Err` does not show the value: a key itself may have been put here by mistake.
fn keys(text: &str) -> Result<Vec<NamedKey>, &'static str> {
    list(text)?
        .iter()
        .map(|entry| {
            let (name, sha256) = entry.split_once('=').ok_or("name=sha256, by commas")?;
            Ok(NamedKey::from_hash(name.trim(), sha256.trim()))
        })
        .collect()
}
fn client_history(text: &str) -> Result<ClientHistory, &'static str> {
    match text {
        "refuse" => Ok(ClientHistory::Refuse),
        "ignore" => Ok(ClientHistory::Ignore),
        _ => Err("refuse or ignore"),
    }
}
fn small(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "a whole number up to 4294967295")
}
fn tiny(text: &str) -> Result<u8, &'static str> {
    text.parse().map_err(|_| "a whole number up to 255")
}
fn text(text: &str) -> Result<String, &'static str> {
    Ok(text.to_owned())
}
fn hidden(text: &str) -> Result<Secret, &'static str> {
    Ok(Secret::new(text))
}
fn list(text: &str) -> Result<Vec<String>, &'static str> {
    Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
}
fn builtin_tools(text: &str) -> Result<Vec<BuiltinTool>, &'static str> {
    let names = serde_json::Value::from(list(text)?);
    serde_json::from_value(names)
        .map_err(|_| "current_time, calculator, fetch_url, retrieve and memory, by commas")
}
fn path(text: &str) -> Result<std::path::PathBuf, &'static str> {
    Ok(text.into())
}
fn address(text: &str) -> Result<std::net::IpAddr, &'static str> {
    match text {
        "localhost" => Ok([127, 0, 0, 1].into()),
        text => text.parse().map_err(|_| "an IP address, like 127.0.0.1 or ::"),
    }
}
fn number(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "a whole number from 0 to 65535")
}
fn whole(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a whole number")
}
fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false"),
    }
}
fn strategy(text: &str) -> Result<ContextStrategyName, &'static str> {
    match text {
        "SlidingWindow" => Ok(ContextStrategyName::SlidingWindow),
        "Null" => Ok(ContextStrategyName::Null),
        "TokenBudget" => Ok(ContextStrategyName::TokenBudget),
        "Summarizing" => Ok(ContextStrategyName::Summarizing),
        _ => Err("SlidingWindow, TokenBudget, Summarizing or Null"),
    }
}
fn busy(text: &str) -> Result<OnBusy, &'static str> {
    match text {
        "reject" => Ok(OnBusy::Reject),
        "queue" => Ok(OnBusy::Queue),
        "interrupt" => Ok(OnBusy::Interrupt),
        _ => Err("reject, queue or interrupt"),
    }
}
fn disconnect(text: &str) -> Result<OnDisconnect, &'static str> {
    match text {
        "finish" => Ok(OnDisconnect::Finish),
        "cancel" => Ok(OnDisconnect::Cancel),
        _ => Err("finish or cancel"),
    }
}
fn format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json"),
    }
}

/// The process's environment. Values that are not Unicode are left out: no setting can have one.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(super) fn process() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The variable that overrides a key.
pub(super) fn variable(key: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|variable| variable.key == key).map(|variable| variable.name)
}

/// Overrides keys by the environment. An empty variable counts as not set.
pub(super) fn apply(raw: &mut RawConfig, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, value) in env.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(variable) = VARIABLES.iter().find(|variable| variable.name == name) else {
            if name.starts_with("LOQUAT_") && !OTHERS.contains(&name.as_str()) {
                return Err(unknown(name));
            }
            continue;
        };
        // A bucket of the environment chooses S3 whatever the file says of the store, as in the reference.
        if name == "SESSION_BUCKET" && !env.contains_key("LOQUAT_STORE") {
            raw.store = None;
        }
        (variable.apply)(raw, value).map_err(|expected| ConfigError {
            place: "environment".into(),
            key: name.clone(),
            value: if file::secretive(name) { "***".into() } else { value.clone() },
            expected: expected.into(),
        })?;
    }
    // `LOQUAT_STORE` wins over a bucket that only the file names.
    if env.contains_key("LOQUAT_STORE") && !env.contains_key("SESSION_BUCKET") {
        raw.session_bucket = None;
    }
    Ok(())
}

fn unknown(name: &str) -> ConfigError {
    let likely = VARIABLES
        .iter()
        .map(|variable| variable.name)
        .max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)))
        .unwrap_or_default();
    ConfigError {
        place: "environment".into(),
        key: name.to_owned(),
        value: "set".into(),
        expected: format!("a variable that Loquat knows (did you mean {likely}?)"),
    }
}

/// Takes addresses and keys from the variables of the official SDKs where the file names none. Bedrock's are read by
/// the AWS SDK itself.
pub(super) fn official(model: &mut ModelConfig, env: &BTreeMap<String, String>) {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let (url, key) = match Provider::of(&model.id).0 {
        Provider::OpenAi => (set("OPENAI_BASE_URL"), set("OPENAI_API_KEY")),
        Provider::Anthropic => (set("ANTHROPIC_BASE_URL"), set("ANTHROPIC_API_KEY")),
        Provider::Ollama => (set("OLLAMA_HOST"), None),
        Provider::Bedrock | Provider::Local => (None, None),
    };
    // A key belongs to the address it was made for: the file's own address does not get the environment's key.
    if model.base_url.is_none() {
        model.api_key = model.api_key.take().or_else(|| key.map(Secret::new));
    }
    model.base_url = model.base_url.take().or(url);
}
