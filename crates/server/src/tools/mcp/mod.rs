//! MCP servers as sources of tools, by `rmcp`, over stdio and streamable HTTP.
//!
//! Each server has a supervisor ([`supervisor`]) that connects, lists, watches and reconnects on its own. The list of
//! tools outlives the connection: while a server is away its tools answer with an error that says so, and the agent
//! goes on. Whatever a server sends is checked before it reaches the model's request: one bad schema must not make a
//! provider refuse every call.

mod connect;
mod convert;
mod handler;
mod http;
mod oauth;
mod resources;
mod supervisor;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use convert::check_schema;
pub(crate) use resources::offers as resource_offers;
pub(crate) use supervisor::{Phase, Server};

use super::config::{Approval, McpConfig, McpProtocol, OAuthConfig};
use super::python::Worker;
use crate::secret::Secret;

/// Everything a supervisor needs to know of its server.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) name: Arc<str>,
    pub(crate) transport: Transport,
    pub(crate) protocol: McpProtocol,
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
    pub(crate) approval: Option<Approval>,
    pub(crate) resources: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) call_timeout: Duration,
}

/// How a server is reached.
#[derive(Clone)]
pub(crate) enum Transport {
    /// Our own Python worker: it is told whose call it answers, and may send events to the client.
    Worker(Arc<Worker>),
    /// As a child process.
    Stdio {
        command: String,
        args: Vec<String>,
        /// The whole environment of the child.
        env: BTreeMap<String, Secret>,
        cwd: Option<PathBuf>,
    },
    /// By HTTP.
    Http {
        url: String,
        headers: BTreeMap<String, Secret>,
        bearer_token: Option<Secret>,
        oauth: Option<OAuthConfig>,
    },
}

impl Settings {
    /// Whether it is our own Python worker.
    pub(crate) fn is_worker(&self) -> bool {
        matches!(self.transport, Transport::Worker(_))
    }

    /// `base_env` is what every child process gets: `PATH`, `HOME`, `LANG`.
    pub(crate) fn of(config: &McpConfig, base_env: &[(String, String)]) -> Self {
        let transport = match (&config.command, &config.url) {
            (Some(command), _) => Transport::Stdio {
                command: command.clone(),
                args: config.args.clone(),
                env: child_env(base_env, &config.env),
                cwd: config.cwd.clone(),
            },
            (None, url) => Transport::Http {
                url: url.clone().unwrap_or_default(),
                headers: config.headers.clone(),
                bearer_token: config.bearer_token.clone(),
                oauth: config.oauth.clone(),
            },
        };
        Self {
            name: config.name.as_str().into(),
            transport,
            protocol: config.protocol,
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            approval: config.needs_approval,
            resources: config.resources.unwrap_or(true),
            connect_timeout: Duration::from_secs(config.connect_timeout_seconds.unwrap_or(30)),
            call_timeout: Duration::from_secs(config.call_timeout_seconds.unwrap_or(60)),
        }
    }
}

/// A child's environment: the base and what is listed, nothing else of the server's.
pub(crate) fn child_env(
    base: &[(String, String)],
    listed: &BTreeMap<String, Secret>,
) -> BTreeMap<String, Secret> {
    let base = base.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone())));
    base.chain(listed.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// The innermost cause: the outer ones name types of the transport.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    loop {
        // The transport does not say what caused its failures.
        let inner = match cause.downcast_ref() {
            Some(http::Failure::Client(error)) => Some(error as _),
            _ => cause.source(),
        };
        let Some(inner) = inner else { break };
        cause = inner;
    }
    cause.to_string().chars().take(300).collect()
}
