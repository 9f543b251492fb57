//! The settings of tools, as they stand in `loquat.toml`. This module reads nothing: the server's configuration embeds
//! these types, fills in `${NAME}` references with [`ToolsConfig::expand`] and checks with [`ToolsConfig::validate`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;

mod check;
#[cfg(test)]
mod tests;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ToolConfigError {
    /// The setting, as a path: `mcp[0].url`.
    pub key: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl ToolConfigError {
    fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// Everything about tools. The server's configuration may embed the fields one by one under the same names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsConfig {
    /// The built-in tools that are on.
    pub tools: Vec<BuiltinTool>,
    /// Settings of the built-in tools.
    pub builtin: BuiltinConfig,
    /// What the owner says of single tools, by the name the model sees (or `source_name`).
    pub tool: BTreeMap<String, ToolPolicy>,
    /// MCP servers.
    pub mcp: Vec<McpConfig>,
    /// Lambda functions.
    pub lambda: Vec<LambdaConfig>,
    /// HTTP APIs described by OpenAPI documents.
    pub openapi: Vec<OpenApiConfig>,
    /// Python tools.
    pub python: PythonConfig,
    /// How long the first run waits for servers that are still connecting, in milliseconds.
    pub connect_wait_ms: Option<u64>,
}

/// The tools that are part of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BuiltinTool {
    /// The date and time.
    CurrentTime,
    /// Arithmetic with units.
    Calculator,
    /// The readable text of a public web page.
    FetchUrl,
    /// Passages from a Bedrock Knowledge Base.
    Retrieve,
    /// Facts about the user.
    Memory,
}

impl BuiltinTool {
    /// The name in the configuration, and the tool's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CurrentTime => "current_time",
            Self::Calculator => "calculator",
            Self::FetchUrl => "fetch_url",
            Self::Retrieve => "retrieve",
            Self::Memory => "memory",
        }
    }
}

/// `[builtin]`: settings of the built-in tools.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuiltinConfig {
    /// `[builtin.current_time]`.
    pub current_time: CurrentTimeConfig,
    /// `[builtin.fetch_url]`.
    pub fetch_url: FetchUrlConfig,
    /// `[builtin.retrieve]`.
    pub retrieve: Option<RetrieveConfig>,
    /// `[builtin.memory]`.
    pub memory: MemoryConfig,
}

/// `[builtin.current_time]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CurrentTimeConfig {
    /// The IANA time zone that is used when the model names none.
    pub timezone: String,
}

impl Default for CurrentTimeConfig {
    fn default() -> Self {
        Self { timezone: "UTC".to_owned() }
    }
}

/// `[builtin.fetch_url]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchUrlConfig {
    /// The hosts that may be read: exact names or `*.example.com`. Empty: every public host.
    pub allow_hosts: Vec<String>,
    /// Whether addresses of private networks may be reached.
    pub allow_private: bool,
    /// How much of a page is read, in bytes.
    pub max_bytes: usize,
    /// How much of its text the model gets, in characters.
    pub max_chars: usize,
}

impl Default for FetchUrlConfig {
    fn default() -> Self {
        Self { allow_hosts: Vec::new(), allow_private: false, max_bytes: 2 << 20, max_chars: 40_000 }
    }
}

/// `[builtin.retrieve]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrieveConfig {
    /// The knowledge base's id.
    pub knowledge_base_id: String,
    /// What it knows, for the model.
    #[serde(default)]
    pub description: Option<String>,
    /// How many passages a call returns by default, 1 to 100.
    #[serde(default = "five")]
    pub results: u32,
    /// The region, if not the server's own.
    #[serde(default)]
    pub region: Option<String>,
}

fn five() -> u32 {
    5
}

/// `[builtin.memory]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// How many facts are kept about one user.
    pub max_facts: usize,
    /// Whether facts are kept where nobody signs in. They are then shared by everybody who can reach the server.
    pub without_sign_in: bool,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_facts: 200, without_sign_in: false }
    }
}

