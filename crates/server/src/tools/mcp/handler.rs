//! Our side of a connection: what a server may say without being asked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use loquat_agent::event::Progress;
use parking_lot::Mutex;
use rmcp::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, CustomNotification, ElicitRequestParams, ElicitResult,
    ElicitationAction, Implementation, ProgressNotificationParam, ProgressToken, ProtocolVersion,
};
use rmcp::service::{NotificationContext, RequestContext, RoleClient};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

/// The worker's notification that carries an event of a tool to the client.
pub(super) const EVENT_METHOD: &str = "notifications/loquat/event";

/// How many reports of one call may wait.
const REPORTS: usize = 256;
/// How many reports that came before their call was known are kept.
const EARLY: usize = 64;

/// What a server reports while it works on a call.
#[derive(Debug)]
pub(super) enum Report {
    Progress(Progress),
    /// An event for the client, with its number in the call, from 0.
    Event {
        seq: u64,
        name: String,
        data: Value,
    },
}

/// Brings reports to the calls they belong to.
#[derive(Default)]
pub(super) struct Routes(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    open: HashMap<ProgressToken, mpsc::Sender<Report>>,
    /// A token is known only after its request was sent, so the first reports can be early.
    early: VecDeque<(ProgressToken, Report)>,
}

impl Routes {
    /// Opens the way for a call's reports; it closes when the guard is dropped.
    pub(super) fn open(self: &Arc<Self>, token: ProgressToken) -> (Route, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(REPORTS);
        let mut tables = self.0.lock();
        let mut rest = VecDeque::new();
        while let Some((early, report)) = tables.early.pop_front() {
            if early == token {
                // The channel is empty and longer than the list.
                let _ = sender.try_send(report);
            } else {
                rest.push_back((early, report));
            }
        }
        tables.early = rest;
        tables.open.insert(token.clone(), sender);
        (Route { routes: Arc::clone(self), token }, receiver)
    }

    fn deliver(&self, token: ProgressToken, report: Report) {
        let mut tables = self.0.lock();
        match tables.open.get(&token) {
            // Full means that reports come faster than they can be shown; they are hints and may be lost.
            Some(sender) => drop(sender.try_send(report)),
            None => {
                if tables.early.len() == EARLY {
                    tables.early.pop_front();
                }
                tables.early.push_back((token, report));
            }
        }
    }
}

/// Keeps a call's way open.
pub(super) struct Route {
    routes: Arc<Routes>,
    token: ProgressToken,
}

impl Drop for Route {
    fn drop(&mut self) {
        self.routes.0.lock().open.remove(&self.token);
    }
}

/// The handler of one connection.
pub(super) struct Handler {
    pub(super) protocol: Option<ProtocolVersion>,
    pub(super) routes: Arc<Routes>,
    /// Rung when the server's list of tools may have changed.
    pub(super) relist: Arc<Notify>,
    /// Whether events for the client are taken from this server.
    pub(super) events: bool,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let info = Implementation::new("loquat", env!("CARGO_PKG_VERSION"));
        let config = ClientConfig::new(ClientCapabilities::default(), info);
        match &self.protocol {
            Some(version) => config.with_protocol_version(version.clone()),
            None => config,
        }
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let progress = Progress {
            message: params.message,
            progress: Some(params.progress),
            total: params.total,
            data: None,
        };
        self.routes.deliver(params.progress_token, Report::Progress(progress));
    }

    /// A server asks the user for input in the middle of a call. Nobody can be asked there: the run may have no reader,
    /// and an answer may come tomorrow. What needs a person's word is asked before the call, as an approval. The
    /// capability is not announced, so only a server that does not care comes here; it hears that the user declines.
    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, rmcp::ErrorData> {
        tracing::info!("a tool server asked the user for input, which is declined");
        Ok(ElicitResult::new(ElicitationAction::Decline))
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.relist.notify_one();
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        _: NotificationContext<RoleClient>,
    ) {
        if !self.events || notification.method != EVENT_METHOD {
            return;
        }
        let Some(params) = notification.params else { return };
        let token = params.get("progressToken").cloned().and_then(|t| serde_json::from_value(t).ok());
        let name = params.get("event").and_then(Value::as_str).map(str::to_owned);
        let seq = params.get("seq").and_then(Value::as_u64);
        if let (Some(token), Some(name), Some(seq)) = (token, name, seq) {
            let data = params.get("data").cloned().unwrap_or_default();
            self.routes.deliver(token, Report::Event { seq, name, data });
        }
    }
}
