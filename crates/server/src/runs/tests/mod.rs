//! Runs over a store in memory or in a folder: engines as processes, a model that plays scripts.

mod busy;
mod closing;
mod consent;
mod counts;
mod other_process;
mod resume;
mod together;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use loquat_agent::Agent;
use loquat_agent::context::SlidingWindow;
use loquat_agent::message::Message;
use loquat_agent::model::{Model, ModelEvent, Params};
use loquat_agent::scripted::{ScriptedModel, Step, asks, ends, says};
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use loquat_agent::tool_set::ToolSet;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::engine::{Ask, Engine, OnBusy, OnDisconnect, StartRequest, Wants};
use super::files::FileJournals;
use super::journal::Journals;
use super::reader::Reader;
use super::run::{Form, Run};
use super::segments::SegmentJournals;
use crate::auth::Principal;
use crate::clock::Clock;
use crate::dialects::encoder;
use crate::ids::{RunId, SessionId};
use crate::limits::{LimitsConfig, MemoryUsage, RunLimits};
use crate::sessions::blob::BlobStore;
use crate::sessions::blob_index::BlobIndex;
use crate::sessions::service::{Listing, SessionKey, Sessions, Times};

/// A process: an engine of its own over a store that it may share.
pub(crate) struct Process {
    pub(crate) engine: Arc<Engine>,
    pub(crate) sessions: Sessions,
}

impl Process {
    /// Logs as on object storage.
    pub(crate) fn on_objects(store: &Arc<dyn BlobStore>, clock: Clock, model: Arc<dyn Model>) -> Self {
        let times = Times::default();
        let journals = SegmentJournals::new(Arc::clone(store), clock, times.lease, times.patience);
        Self::start(store, Arc::new(journals), clock, model, Vec::new())
    }

    /// Logs as on a local disk.
    pub(crate) fn on_files(
        store: &Arc<dyn BlobStore>,
        folder: &Path,
        clock: Clock,
        model: Arc<dyn Model>,
    ) -> Self {
        Self::start(store, Arc::new(FileJournals::new(folder)), clock, model, Vec::new())
    }

    pub(crate) fn start(
        store: &Arc<dyn BlobStore>,
        journals: Arc<dyn Journals>,
        clock: Clock,
        model: Arc<dyn Model>,
        tools: Vec<Arc<dyn Tool>>,
    ) -> Self {
        Self::with_times(store, journals, clock, model, tools, Times::default())
    }

    fn with_times(
        store: &Arc<dyn BlobStore>,
        journals: Arc<dyn Journals>,
        clock: Clock,
        model: Arc<dyn Model>,
        tools: Vec<Arc<dyn Tool>>,
        times: Times,
    ) -> Self {
        let sessions = Sessions {
            store: Arc::clone(store),
            index: Arc::new(BlobIndex::new(Arc::clone(store), None)),
            journals,
            clock,
            times,
            listing: Listing::End,
        };
        let tools = tools.into_iter().chain([Arc::new(Look::new()) as Arc<dyn Tool>]);
        let agent = Agent {
            model,
            system: None,
            tools: ToolSet::new(tools),
            context: Arc::new(SlidingWindow::new(SlidingWindow::DEFAULT_SIZE)),
            limits: loquat_agent::Limits { max_time: Duration::from_secs(3_600), ..Default::default() },
        };
        let agents = Arc::new(move || {
            let agent = agent.clone();
            async move { agent }.boxed()
        });
        let limits = RunLimits::new(&LimitsConfig::default(), false, Arc::new(MemoryUsage::default()));
        let engine = Engine::new(Some(sessions.clone()), agents, clock, OnDisconnect::Finish, limits);
        Self { engine, sessions }
    }

    /// The session's messages as `role: text`.
    pub(crate) async fn history(&self, session: &str) -> Vec<String> {
        let key = SessionKey { owner: Principal::anonymous().owner().clone(), id: id(session) };
        let document = self.sessions.view(&key).await.unwrap();
        let messages = document.last(document.count()).unwrap();
        let said = |m: &Message| {
            format!("{}: {}", serde_json::to_value(m.role).unwrap().as_str().unwrap(), m.text())
        };
        messages.iter().map(said).collect()
    }
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

/// A message to a session, as a run that the client names.
pub(crate) fn request(session: &str, run: &str, message: &str) -> StartRequest {
    StartRequest {
        principal: Principal::anonymous(),
        session_id: Some(id(session)),
        run_id: Some(RunId::parse(run).unwrap()),
        ask: Ask::Message { message: Message::user(message), history_length: None },
        form: Form { all: true, ..Form::default() },
        on_busy: OnBusy::Reject,
        client_tools: Vec::new(),
        params: Params::default(),
        wants: Wants::default(),
    }
}

/// Everything that a client gets from a cursor to the end.
pub(crate) async fn read(run: &Arc<Run>, all: bool, after: u64) -> String {
    let form = Form { all, ..Form::default() };
    let reader = Reader::new(Arc::clone(run), encoder(&form), after, OnDisconnect::Finish);
    let chunks: Vec<_> = reader.into_stream().map(Result::unwrap).collect().await;
    String::from_utf8(chunks.concat()).unwrap()
}

/// A tool that changes nothing.
struct Look(ToolSpec);

impl Look {
    fn new() -> Self {
        Self(ToolSpec::new("look", "Looks", json!({"type": "object"})).read_only())
    }
}

#[async_trait]
impl Tool for Look {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }
    async fn call(&self, _: Value, cx: ToolContext) -> ToolOutput {
        cx.progress.custom("looking", json!({"at": "it"})).await;
        ToolOutput::text("a 🦀")
    }
}

/// A model that says a piece and then waits for ever (until it is stopped).
fn endless(piece: &str) -> Arc<ScriptedModel> {
    let mut script = says(&[piece])[..1].to_vec();
    script.push(Step::Gate(Arc::new(Semaphore::new(0))));
    ScriptedModel::new([script])
}

fn run_id(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

/// A pause before every step, so that events come one by one.
fn paced(script: Vec<Step>, pause: Duration) -> Vec<Step> {
    script.into_iter().flat_map(|step| [Step::Wait(pause), step]).collect()
}
