//! Starts runs, finds them again, stops them.

mod activity;
mod find;
mod handover;
mod registry;
mod request;
mod start;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::civil::Date;
use loquat_agent::Agent;
use loquat_agent::event::Event;
use loquat_agent::model::{ModelError, Params};
use loquat_agent::tool_set::ToolSet;
use serde::Serialize;

use self::activity::Activity;
use self::registry::Registry;
use super::journal::{Journals, NoJournals};
use super::run::Run;
use crate::auth::Owner;
use crate::clock::Clock;
use crate::ids::{RunId, SessionId};
use crate::limits::{DayUsage, RunLimits};
use crate::sessions::blob::BlobError;
use crate::sessions::service::Sessions;
use crate::telemetry::Telemetry;

pub use request::{Ask, OnBusy, OnDisconnect, StartError, StartRequest, Wants};

/// Gives the agent of the next run: the tools may have changed since the last one.
pub type AgentSource = Arc<dyn Fn() -> BoxFuture<'static, Agent> + Send + Sync>;

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
    /// For runs that are not stored.
    no_journals: NoJournals,
    agents: AgentSource,
    clock: Clock,
    on_disconnect: OnDisconnect,
    limits: RunLimits,
    telemetry: OnceLock<Arc<Telemetry>>,
    runs: Registry,
    activity: Arc<Activity>,
    draining: AtomicBool,
    closed: AtomicBool,
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
            no_journals: NoJournals::default(),
            agents,
            clock,
            on_disconnect,
            limits,
            telemetry: OnceLock::new(),
            runs: Registry::default(),
            activity: Activity::new(clock),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        if engine.journals.durable() {
            tokio::spawn(super::follow::watch_stops(Arc::downgrade(&engine), engine.runs.begins()));
        }
        engine
    }

    /// The sessions; `None` where nothing is kept.
    #[must_use]
    pub fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    /// Says where figures go. Once, before the first run; without it they go nowhere.
    pub fn tell(&self, telemetry: Arc<Telemetry>) {
        let _ = self.telemetry.set(telemetry);
    }

    /// What a user's runs used, day by day, the newest first; at most so many days.
    ///
    /// # Errors
    /// If the store does not answer.
    pub async fn usage(&self, owner: &Owner, most: usize) -> Result<Vec<(Date, DayUsage)>, BlobError> {
        self.limits.days(owner, most).await
    }

    fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(self.telemetry.get_or_init(Arc::default))
    }

    /// What happens to a run whose last reader leaves.
    #[must_use]
    pub fn on_disconnect(&self) -> OnDisconnect {
        self.on_disconnect
    }

    /// Whether runs are under way in this process, and since when there are any, or none.
    #[must_use]
    pub fn activity(&self) -> (bool, Timestamp) {
        self.activity.now()
    }

    /// The agent's own tools, as the next run will have them.
    pub async fn tools(&self) -> ToolSet {
        (self.agents)().await.tools
    }

    /// Whether the agent's model can do what these parameters ask for.
    ///
    /// # Errors
    /// Which it cannot, and why.
    pub async fn accepts(&self, params: &Params) -> Result<(), ModelError> {
        (self.agents)().await.model.accepts(params)
    }

    /// How many runs are live in this process.
    #[must_use]
    pub fn live(&self) -> usize {
        self.runs.live().len()
    }

    pub(super) fn live_runs(&self) -> Vec<Arc<Run>> {
        self.runs.live()
    }

    /// Refuses new runs from now on, gives those under way so long to end, and pauses the rest where they are, so that
    /// another process can go on with them; where nothing outlives the process they end. When this returns no reader
    /// waits for anything any more: those of paused runs, and of other processes' runs, are told to come again.
    pub async fn wind_down(&self, patience: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        tracing::info!(live = self.live(), seconds = patience.as_secs(), "draining");
        if tokio::time::timeout(patience, self.activity.rest()).await.is_err() {
            tracing::info!(live = self.live(), "pausing what has not finished");
        }
        self.closed.store(true, Ordering::Relaxed);
        for run in self.runs.open() {
            // Whoever is added from now on sees under the registry's lock that it is closed.
            if run.driven() { run.hand_over(Duration::ZERO) } else { run.set_handed_over() }
        }
        self.activity.rest().await;
    }

    /// Whether new runs are refused.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether nothing that is unfinished can be had here any more.
    fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn journals(&self) -> &Arc<dyn Journals> {
        &self.journals
    }

    pub(super) fn unfollow(&self, run: &Run) {
        self.runs.forget(run);
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
        self.stop_in(owner, id, None).await
    }

    /// The same for a run that may have begun in another process a moment ago, in a session that the caller knows.
    ///
    /// # Errors
    /// [`StartError`] if the store fails.
    pub async fn stop_in(
        self: &Arc<Self>,
        owner: &Owner,
        id: &RunId,
        session: Option<&SessionId>,
    ) -> Result<Option<StopReceipt>, StartError> {
        let Some(run) = self.find_in(owner, id, session).await? else { return Ok(None) };
        let already_finished = run.ended();
        if !already_finished {
            run.stop();
            run.finished().await;
            if run.handed_over() {
                // It goes on in another process, or here under another object.
                return Box::pin(self.stop(owner, id)).await;
            }
        }
        let look = run.look();
        let outcome = match look.terminal() {
            Some(Event::Finished { outcome }) => outcome.as_str().to_owned(),
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
