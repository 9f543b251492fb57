//! Starts runs, finds them again, stops them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use loquat_agent::context::{Memo, Reach};
use loquat_agent::event::Event;
use loquat_agent::message::Message;
use loquat_agent::model::{OnRestart, Params};
use loquat_agent::tool::ToolSpec;
use loquat_agent::{Agent, Decision, RunContext, RunInput};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::drive::Drive;
use super::journal::{JournalError, Journals, Liveness, NoJournals};
use super::run::{Form, Run, RunInfo};
use crate::auth::{Owner, Principal};
use crate::clock::Clock;
use crate::ids::{RunId, SessionId};
use crate::limits::{Limited, RunLimits};
use crate::sessions::document::Lease;
use crate::sessions::repair;
use crate::sessions::service::{Hold, SessionError, SessionKey, Sessions, Wish};

/// Gives the agent of the next run: the tools may have changed since the last one.
pub type AgentSource = Arc<dyn Fn() -> BoxFuture<'static, Agent> + Send + Sync>;

/// What happens to a message that finds its session busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// It is refused.
    #[default]
    Reject,
    /// It waits for its turn.
    Queue,
    /// The live run is stopped first.
    Interrupt,
}

/// What happens to a run whose last reader leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// It goes on and is saved.
    #[default]
    Finish,
    /// It is stopped.
    Cancel,
}

/// A request for a run.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Who asks.
    pub principal: Principal,
    /// The session; without one a new one is begun.
    pub session_id: Option<SessionId>,
    /// The run's id, if the client chose it: the same id again attaches to the same run.
    pub run_id: Option<RunId>,
    /// What is asked.
    pub ask: Ask,
    /// In which words it is answered.
    pub form: Form,
    /// What to do if the session is busy.
    pub on_busy: OnBusy,
    /// Tools that run in the client.
    pub client_tools: Vec<ToolSpec>,
    /// Overrides of the model's parameters.
    pub params: Params,
}

/// What a run is about.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A user's message.
    Message {
        /// The message.
        message: Message,
        /// Go on from the first so many messages.
        history_length: Option<usize>,
    },
    /// Decisions on the open calls of an interrupted run.
    Resume {
        /// The run that asked.
        asked_by: RunId,
        /// The decisions.
        decisions: Vec<Decision>,
    },
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The session is busy.
    #[error("the session is busy with run {0}")]
    Busy(RunId),
    /// The id belongs to a run of another session.
    #[error("the run id was used for another session")]
    RunConflict,
    /// The server is about to stop.
    #[error("the server is about to stop")]
    Draining,
    /// The caller, or everybody together, has too many runs or used too much.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The session could not be read or written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The run log could not be begun.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no store, so there is nothing to go on from.
    #[error("this service keeps no sessions")]
    Stateless,
    /// The run's task died before it began.
    #[error("the run could not be started")]
    Lost,
}

/// What came of asking to stop.
#[derive(Clone, Debug, Serialize)]
pub struct StopReceipt {
    /// The run.
    pub run_id: RunId,
    /// How it ended.
    pub outcome: String,
    /// Whether it had ended before it was asked to stop.
    pub already_finished: bool,
    /// How many characters of its text are kept.
    pub text_kept: usize,
    /// How many events came after the call.
    pub events_after_stop: u64,
    /// How many messages the session holds now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_count: Option<usize>,
}

/// The runs of this process, and the way to those of others.
pub struct Engine {
    sessions: Option<Sessions>,
    journals: Arc<dyn Journals>,
    agents: AgentSource,
    clock: Clock,
    on_disconnect: OnDisconnect,
    limits: RunLimits,
    runs: Mutex<Registry>,
    draining: AtomicBool,
}

/// How long an ended run stays in memory where its log is also in the store, for clients that reconnect at once.
const LINGER: Duration = Duration::from_secs(60);
/// How many ended runs stay in memory where there is no other log.
const REMEMBERED: usize = 1_000;

/// How long to wait for another process to go on.
const RETRY: Duration = Duration::from_millis(250);

type Name = (Owner, RunId);

#[derive(Default)]
struct Registry {
    runs: HashMap<Name, Arc<Run>>,
    ended: VecDeque<Name>,
}

impl Engine {
    /// An engine over a store, or without one. Must be called inside a tokio runtime.
    #[must_use]
    pub fn new(
        sessions: Option<Sessions>,
        agents: AgentSource,
        clock: Clock,
        on_disconnect: OnDisconnect,
        limits: RunLimits,
    ) -> Arc<Self> {
        let journals = sessions
            .as_ref()
            .map_or_else(|| Arc::new(NoJournals::default()) as _, |s| Arc::clone(&s.journals));
        let engine = Arc::new(Self {
            sessions,
            journals,
            agents,
            clock,
            on_disconnect,
            limits,
            runs: Mutex::default(),
            draining: AtomicBool::new(false),
        });
        if engine.journals.durable() {
            tokio::spawn(super::follow::watch_stops(Arc::downgrade(&engine)));
        }
        engine
    }

