//! The toolbox: all sources together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loquat_agent::tool::Tool;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::builtin::{self, memory::MemoryStore};
use super::config::{ToolPolicy, ToolsConfig};
use super::mcp::{Server, Settings, resource_offers};
use super::naming::{Offer, settle};
use crate::aws::AwsLoader;

/// How long the first run waits for servers that are still connecting.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// What tools get from the rest of the server.
#[derive(Clone, Default)]
pub struct ToolDeps {
    /// `PATH`, `HOME` and `LANG`, which every child process gets.
    pub base_env: Vec<(String, String)>,
    /// The AWS configuration; without it there are no tools that need AWS.
    pub aws: Option<AwsLoader>,
    /// Where facts about users are kept; without it there is no `memory` tool.
    pub memory: Option<Arc<dyn MemoryStore>>,
}

/// What kind of source it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Part of the server.
    Builtin,
    /// An MCP server.
    Mcp,
}

/// Whether a source works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It works.
    Ready,
    /// It is being connected for the first time.
    Connecting,
    /// It does not work; it is tried again.
    Down,
}

/// One source, for `loquat check`.
#[derive(Clone, Debug, Serialize)]
pub struct SourceStatus {
    /// Its name in the configuration.
    pub name: String,
    /// What it is.
    pub kind: SourceKind,
    /// Whether it works.
    pub state: SourceState,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The names of its tools, as the source has them.
    pub tools: Vec<String>,
    /// What was left out, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The last lines of a child process's error output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
    /// The protocol revision of an MCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// The tools at one count of changes.
type Snapshot = (u64, Arc<[Arc<dyn Tool>]>);

/// All tools of the server.
pub struct Toolbox {
    fixed: Vec<Offer>,
    fixed_problems: Vec<String>,
    servers: Vec<Arc<Server>>,
    policies: BTreeMap<String, ToolPolicy>,
    /// Counts the changes of what servers offer.
    version: Arc<AtomicU64>,
    snapshot: Mutex<Option<Snapshot>>,
    wait: Duration,
    first_use: OnceCell<Instant>,
}

impl Toolbox {
    /// Starts the sources. Returns at once: servers connect in the background, and one that cannot be reached is no
    /// error. `config` has been checked. Must be called within the runtime.
    #[must_use]
    pub fn start(config: &ToolsConfig, deps: &ToolDeps) -> Self {
        crate::tls::install();
        let (tools, fixed_problems) = builtin::start(config, deps);
        let fixed =
            tools.into_iter().map(|tool| Offer { source: "builtin".into(), approval: None, tool }).collect();
        let version = Arc::new(AtomicU64::new(0));
        let servers = config
            .mcp
            .iter()
            .map(|server| {
                let version = Arc::clone(&version);
                Server::start(Settings::of(server, &deps.base_env), move || {
                    version.fetch_add(1, Ordering::Release);
                })
            })
            .collect();
        Self {
            fixed,
            fixed_problems,
            servers,
            policies: config.tool.clone(),
            version,
            snapshot: Mutex::new(None),
            wait: config.connect_wait_ms.map_or(CONNECT_WAIT, Duration::from_millis),
            first_use: OnceCell::new(),
        }
    }

    /// The tools now. The first call waits a short time for servers that are still connecting; later ones cost a
    /// comparison of two numbers. The order does not depend on which servers are up.
    pub async fn tools(&self) -> Arc<[Arc<dyn Tool>]> {
        let first = *self.first_use.get_or_init(|| async { Instant::now() }).await;
        let until = first + self.wait;
        if Instant::now() < until {
            let all = futures_util::future::join_all(self.servers.iter().map(|server| server.settled()));
            // Whoever is late joins the runs that begin later.
            let _ = tokio::time::timeout_at(until, all).await;
        }
        let version = self.version.load(Ordering::Acquire);
        let mut snapshot = self.snapshot.lock();
        match &*snapshot {
            Some((built, tools)) if *built == version => Arc::clone(tools),
            _ => {
                let offers = self.fixed.iter().cloned();
                let offers = offers.chain(self.servers.iter().flat_map(|server| server.offers()));
                let tools: Arc<[_]> =
                    settle(offers.chain(resource_offers(&self.servers)), &self.policies).into();
                *snapshot = Some((version, Arc::clone(&tools)));
                tools
            }
        }
    }

    /// Where every source stands.
    #[must_use]
    pub fn status(&self) -> Vec<SourceStatus> {
        let mut all = Vec::new();
        if !self.fixed.is_empty() || !self.fixed_problems.is_empty() {
            all.push(SourceStatus {
                name: "builtin".to_owned(),
                kind: SourceKind::Builtin,
                state: SourceState::Ready,
                error: None,
                tools: self.fixed.iter().map(|offer| offer.tool.spec().name.clone()).collect(),
                problems: self.fixed_problems.clone(),
                output: Vec::new(),
                protocol: None,
            });
        }
        all.extend(self.servers.iter().map(|server| server_status(server)));
        all
    }

    /// Waits until every source has been tried once, then says where it stands.
    pub async fn check(&self) -> Vec<SourceStatus> {
        futures_util::future::join_all(self.servers.iter().map(|server| server.settled())).await;
        self.status()
    }

    /// The last lines of a server's error output, whatever its state.
    #[cfg(test)]
    pub(crate) fn output_of(&self, name: &str) -> Vec<String> {
        self.servers
            .iter()
            .filter(|server| **server.name() == *name)
            .flat_map(|server| server.tail())
            .collect()
    }

    /// Ends the sources and their processes.
    pub async fn shutdown(&self) {
        futures_util::future::join_all(self.servers.iter().map(|server| server.shutdown())).await;
    }
}

fn server_status(server: &Server) -> SourceStatus {
    use super::mcp::Phase;
    let link = server.link();
    let (state, error) = match link.phase {
        Phase::Connecting => (SourceState::Connecting, None),
        Phase::Ready => (SourceState::Ready, None),
        Phase::Down(why) => (SourceState::Down, Some(why)),
    };
    SourceStatus {
        name: server.name().to_string(),
        kind: SourceKind::Mcp,
        state,
        error,
        tools: server.tool_names(),
        problems: link.problems.to_vec(),
        output: if state == SourceState::Down { server.tail() } else { Vec::new() },
        protocol: link.protocol,
    }
}