/// When the user is asked before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Before each call.
    Always,
    /// Never.
    Never,
    /// Before each call of a tool that is not known to change nothing (`readOnlyHint` of MCP, read-only built-ins,
    /// `GET` operations).
    Untrusted,
}

impl<'de> Deserialize<'de> for Approval {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Flag(bool),
            Word(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Flag(true) => Ok(Self::Always),
            Form::Flag(false) => Ok(Self::Never),
            Form::Word(word) if word == "untrusted" => Ok(Self::Untrusted),
            Form::Word(word) => Err(serde::de::Error::custom(format!(
                "expected true, false or \"untrusted\", got \"{word}\""
            ))),
        }
    }
}

/// `[tool.NAME]`: what the owner says of one tool. What is not said here is as the tool itself says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ToolPolicy {
    /// When the user is asked.
    pub needs_approval: Option<Approval>,
    /// How long one call may take, in seconds.
    pub timeout_seconds: Option<u64>,
    /// A repeated call with the same id changes nothing more: it may run again after a crash.
    pub idempotent: Option<bool>,
    /// It changes nothing outside.
    pub read_only: Option<bool>,
    /// Whether it is offered at all.
    pub enabled: Option<bool>,
    /// What it does, in place of what its source says.
    pub description: Option<String>,
}

/// A revision of the Model Context Protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum McpProtocol {
    /// The newest that the server speaks.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// 2024-11-05.
    #[serde(rename = "2024-11-05")]
    V20241105,
    /// 2025-03-26.
    #[serde(rename = "2025-03-26")]
    V20250326,
    /// 2025-06-18.
    #[serde(rename = "2025-06-18")]
    V20250618,
    /// 2025-11-25, the last with a handshake.
    #[serde(rename = "2025-11-25")]
    V20251125,
    /// 2026-07-28, without a handshake.
    #[serde(rename = "2026-07-28")]
    V20260728,
}

/// `[[mcp]]`: one MCP server, started as a child process (`command`) or reached by HTTP (`url`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McpConfig {
    /// Its name here: 1 to 32 of `a-z A-Z 0-9 _ -`, unique.
    pub name: String,
    /// The program of a stdio server.
    pub command: Option<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, besides `PATH`, `HOME` and `LANG`; it sees nothing else of the server's.
    pub env: BTreeMap<String, Secret>,
    /// Its working folder.
    pub cwd: Option<PathBuf>,
    /// The address of a streamable HTTP server.
    pub url: Option<String>,
    /// Headers sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// A bearer token.
    pub bearer_token: Option<Secret>,
    /// OAuth client credentials, in place of a bearer token.
    pub oauth: Option<OAuthConfig>,
    /// The protocol revision.
    pub protocol: McpProtocol,
    /// The tools that are offered, by the server's own names, `*` as a wildcard. Empty: all.
    pub allow: Vec<String>,
    /// The tools that are not offered; stronger than `allow`.
    pub deny: Vec<String>,
    /// When the user is asked, for tools that have no policy of their own.
    pub needs_approval: Option<Approval>,
    /// Whether the server's resources can be read by the model.
    pub resources: Option<bool>,
    /// How long connecting and listing may take, in seconds (30).
    pub connect_timeout_seconds: Option<u64>,
    /// How long one call may take, in seconds (60).
    pub call_timeout_seconds: Option<u64>,
}

/// `[mcp.oauth]`: OAuth 2 client credentials.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuthConfig {
    /// The token endpoint. Without it the endpoint is discovered from the server's protected-resource metadata.
    pub token_url: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// Scopes, separated by spaces.
    pub scope: Option<String>,
    /// The audience or resource, where the authorization server needs one.
    pub audience: Option<String>,
}