    /// The sessions; `None` where nothing is kept.
    #[must_use]
    pub fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    /// What happens to a run whose last reader leaves.
    #[must_use]
    pub fn on_disconnect(&self) -> OnDisconnect {
        self.on_disconnect
    }

    /// Starts a run, or attaches to it if it was started before. When this returns, the user's message is stored.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self: &Arc<Self>, request: StartRequest) -> Result<Arc<Run>, StartError> {
        let owner = request.principal.owner().clone();
        let run_id = request.run_id.clone().unwrap_or_default();
        let session_id = request.session_id.clone().unwrap_or_else(|| match &request.run_id {
            Some(run) => SessionId::of_run(run),
            None => SessionId::new(),
        });
        let key = SessionKey { owner: owner.clone(), id: session_id };
        loop {
            if let Some(known) = self.known(&owner, &run_id) {
                match known.info.session_id == key.id {
                    true if known.begun().await => return Ok(known),
                    // It could not begin: perhaps this try can.
                    true => self.forget(&known),
                    false => return Err(StartError::RunConflict),
                }
            }
            if self.draining.load(Ordering::Relaxed) {
                return Err(StartError::Draining);
            }
            match self.try_start(&key, &run_id, &request).await {
                Err(StartError::Session(SessionError::SameRun(_))) => {
                    match self.find(&owner, &run_id).await? {
                        Some(run) if run.info.session_id != key.id => return Err(StartError::RunConflict),
                        // It may be about to begin in this process.
                        Some(run) if run.begun().await => return Ok(run),
                        Some(run) => self.forget(&run),
                        // Its log is about to begin, or its process died before that.
                        None if self.is_held_by(&key, &run_id).await? => tokio::time::sleep(RETRY).await,
                        None => self.record_lost(&key, &run_id, &request).await?,
                    }
                }
                Err(
                    StartError::Journal(JournalError::Exists)
                    | StartError::Session(SessionError::Journal(JournalError::Exists)),
                ) => {
                    match self.find(&owner, &run_id).await? {
                        Some(run) if run.info.session_id != key.id => return Err(StartError::RunConflict),
                        // Its process died before the session was held: it never was a run.
                        Some(run) if run.look().log().is_empty() && self.never_began(&key, &run).await? => {
                            self.forget(&run);
                            self.journals.delete(&owner, &run_id).await?;
                        }
                        Some(run) if run.begun().await => return Ok(run),
                        Some(run) => self.forget(&run),
                        None => tokio::time::sleep(RETRY).await,
                    }
                }
                // Another writer was faster: who holds the session now?
                Err(StartError::Session(SessionError::LeaseLost)) => {}
                Err(StartError::Session(SessionError::Busy(busy))) => match request.on_busy {
                    OnBusy::Reject => return Err(StartError::Busy(busy)),
                    OnBusy::Queue => self.wait_for(&key, &busy).await?,
                    OnBusy::Interrupt => {
                        self.stop(&owner, &busy).await?;
                    }
                },
                outcome => return outcome,
            }
        }
    }

    async fn try_start(
        self: &Arc<Self>,
        key: &SessionKey,
        run_id: &RunId,
        request: &StartRequest,
    ) -> Result<Arc<Run>, StartError> {
        let place = self.limits.admit(&request.principal).await?;
        let agent = (self.agents)().await;
        let hold = self.prepare(key, run_id, request, agent.context.reach()).await?;
        let info = RunInfo {
            id: run_id.clone(),
            session_id: key.id.clone(),
            created_at: self.clock.now(),
            history_length: hold.as_ref().map_or(0, Hold::history_length),
            form: request.form.clone(),
            continues: match &request.ask {
                Ask::Resume { asked_by, .. } => Some(asked_by.clone()),
                Ask::Message { .. } => None,
            },
        };
        let run = Run::new(info, key.owner.clone());
        if let Err(known) = self.claim(&run) {
            return match known.info.session_id == key.id {
                true if known.begun().await => Ok(known),
                // It could not begin: look again.
                true => Err(SessionError::LeaseLost.into()),
                false => Err(StartError::RunConflict),
            };
        }
        let journal = match self.journals.create(&key.owner, &run.info).await {
            Ok(journal) => journal,
            Err(error) => {
                self.forget(&run);
                run.show([not_started()]);
                return Err(error.into());
            }
        };
        let text_only = run.info.form.dialect == super::run::DialectName::Chat && !run.info.form.all;
        let cx = RunContext {
            session_id: key.id.shared(),
            run_id: run_id.shared(),
            user: request.principal.user.clone(),
            cancel: run.cancel.clone(),
            on_restart: if text_only { OnRestart::Fail } else { OnRestart::Reset },
            client_tools: request.client_tools.clone(),
            params: request.params.clone(),
            skipped: hold.as_ref().map_or(0, |hold| hold.skipped),
            memo: hold.as_ref().map_or_else(Memo::default, |hold| hold.memo.clone()),
        };
        let input = match &request.ask {
            Ask::Message { message, .. } => RunInput::Message(message.clone()),
            Ask::Resume { decisions, .. } => RunInput::Resume(decisions.clone()),
        };
        let session = self.sessions.clone().zip(hold);
        let drive = Drive { run: Arc::clone(&run), agent, input, cx, journal, session, place };
        let (held, confirmed) = oneshot::channel();
        let engine = Arc::clone(self);
        let driven = Arc::clone(&run);
        tokio::spawn(async move {
            if AssertUnwindSafe(drive.run(held)).catch_unwind().await.is_err() {
                tracing::error!(run_id = %driven.info.id, "the run's task panicked");
                driven.show([repair::lost()]);
            }
            engine.forget_later(&driven);
        });
        match confirmed.await {
            Ok(Ok(())) => {
                run.set_held();
                Ok(run)
            }
            outcome => {
                self.forget(&run);
                // Whoever has attached to it meanwhile must not wait for ever.
                run.show([not_started()]);
                Err(outcome.map_or(StartError::Lost, |failed| match failed {
                    Ok(()) => StartError::Lost,
                    Err(error) => error.into(),
                }))
            }
        }
    }

    async fn prepare(
        &self,
        key: &SessionKey,
        run_id: &RunId,
        request: &StartRequest,
        reach: Reach,
    ) -> Result<Option<Hold>, StartError> {
        let wish = match &request.ask {
            Ask::Message { message, history_length } => {
                Wish::Message { message: message.clone(), history_length: *history_length }
            }
            Ask::Resume { asked_by, .. } => Wish::Resume { asked_by: asked_by.clone() },
        };
        match &self.sessions {
            Some(sessions) => Ok(Some(sessions.prepare(key, run_id, wish, reach).await?)),
            None if matches!(wish, Wish::Message { .. }) => Ok(None),
            None => Err(StartError::Stateless),
        }
    }

    /// Whether a session is held by a run; one whose run died is repaired.
    async fn is_held_by(&self, key: &SessionKey, run: &RunId) -> Result<bool, StartError> {
        let Some(sessions) = &self.sessions else { return Ok(false) };
        match sessions.view(key).await {
            Ok(document) => Ok(document.head.run.is_some_and(|lease| lease.id == *run)),
            Err(SessionError::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a log to a run whose process died right after it had taken the message, so that it can be found.
    async fn record_lost(
        &self,
        key: &SessionKey,
        id: &RunId,
        request: &StartRequest,
    ) -> Result<(), StartError> {
        let info = RunInfo {
            id: id.clone(),
            session_id: key.id.clone(),
            created_at: self.clock.now(),
            history_length: 0,
            form: request.form.clone(),
            continues: None,
        };
        let begun = match self.journals.create(&key.owner, &info).await {
            Ok(mut journal) => match journal.begin().await {
                Ok(()) => journal.finish(1, 0, &repair::lost(), None).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match begun {
            // Another process was faster.
            Ok(()) | Err(JournalError::Exists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a run whose log has no events is dead and unknown to its session.
    async fn never_began(&self, key: &SessionKey, run: &Run) -> Result<bool, StartError> {
        let Some(sessions) = &self.sessions else { return Ok(false) };
        let now = self.clock.now();
        let lease = Lease { id: run.info.id.clone(), lease_until: now, resumes: false };
        let Liveness::Dead(stored) = self.journals.liveness(&key.owner, &lease, now).await? else {
            return Ok(false);
        };
        Ok(stored.events.is_empty() && !sessions.knows(key, &run.info.id).await?)
    }

    /// Waits until a run has let its session go.
    async fn wait_for(self: &Arc<Self>, key: &SessionKey, busy: &RunId) -> Result<(), StartError> {
        match self.find(&key.owner, busy).await? {
            Some(run) => run.finished().await,
            // Its log cannot be seen from here (yet).
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        Ok(())
    }

    fn known(&self, owner: &Owner, id: &RunId) -> Option<Arc<Run>> {
        self.runs.lock().runs.get(&(owner.clone(), id.clone())).cloned()
    }

    fn remember(&self, run: &Arc<Run>) {
        self.runs.lock().runs.insert((run.owner.clone(), run.info.id.clone()), Arc::clone(run));
    }

    /// Remembers a run that is about to start, unless one of its name is live: that one is given back.
    fn claim(&self, run: &Arc<Run>) -> Result<(), Arc<Run>> {
        match self.runs.lock().runs.entry((run.owner.clone(), run.info.id.clone())) {
            Entry::Occupied(known) if !known.get().ended() => Err(Arc::clone(known.get())),
            Entry::Occupied(mut ended) => {
                ended.insert(Arc::clone(run));
                Ok(())
            }
            Entry::Vacant(free) => {
                free.insert(Arc::clone(run));
                Ok(())
            }
        }
    }

    fn forget(&self, run: &Run) {
        let name = (run.owner.clone(), run.info.id.clone());
        let mut registry = self.runs.lock();
        // Another run of the same name may have taken its place.
        if registry.runs.get(&name).is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), run)) {
            registry.runs.remove(&name);
        }
    }

    fn forget_later(self: &Arc<Self>, run: &Arc<Run>) {
        if self.sessions.as_ref().is_some_and(|sessions| sessions.journals.durable()) {
            let (engine, run) = (Arc::downgrade(self), Arc::clone(run));
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                if let Some(engine) = engine.upgrade() {
                    engine.forget(&run);
                }
            });
            return;
        }
        let mut registry = self.runs.lock();
        registry.ended.push_back((run.owner.clone(), run.info.id.clone()));
        while registry.ended.len() > REMEMBERED {
            if let Some(oldest) = registry.ended.pop_front() {
                registry.runs.remove(&oldest);
            }
        }
    }

    /// How many runs are live in this process.
    #[must_use]
    pub fn live(&self) -> usize {
        self.runs.lock().runs.values().filter(|run| !run.ended()).count()
    }

    /// The live runs of this process.
    #[must_use]
    pub fn live_runs(&self) -> Vec<Arc<Run>> {
        self.runs.lock().runs.values().filter(|run| !run.ended()).cloned().collect()
    }

    /// Refuses new runs from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Ends the live runs where they are, so that another process can take their sessions over: what was shown is
    /// committed, and their readers are told to try again.
    pub async fn checkpoint(&self) {
        let live = self.live_runs();
        for run in &live {
            run.checkpoint();
        }
        for run in live {
            run.finished().await;
        }
    }

    /// Whether new runs are refused.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Finds a run of an owner, live or ended, in this process or in the store. A run that died is repaired first.
    ///
    /// # Errors
    /// [`StartError`] if the store fails.
    pub async fn find(self: &Arc<Self>, owner: &Owner, id: &RunId) -> Result<Option<Arc<Run>>, StartError> {
        if let Some(run) = self.known(owner, id) {
            return Ok(Some(run));
        }
        let Some(stored) = self.journals.read(owner, id).await? else { return Ok(None) };
        let Some(info) = stored.info.clone() else { return Ok(None) };
        let ended = stored.events.last().is_some_and(loquat_agent::event::Event::is_terminal);
        let run = Run::new(info, owner.clone());
        run.set_held();
        if let Some(count) = stored.message_count {
            run.set_message_count(count);
        }
        run.show(stored.events);
        if !ended {
            self.remember(&run);
            super::follow::spawn(Arc::clone(self), Arc::clone(&run));
        }
        Ok(Some(run))
    }

    pub(super) fn journals(&self) -> &Arc<dyn Journals> {
        &self.journals
    }

    pub(super) fn unfollow(&self, run: &Run) {
        self.forget(run);
    }

    /// Stops a run and waits until it has ended; `None` if there is no such run.
    ///
    /// # Errors
    /// [`StartError`] if the store fails.
    pub async fn stop(
        self: &Arc<Self>,
        owner: &Owner,
        id: &RunId,
    ) -> Result<Option<StopReceipt>, StartError> {
        let Some(run) = self.find(owner, id).await? else { return Ok(None) };
        let already_finished = run.ended();
        if !already_finished {
            run.stop();
            run.finished().await;
        }
        let look = run.look();
        let outcome = match look.terminal() {
            Some(loquat_agent::event::Event::Finished { outcome }) => outcome.as_str().to_owned(),
            _ => "failed".to_owned(),
        };
        Ok(Some(StopReceipt {
            run_id: id.clone(),
            outcome,
            already_finished,
            text_kept: look.text_chars(),
            events_after_stop: look.events_after_stop(),
            message_count: look.message_count(),
        }))
    }
}

/// The end of a run that never began, for those who attached to it while it tried to.
fn not_started() -> Event {
    Event::Failed {
        error: "The message could not be taken. Please send it again.".into(),
        code: "run_not_started".into(),
        retryable: true,
    }
}
