//! One server's life: connect, list, watch, reconnect with backoff. Nothing here can fail the agent; what goes wrong
//! is a state that the owner can see.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::RoleClient;
use rmcp::model::{
    ClientRequest, ListToolsRequest, PaginatedRequestParams, ServerNotification, SubscriptionFilter,
};
use rmcp::service::{Peer, PeerRequestOptions, Subscription};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connect::{Attempt, Service, Tail, connect, handshake_version};
use super::convert::{ListedTool, check_tools};
use super::handler::{Handler, Routes};
use super::{Settings, Transport, tool};
use crate::tools::naming::Offer;

/// Waits between attempts, doubling.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A call that finds the server away starts an attempt at once, but not more often than this.
const NUDGED_DELAY: Duration = Duration::from_millis(500);
/// A connection that held this long had succeeded; the next failure begins a new count.
const STABLE: Duration = Duration::from_secs(30);
/// How long a server may take to show that it is alive.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);
/// Changes of the list that come in a burst are one.
const SETTLE: Duration = Duration::from_millis(50);

/// Where a server stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first attempt is under way.
    Connecting,
    /// It answers.
    Ready,
    /// It does not, for this reason; it is tried again.
    Down(String),
}

/// What is known of a server now.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) phase: Phase,
    pub(super) peer: Option<Peer<RoleClient>>,
    /// The last list it gave; it outlives the connection.
    pub(super) tools: Arc<Vec<ListedTool>>,
    /// Tools that were left out, and why.
    pub(crate) problems: Arc<Vec<String>>,
    pub(crate) protocol: Option<String>,
    pub(crate) resources: bool,
}

/// What tools and supervisor share.
pub(crate) struct Shared {
    pub(super) settings: Settings,
    pub(super) link: watch::Sender<Link>,
    pub(super) routes: Arc<Routes>,
    /// A call needs the server, or doubts that it is alive.
    nudge: Notify,
    relist: Arc<Notify>,
    tail: Arc<Tail>,
    /// Called when the offers have changed.
    changed: Box<dyn Fn() + Send + Sync>,
}

/// A server and its supervisor.
pub(crate) struct Server {
    pub(super) shared: Arc<Shared>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Starts the supervisor; returns at once.
    pub(crate) fn start(settings: Settings, changed: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let link = Link {
            phase: Phase::Connecting,
            peer: None,
            tools: Arc::default(),
            problems: Arc::default(),
            protocol: None,
            resources: false,
        };
        let shared = Arc::new(Shared {
            settings,
            link: watch::Sender::new(link),
            routes: Arc::default(),
            nudge: Notify::new(),
            relist: Arc::default(),
            tail: Arc::default(),
            changed: Box::new(changed),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervise(Arc::clone(&shared), stop.clone()));
        Arc::new(Self { shared, stop, task: Mutex::new(Some(task)) })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.shared.settings.name
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.shared.settings.is_worker()
    }

    pub(crate) fn link(&self) -> Link {
        self.shared.link.borrow().clone()
    }

    /// The names of the tools it offers.
    pub(crate) fn tool_names(&self) -> Vec<String> {
        self.shared.link.borrow().tools.iter().map(|tool| tool.name.clone()).collect()
    }

    /// The last lines of its error output.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.shared.tail.lines()
    }

    /// Returns when the first attempt has ended, either way.
    pub(crate) async fn settled(&self) {
        let mut link = self.shared.link.subscribe();
        // The sender lives as long as `self`.
        let _ = link.wait_for(|link| link.phase != Phase::Connecting).await;
    }

    /// The tools of its last list.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let link = self.link();
        link.tools
            .iter()
            .map(|listed| Offer {
                source: Arc::clone(self.name()),
                approval: self.shared.settings.approval,
                tool: Arc::new(tool::McpTool::new(listed, Arc::clone(&self.shared))),
            })
            .collect()
    }

    /// Ends the connection, and the child process if it is one.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            // The task bounds its own end.
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    /// The connection; waits for one that is being made, for at most `patience`.
    ///
    /// # Errors
    /// Words for the model.
    pub(super) async fn peer(&self, patience: Duration) -> Result<Peer<RoleClient>, String> {
        // A connection that has just ended is still there until the supervisor sees it.
        let open = |link: &Link| link.peer.clone().filter(|peer| !peer.is_transport_closed());
        let mut link = self.link.subscribe();
        if let Some(peer) = open(&link.borrow()) {
            return Ok(peer);
        }
        self.nudge.notify_one();
        let _ = tokio::time::timeout(patience, link.wait_for(|link| open(link).is_some())).await;
        let link = self.link.borrow();
        match (open(&link), &link.phase) {
            (Some(peer), _) => Ok(peer),
            (None, Phase::Down(why)) => Err(format!(
                "The server \"{}\" of this tool is not available ({why}). It is being reconnected.",
                self.settings.name
            )),
            (None, _) => {
                Err(format!("The server \"{}\" of this tool is still starting.", self.settings.name))
            }
        }
    }

    /// A call went wrong in a way that may mean that the server is gone: the supervisor looks.
    pub(super) fn suspect(&self) {
        self.nudge.notify_one();
    }

    fn publish(&self, change: impl FnOnce(&mut Link)) {
        self.link.send_modify(change);
        (self.changed)();
    }
}

