//! Making a connection: the transport, then the lifecycle of the protocol revision.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use process_wrap::tokio::CommandWrap;
#[cfg(unix)]
use process_wrap::tokio::ProcessGroup;
use rmcp::model::ProtocolVersion;
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::TokioChildProcess;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, service::ClientInitializeError};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStderr;

use super::handler::Handler;
use super::http::Http;
use super::oauth::TokenSource;
use super::{Settings, Transport};
use crate::secret::Secret;
use crate::tools::config::McpProtocol;

/// How much of a child's error output is kept.
const TAIL_LINES: usize = 20;
const TAIL_LINE: usize = 400;

pub(super) type Service = RunningService<RoleClient, Handler>;

/// Why there is no connection. For the owner: it may name what the server said, never what was sent to it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Prepare(String),
    #[error("the command could not be started: {0}")]
    Spawn(std::io::Error),
    #[error("the HTTP client could not be made: {0}")]
    Client(reqwest::Error),
    #[error("{}", words(.0))]
    Handshake(Box<ClientInitializeError>),
}

/// What went wrong, without the names of types that the library's own words are full of.
fn words(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => {
            format!("the connection failed: {}", super::root(error.error.as_ref()))
        }
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => words(fallback),
        error => error.to_string(),
    }
}

/// The last lines a child wrote to its error output: shown to the owner by `loquat check`, never logged.
#[derive(Default)]
pub(super) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }

    fn push(&self, line: &str) {
        let mut lines = self.0.lock();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(TAIL_LINE).collect());
    }

    async fn follow(&self, stderr: ChildStderr) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line without an end must not grow without one.
            let mut limited = tokio::io::AsyncReadExt::take(&mut reader, 64 * 1024);
            match limited.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.push(String::from_utf8_lossy(&line).trim_end()),
            }
        }
    }
}

/// Which lifecycle is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// `server/discover` first, the handshake if the server does not know it.
    Auto,
    /// The handshake at once: some servers end when they are asked what they do not know.
    Handshake,
}

fn version(protocol: McpProtocol) -> Option<ProtocolVersion> {
    match protocol {
        McpProtocol::Auto => None,
        McpProtocol::V20241105 => Some(ProtocolVersion::V_2024_11_05),
        McpProtocol::V20250326 => Some(ProtocolVersion::V_2025_03_26),
        McpProtocol::V20250618 => Some(ProtocolVersion::V_2025_06_18),
        McpProtocol::V20251125 => Some(ProtocolVersion::V_2025_11_25),
        McpProtocol::V20260728 => Some(ProtocolVersion::V_2026_07_28),
    }
}

/// The version our handler names in a handshake; `None` is the newest that has one.
pub(super) fn handshake_version(protocol: McpProtocol) -> Option<ProtocolVersion> {
    version(protocol).filter(ProtocolVersion::has_initialize)
}

fn lifecycle(protocol: McpProtocol, attempt: Attempt) -> ClientLifecycleMode {
    let newest = vec![ProtocolVersion::V_2026_07_28];
    match (version(protocol), attempt) {
        (None, Attempt::Auto) => {
            ClientLifecycleMode::Auto { preferred_versions: newest, legacy_version: None }
        }
        (Some(version), _) if !version.has_initialize() => {
            ClientLifecycleMode::Discover { preferred_versions: vec![version] }
        }
        (Some(_), _) | (None, Attempt::Handshake) => ClientLifecycleMode::Initialize,
    }
}

/// Connects. Dropping the future ends a child that was started.
pub(super) async fn connect(
    settings: &Settings,
    handler: Handler,
    attempt: Attempt,
    tail: &Arc<Tail>,
) -> Result<Service, ConnectError> {
    let lifecycle = lifecycle(settings.protocol, attempt);
    let failed = |error| ConnectError::Handshake(Box::new(error));
    match &settings.transport {
        Transport::Stdio { command, args, env, cwd } => {
            let process = spawn(command, args, env, cwd.as_deref(), tail).map_err(ConnectError::Spawn)?;
            handler.serve_with_lifecycle(process, lifecycle).await.map_err(failed)
        }
        Transport::Worker(worker) => {
            let launch = worker.launch().await.map_err(ConnectError::Prepare)?;
            let process =
                spawn(&launch.command, &launch.args, &launch.env, None, tail).map_err(ConnectError::Spawn)?;
            handler.serve_with_lifecycle(process, lifecycle).await.map_err(failed)
        }
        Transport::Http { url, headers, bearer_token, oauth } => {
            let client = http_client().map_err(ConnectError::Client)?;
            let headers: HashMap<HeaderName, HeaderValue> = headers
                .iter()
                .filter_map(|(name, value)| {
                    let mut value = HeaderValue::from_str(value.expose()).ok()?;
                    value.set_sensitive(true);
                    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
                })
                .collect();
            let mut config =
                StreamableHttpClientTransportConfig::with_uri(url.as_str()).custom_headers(headers);
            if let Some(token) = bearer_token {
                config = config.auth_header(token.expose());
            }
            let tokens =
                oauth.as_ref().map(|oauth| Arc::new(TokenSource::new(oauth.clone(), url, client.clone())));
            let transport = StreamableHttpClientTransport::with_client(Http::new(client, tokens), config);
            handler.serve_with_lifecycle(transport, lifecycle).await.map_err(failed)
        }
    }
}

fn spawn(
    command: &str,
    args: &[String],
    env: &BTreeMap<String, Secret>,
    cwd: Option<&Path>,
    tail: &Arc<Tail>,
) -> std::io::Result<TokioChildProcess> {
    let mut wrapped = CommandWrap::with_new(command, |child| {
        child.args(args).env_clear().envs(env.iter().map(|(name, value)| (name, value.expose())));
        if let Some(cwd) = cwd {
            child.current_dir(cwd);
        }
    });
    // Runners like npx start the server as a child of their own: the whole group ends with it.
    #[cfg(unix)]
    wrapped.wrap(ProcessGroup::leader());
    let (process, stderr) = TokioChildProcess::builder(wrapped).stderr(Stdio::piped()).spawn()?;
    if let Some(stderr) = stderr {
        let tail = Arc::clone(tail);
        // Ends with the child, whose end of the pipe it reads.
        tokio::spawn(async move { tail.follow(stderr).await });
    }
    Ok(process)
}

fn http_client() -> reqwest::Result<reqwest::Client> {
    // Headers hold credentials: they follow no redirect to another origin.
    let same_origin = reqwest::redirect::Policy::custom(|attempt| {
        let stays = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
        if !stays || attempt.previous().len() > 5 { attempt.stop() } else { attempt.follow() }
    });
    reqwest::Client::builder().connect_timeout(Duration::from_secs(10)).redirect(same_origin).build()
}
