//! The toolbox: all sources together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use loquat_agent::tool::Tool;
use loquat_agent::tool_set::ToolSet;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::builtin::{self, memory::MemoryStore};
use super::config::{ToolPolicy, ToolsConfig};
use super::lambda::LambdaTool;
use super::mcp::{Server, Settings, resource_offers};
use super::naming::{Offer, settle};
use super::openapi::{ApiSource, ApiState};
use super::python::{self, ObjectReader};
use crate::aws::AwsLoader;
use crate::telemetry::tool::watched;

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
    /// How Python tools are read from S3; with `aws` and without this, by the server's own credentials.
    pub objects: Option<ObjectReader>,
    /// Tools of a program that embeds the server.
    pub own: Vec<Arc<dyn Tool>>,
}

/// What kind of source it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// Part of the server.
    Builtin,
    /// Part of the program that embeds the server.
    Own,
    /// An MCP server.
    Mcp,
    /// The Python worker.
    Python,
    /// Lambda functions.
    Lambda,
    /// An HTTP API.
    #[serde(rename = "openapi")]
    OpenApi,
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
type Snapshot = (u64, Arc<[Arc<dyn Tool>]>, ToolSet);

/// All tools of the server.
pub struct Toolbox {
    fixed: Vec<Offer>,
    builtin_problems: Vec<String>,
    lambda_problems: Vec<String>,
    apis: Vec<Arc<ApiSource>>,
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
        let (tools, builtin_problems) = builtin::start(config, deps);
        let mut fixed: Vec<Offer> =
            tools.into_iter().map(|tool| Offer { source: BUILTIN.into(), approval: None, tool }).collect();
        let own = deps.own.iter().cloned();
        fixed.extend(own.map(|tool| Offer { source: OWN.into(), approval: None, tool }));
        let (functions, lambda_problems) = functions(config, deps);
        fixed.extend(functions);
        let version = Arc::new(AtomicU64::new(0));
        let changed = || {
            let version = Arc::clone(&version);
            move || {
                version.fetch_add(1, Ordering::Release);
            }
        };
        let apis = config.openapi.iter().map(|api| ApiSource::start(api, changed())).collect();
        let remote = config.mcp.iter().map(|server| Settings::of(server, &deps.base_env));
        let servers = python::settings(&config.python, deps)
            .into_iter()
            .chain(remote)
            .map(|settings| Server::start(settings, changed()))
            .collect();
        Self {
            fixed,
            builtin_problems,
            lambda_problems,
            apis,
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
        self.snapshot().await.1
    }

    /// The same as an agent takes it, its schemas compiled once for all runs.
    pub async fn tool_set(&self) -> ToolSet {
        self.snapshot().await.2
    }

    async fn snapshot(&self) -> Snapshot {
        let first = *self.first_use.get_or_init(|| async { Instant::now() }).await;
        let until = first + self.wait;
        if Instant::now() < until {
            // Whoever is late joins the runs that begin later.
            let _ = tokio::time::timeout_at(until, self.settled()).await;
        }
        let version = self.version.load(Ordering::Acquire);
        let mut snapshot = self.snapshot.lock();
        match &*snapshot {
            Some(current) if current.0 == version => current.clone(),
            _ => {
                let offers = self.fixed.iter().cloned();
                let offers = offers.chain(self.apis.iter().flat_map(|api| api.offers()));
                let offers = offers.chain(self.servers.iter().flat_map(|server| server.offers()));
                let tools = settle(offers.chain(resource_offers(&self.servers)), &self.policies);
                let tools: Arc<[_]> = tools.into_iter().map(watched).collect();
                let set = ToolSet::new(tools.iter().cloned());
                let current = (version, tools, set);
                *snapshot = Some(current.clone());
                current
            }
        }
    }

    /// Where every source stands.
    #[must_use]
    pub fn status(&self) -> Vec<SourceStatus> {
        let mut all = Vec::new();
        let fixed = [
            (BUILTIN, SourceKind::Builtin, &self.builtin_problems),
            (OWN, SourceKind::Own, &Vec::new()),
            (LAMBDA, SourceKind::Lambda, &self.lambda_problems),
        ];
        for (name, kind, problems) in fixed {
            let own = self.fixed.iter().filter(|offer| *offer.source == *name);
            let tools: Vec<String> = own.map(|offer| offer.tool.spec().name.clone()).collect();
            if !tools.is_empty() || !problems.is_empty() {
                all.push(SourceStatus {
                    tools,
                    problems: problems.clone(),
                    ..SourceStatus::ready(name, kind)
                });
            }
        }
        all.extend(self.apis.iter().map(|api| api_status(api)));
        all.extend(self.servers.iter().map(|server| server_status(server)));
        all
    }

    async fn settled(&self) {
        let servers = futures_util::future::join_all(self.servers.iter().map(|server| server.settled()));
        let apis = futures_util::future::join_all(self.apis.iter().map(|api| api.settled()));
        tokio::join!(servers, apis);
    }

    /// Waits until every source has been tried once, then says where it stands.
    pub async fn check(&self) -> Vec<SourceStatus> {
        self.settled().await;
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
        self.apis.iter().for_each(|api| api.stop());
        futures_util::future::join_all(self.servers.iter().map(|server| server.shutdown())).await;
    }
}

/// The names of the sources that need no connection.
const BUILTIN: &str = "builtin";
const OWN: &str = "own";
const LAMBDA: &str = "lambda";

/// The Lambda functions, and what is wrong with the others.
fn functions(config: &ToolsConfig, deps: &ToolDeps) -> (Vec<Offer>, Vec<String>) {
    let mut offers = Vec::new();
    let mut problems = Vec::new();
    for function in &config.lambda {
        let made = match &deps.aws {
            Some(aws) => LambdaTool::new(function, Arc::clone(aws)),
            None => Err("there is no AWS configuration".to_owned()),
        };
        match made {
            Ok(tool) => offers.push(Offer { source: LAMBDA.into(), approval: None, tool: Arc::new(tool) }),
            Err(why) => problems.push(format!("{}: {why}", function.name)),
        }
    }
    (offers, problems)
}

impl SourceStatus {
    fn ready(name: &str, kind: SourceKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            state: SourceState::Ready,
            error: None,
            tools: Vec::new(),
            problems: Vec::new(),
            output: Vec::new(),
            protocol: None,
        }
    }
}

fn api_status(api: &ApiSource) -> SourceStatus {
    let ApiState { tried, error, tools, problems } = api.state();
    let state = match (tried, &error) {
        (false, _) => SourceState::Connecting,
        (true, None) => SourceState::Ready,
        (true, Some(_)) => SourceState::Down,
    };
    let tools = tools.iter().map(|tool| tool.spec().name.clone()).collect();
    SourceStatus { state, error, tools, problems, ..SourceStatus::ready(&api.name, SourceKind::OpenApi) }
}

fn server_status(server: &Server) -> SourceStatus {
    use super::mcp::Phase;
    let link = server.link();
    let (state, error) = match link.phase {
        Phase::Connecting => (SourceState::Connecting, None),
        Phase::Ready => (SourceState::Ready, None),
        Phase::Down(why) => (SourceState::Down, Some(why)),
    };
    let kind = if server.is_worker() { SourceKind::Python } else { SourceKind::Mcp };
    SourceStatus {
        state,
        error,
        tools: server.tool_names(),
        problems: link.problems.to_vec(),
        output: if state == SourceState::Down { server.tail() } else { Vec::new() },
        protocol: link.protocol,
        ..SourceStatus::ready(server.name(), kind)
    }
}