async fn supervise(shared: Arc<Shared>, stop: CancellationToken) {
    let name = Arc::clone(&shared.settings.name);
    let mut failures = 0u32;
    let mut attempt = Attempt::Auto;
    loop {
        let began = Instant::now();
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            connected = tokio::time::timeout(shared.settings.connect_timeout, open(&shared, attempt)) => connected,
        };
        let why = match connected {
            Ok(Ok((service, listed))) => {
                let protocol = service.peer_info().map(|info| info.protocol_version.to_string());
                tracing::info!(server = %name, protocol, tools = listed.tools.len(), "MCP server connected");
                let why = watch(&shared, service, listed, &stop).await;
                if began.elapsed() > STABLE {
                    failures = 0;
                }
                why
            }
            Ok(Err(why)) => {
                // Servers that end at a question they do not know get the handshake next.
                attempt = match attempt {
                    Attempt::Auto => Attempt::Handshake,
                    Attempt::Handshake => Attempt::Auto,
                };
                why
            }
            Err(_) => format!("no connection within {} s", shared.settings.connect_timeout.as_secs()),
        };
        if stop.is_cancelled() {
            return;
        }
        failures += 1;
        tracing::warn!(server = %name, failures, "MCP server is not available; it will be tried again");
        shared.publish(|link| {
            link.peer = None;
            link.phase = Phase::Down(why);
        });
        // The other lifecycle is tried at once, and only then the waiting begins.
        let delay =
            if failures == 1 && attempt == Attempt::Handshake { Duration::ZERO } else { backoff(failures) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
            () = nudged(&shared) => {}
        }
    }
}

async fn nudged(shared: &Shared) {
    tokio::time::sleep(NUDGED_DELAY).await;
    shared.nudge.notified().await;
}

/// Doubling, with up to a quarter taken off so that servers that fell together do not come back together.
fn backoff(failures: u32) -> Duration {
    let delay = FIRST_DELAY.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST_DELAY);
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    delay - delay * random / 1024
}

struct Listed {
    tools: Vec<ListedTool>,
    problems: Vec<String>,
}

/// Connects and lists.
async fn open(shared: &Arc<Shared>, attempt: Attempt) -> Result<(Service, Listed), String> {
    let handler = Handler {
        protocol: handshake_version(shared.settings.protocol),
        routes: Arc::clone(&shared.routes),
        relist: Arc::clone(&shared.relist),
        events: shared.settings.is_worker(),
    };
    let service = connect(&shared.settings, handler, attempt, &shared.tail)
        .await
        .map_err(|error| short(&error.to_string()))?;
    let listed = list(shared, service.peer()).await?;
    Ok((service, listed))
}

async fn list(shared: &Shared, peer: &Peer<RoleClient>) -> Result<Listed, String> {
    let offers_tools = peer.peer_info().is_none_or(|info| info.capabilities.tools.is_some());
    let tools = if offers_tools {
        peer.list_all_tools()
            .await
            .map_err(|error| short(&format!("its tools could not be listed: {error}")))?
    } else {
        Vec::new()
    };
    let (tools, mut problems) = check_tools(tools, &shared.settings);
    if let Transport::Worker(worker) = &shared.settings.transport {
        problems.extend(worker.problems());
        // The worker says there which modules it could not load.
        let instructions = peer.peer_info().and_then(|info| info.instructions.clone());
        let own = instructions.and_then(|text| serde_json::from_str::<Vec<String>>(&text).ok());
        problems.extend(own.unwrap_or_default());
    }
    Ok(Listed { tools, problems })
}

