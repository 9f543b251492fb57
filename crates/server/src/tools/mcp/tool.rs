//! One tool of an MCP server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loquat_agent::tool::{ProgressSink, Tool, ToolContext, ToolOutput, ToolSpec};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ErrorCode, JsonObject, RequestMetaObject,
    ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestHandle, RoleClient, ServiceError};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::convert::{ListedTool, output};
use super::handler::Report;
use super::supervisor::Shared;
use crate::telemetry::scope;

/// How long a call waits for a server that is being reconnected.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a result waits for events that were sent before it.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// Where the worker counts the events of a call.
const EVENT_COUNT: &str = "loquat/events";

pub(super) struct McpTool {
    spec: ToolSpec,
    /// The server's own name for it.
    name: String,
    shared: Arc<Shared>,
}

impl McpTool {
    pub(super) fn new(listed: &ListedTool, shared: Arc<Shared>) -> Self {
        Self { spec: listed.spec.clone(), name: listed.name.clone(), shared }
    }

    fn request(&self, arguments: JsonObject, cx: &ToolContext) -> ClientRequest {
        let mut params = CallToolRequestParams::new(self.name.clone()).with_arguments(arguments);
        let mut meta = RequestMetaObject::new();
        if self.shared.settings.is_worker() {
            let call = json!({"session_id": cx.session_id, "user": cx.user, "call_id": cx.call_id});
            meta.0.insert("loquat/call".to_owned(), call);
        }
        // Which trace the call belongs to, by the names that MCP reserves; over HTTP they are also headers.
        for (name, value) in scope::headers() {
            if let (Ok(value), true) = (value.to_str(), name.as_str().starts_with("trace")) {
                meta.0.insert(name.as_str().to_owned(), value.into());
            }
        }
        if !meta.0.is_empty() {
            params.meta = Some(meta);
        }
        ClientRequest::CallToolRequest(CallToolRequest::new(params))
    }

    async fn run(&self, arguments: JsonObject, cx: &ToolContext) -> Result<ToolOutput, String> {
        let peer = tokio::select! {
            peer = self.shared.peer(PATIENCE) => peer?,
            () = cx.cancel.cancelled() => return Err("stopped before the call was made".to_owned()),
        };
        let request = self.request(arguments, cx);
        let handle = match peer.send_cancellable_request(request, PeerRequestOptions::no_options()).await {
            Ok(handle) => handle,
            Err(error) => return Err(self.explain(&error)),
        };
        let (_route, mut reports) = self.shared.routes.open(handle.progress_token.clone());
        let mut pending = Pending(Some(handle));
        let mut inbox = Inbox::default();
        let deadline = cx.deadline.min(Instant::now() + self.spec.timeout);
        let answer = loop {
            tokio::select! {
                answer = pending.answer() => break answer,
                Some(report) = reports.recv() => inbox.take(report, &cx.progress).await,
                () = cx.cancel.cancelled() => {
                    pending.cancel("the user stopped the run").await;
                    return Err("stopped; its outcome is unknown".to_owned());
                }
                () = tokio::time::sleep_until(deadline) => {
                    pending.cancel("the call took too long").await;
                    // Slow, or gone? The supervisor finds out.
                    self.shared.suspect();
                    return Err(format!(
                        "no answer within {} s; its outcome is unknown",
                        self.spec.timeout.as_secs_f32()
                    ));
                }
            }
        };
        match answer {
            Ok(ServerResult::CallToolResult(result)) => {
                let sent =
                    result.meta.as_ref().and_then(|meta| meta.0.get(EVENT_COUNT)).and_then(Value::as_u64);
                inbox.drain(&mut reports, sent.unwrap_or(0), &cx.progress).await;
                Ok(output(result))
            }
            Ok(ServerResult::EmptyResult(_)) => Ok(ToolOutput::default()),
            Ok(ServerResult::InputRequiredResult(_)) => {
                Err("it wants more input from the user, which cannot be given here".to_owned())
            }
            Ok(_) => Err("its answer is not one that the protocol knows".to_owned()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Words for the model, and a hint to the supervisor.
    fn explain(&self, error: &ServiceError) -> String {
        match error {
            ServiceError::McpError(error) => {
                // The arguments' fault, or a sign that the server does not know us any more?
                if error.code != ErrorCode::INVALID_PARAMS {
                    self.shared.suspect();
                }
                error.message.to_string()
            }
            ServiceError::TransportClosed => {
                "its server ended during the call; its outcome is unknown".to_owned()
            }
            ServiceError::TransportSend(error) => {
                self.shared.suspect();
                format!("its server could not be reached: {}", super::root(error.error.as_ref()))
            }
            ServiceError::UnexpectedResponse => "its answer is not one that the protocol knows".to_owned(),
            ServiceError::Cancelled { .. } => "its server cancelled the call".to_owned(),
            error => error.to_string(),
        }
    }
}

#[async_trait]
impl Tool for McpTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        let Value::Object(arguments) = input else {
            return ToolOutput::error("the input must be an object");
        };
        match self.run(arguments, &cx).await {
            Ok(output) => output,
            Err(why) => ToolOutput::error(format!("The tool failed: {why}.")),
        }
    }
}

/// A request that is not answered yet. However it is left, the server is told that nobody waits any more.
struct Pending(Option<RequestHandle<RoleClient>>);

impl Pending {
    async fn answer(&mut self) -> Result<ServerResult, ServiceError> {
        let Some(handle) = &mut self.0 else { return std::future::pending().await };
        let answer = (&mut handle.rx).await;
        self.0 = None;
        answer.unwrap_or(Err(ServiceError::TransportClosed))
    }

    async fn cancel(&mut self, reason: &str) {
        if let Some(handle) = self.0.take() {
            let told = handle.cancel(Some(reason.to_owned()));
            // A server that does not read cannot be told; the supervisor deals with it.
            let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some(handle) = self.0.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(handle.cancel(Some("the call was given up".to_owned())));
        }
    }
}

/// Puts a call's events back into the order in which they were sent.
#[derive(Default)]
struct Inbox {
    next: u64,
    early: BTreeMap<u64, (String, Value)>,
}

impl Inbox {
    async fn take(&mut self, report: Report, sink: &ProgressSink) {
        match report {
            Report::Progress(progress) => sink.report(progress),
            Report::Event { seq, name, data } => {
                self.early.insert(seq, (name, data));
                while let Some((name, data)) = self.early.remove(&self.next) {
                    self.next += 1;
                    sink.custom(name, data).await;
                }
            }
        }
    }

    /// What was sent before the result is delivered before it.
    async fn drain(&mut self, reports: &mut mpsc::Receiver<Report>, sent: u64, sink: &ProgressSink) {
        while let Ok(report) = reports.try_recv() {
            self.take(report, sink).await;
        }
        let late = async {
            while self.next < sent {
                match reports.recv().await {
                    Some(report) => self.take(report, sink).await,
                    None => return,
                }
            }
        };
        // A report that was dropped leaves a gap; it must not hold up the answer.
        let _ = tokio::time::timeout(STRAGGLERS, late).await;
        for (name, data) in std::mem::take(&mut self.early).into_values() {
            sink.custom(name, data).await;
        }
    }
}