/// `[[lambda]]`: a Lambda function as a tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LambdaConfig {
    /// The tool's name.
    pub name: String,
    /// The function's ARN or name.
    pub arn: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its input, an object.
    pub schema: Value,
    /// A version or alias, if the ARN has none.
    #[serde(default)]
    pub qualifier: Option<String>,
    /// The region, if neither the ARN nor the server says.
    #[serde(default)]
    pub region: Option<String>,
}

/// `[[openapi]]`: an HTTP API; each operation of its document is a tool.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenApiConfig {
    /// Its name here, unique.
    pub name: String,
    /// The document (JSON or YAML): a file or an address.
    pub document: String,
    /// The API's address, in place of the document's first server.
    pub base_url: Option<String>,
    /// The hosts that may be called. Empty: the host of the API's address only.
    pub allow_hosts: Vec<String>,
    /// Whether addresses of private networks may be reached.
    pub allow_private: bool,
    /// Headers sent with every request to the API's own host.
    pub headers: BTreeMap<String, Secret>,
    /// A bearer token.
    pub bearer_token: Option<Secret>,
    /// The operations that are offered, by operation id, `*` as a wildcard. Empty: all.
    pub allow: Vec<String>,
    /// The operations that are not offered.
    pub deny: Vec<String>,
    /// When the user is asked, for operations that have no policy of their own.
    pub needs_approval: Option<Approval>,
    /// How long one call may take, in seconds (60).
    pub call_timeout_seconds: Option<u64>,
    /// How much of an answer is read, in bytes (1 MiB).
    pub max_bytes: Option<usize>,
}

/// `[python]`: tools written in Python for Strands, run in a worker process.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PythonConfig {
    /// A folder of `.py` files; the ones that begin with `_` are not tools.
    pub dir: Option<PathBuf>,
    /// The interpreter (`python3`).
    pub command: Option<String>,
    /// The worker's environment, besides `PATH`, `HOME` and `LANG`; it sees nothing else of the server's.
    pub env: BTreeMap<String, Secret>,
    /// Variables of the server's environment that the worker gets, too, if they are set. With tools from S3 the names
    /// of the AWS region and credentials are among them, as in the reference.
    pub pass_env: Vec<String>,
    /// Which decorator `from strands import tool` finds.
    pub strands: StrandsChoice,
    /// When the user is asked, for tools that have no policy of their own.
    pub needs_approval: Option<Approval>,
    /// How long one call may take, in seconds (60).
    pub call_timeout_seconds: Option<u64>,
    /// `TOOLS_CONFIG`: tool files in S3, in the reference's form.
    pub objects: Vec<ToolObject>,
}

impl PythonConfig {
    /// Whether there is anything to load.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.dir.is_some() || !self.objects.is_empty()
    }
}

/// Which decorator Python tools get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrandsChoice {
    /// The installed `strands` package; without one, the shim.
    #[default]
    Auto,
    /// The shim, which starts in a fraction of the time, even where `strands` is installed.
    Shim,
}

/// One entry of `TOOLS_CONFIG`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolObject {
    /// The bucket.
    pub bucket_name: String,
    /// The key.
    pub key: String,
    /// It is one `.py` file. Kept for the form's sake: whatever is no archive is a file.
    #[serde(default)]
    pub is_file: bool,
    /// It is a zip archive of `.py` files. Stronger than `is_file`, which an uploaded archive also has.
    #[serde(default)]
    pub is_zip_archive: bool,
    /// The hex SHA-256 that its bytes must have. An addition to the reference's form.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// Reads the value of `TOOLS_CONFIG`.
///
/// # Errors
/// It is not a JSON array of `{bucketName, key, isFile, isZipArchive}`.
pub fn parse_tools_config(text: &str) -> Result<Vec<ToolObject>, ToolConfigError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|error| {
        ToolConfigError::new(
            "TOOLS_CONFIG",
            format!("expected a JSON array of {{bucketName, key, isFile, isZipArchive}}: {error}"),
        )
    })
}