/// Errors can carry a whole message of the server.
fn short(text: &str) -> String {
    let mut short: String = text.chars().take(300).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Serves until the connection ends; gives the reason.
async fn watch(shared: &Arc<Shared>, service: Service, listed: Listed, stop: &CancellationToken) -> String {
    let peer = service.peer().clone();
    let info = peer.peer_info();
    let resources =
        shared.settings.resources && info.as_ref().is_some_and(|info| info.capabilities.resources.is_some());
    for problem in &listed.problems {
        // What it is about, and where and of what kind it is; the rest may quote anything, and is for `loquat check`.
        let what = problem.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ");
        tracing::warn!(server = %shared.settings.name, problem = what, "left out; `loquat check` says more");
    }
    shared.publish(|link| {
        link.phase = Phase::Ready;
        link.peer = Some(peer.clone());
        link.tools = Arc::new(listed.tools);
        link.problems = Arc::new(listed.problems);
        link.protocol = info.as_ref().map(|info| info.protocol_version.to_string());
        link.resources = resources;
    });
    let mut subscription = subscribe(&peer).await;
    let cancel = service.cancellation_token();
    let mut ended = std::pin::pin!(service.waiting());
    let why = loop {
        tokio::select! {
            () = stop.cancelled() => break "stopped".to_owned(),
            _ = &mut ended => return match &shared.settings.transport {
                Transport::Stdio { .. } | Transport::Worker(_) => "the process ended".to_owned(),
                Transport::Http { .. } => "the connection ended".to_owned(),
            },
            () = shared.relist.notified() => relist(shared, &peer).await,
            () = shared.nudge.notified() => {
                if let Err(why) = probe(&peer).await {
                    break why;
                }
            }
            notification = next(&mut subscription) => match notification {
                Some(ServerNotification::ToolListChangedNotification(_)) => relist(shared, &peer).await,
                Some(_) => {}
                // The stream of changes ended but the server may be well: ask, and ask for a new one.
                None => {
                    tokio::time::sleep(FIRST_DELAY).await;
                    if let Err(why) = probe(&peer).await {
                        break why;
                    }
                    subscription = subscribe(&peer).await;
                    if subscription.is_some() {
                        relist(shared, &peer).await;
                    }
                }
            },
        }
    };
    // New calls wait for the next connection instead of using this one.
    shared.link.send_modify(|link| link.peer = None);
    cancel.cancel();
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, ended).await;
    why
}

/// Revisions without a handshake tell changes only to who listens for them.
async fn subscribe(peer: &Peer<RoleClient>) -> Option<Subscription> {
    let info = peer.peer_info()?;
    let changes = info.capabilities.tools.as_ref().is_some_and(|tools| tools.list_changed == Some(true));
    if info.protocol_version.has_initialize() || !changes {
        return None;
    }
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    tokio::time::timeout(PROBE_TIMEOUT, peer.listen(filter)).await.ok()?.ok()
}

/// The next notification; never, where there is no subscription.
async fn next(subscription: &mut Option<Subscription>) -> Option<ServerNotification> {
    let Some(active) = subscription else { return std::future::pending().await };
    match active.next().await {
        Ok(Some(notification)) => Some(notification),
        Ok(None) | Err(_) => {
            *subscription = None;
            None
        }
    }
}

async fn relist(shared: &Shared, peer: &Peer<RoleClient>) {
    tokio::time::sleep(SETTLE).await;
    match tokio::time::timeout(shared.settings.connect_timeout, list(shared, peer)).await {
        Ok(Ok(listed)) => shared.publish(|link| {
            link.tools = Arc::new(listed.tools);
            link.problems = Arc::new(listed.problems);
        }),
        // The last list stays; calls to a tool that is gone get the server's own error.
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(server = %shared.settings.name, "the changed list of tools could not be read");
        }
    }
}

/// Asks for a sign of life, past every cache.
async fn probe(peer: &Peer<RoleClient>) -> Result<(), String> {
    let request = ClientRequest::ListToolsRequest(ListToolsRequest {
        method: Default::default(),
        params: Some(PaginatedRequestParams::default()),
        extensions: Default::default(),
    });
    let asked = async {
        let options = PeerRequestOptions::with_timeout(PROBE_TIMEOUT);
        peer.send_request_with_option(request, options).await?.await_response().await
    };
    match tokio::time::timeout(PROBE_TIMEOUT * 2, asked).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(rmcp::ServiceError::Timeout { .. })) | Err(_) => Err("it does not answer".to_owned()),
        // It listed its tools before: an error now means that it does not know the connection any more (some servers
        // answer a lost session with an error of their own making instead of the 404 that renews it).
        Ok(Err(error)) => Err(short(&format!("it does not list its tools any more: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        for (failures, most) in [(1, 500), (2, 1000), (5, 8000), (7, 30_000), (4000, 30_000)] {
            let delay = backoff(failures).as_millis();
            assert!(delay <= most && delay >= most * 3 / 4, "{failures}: {delay}");
        }
    }
}
