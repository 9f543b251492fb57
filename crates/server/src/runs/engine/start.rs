//! Starts runs: finds out whether a run's id is new, holds its session, and sets its task going.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use loquat_agent::context::{Memo, Reach};
use loquat_agent::event::Event;
use loquat_agent::model::OnRestart;
use loquat_agent::{RunContext, RunInput};
use tokio::sync::oneshot;

use super::{Ask, Engine, OnBusy, StartError, StartRequest};
use crate::ids::{RunId, SessionId};
use crate::runs::drive::Drive;
use crate::runs::journal::{JournalError, Liveness};
use crate::runs::run::{DialectName, Run, RunInfo, Terms};
use crate::sessions::document::Lease;
use crate::sessions::repair;
use crate::sessions::service::{Hold, SessionError, SessionKey, Wish};
use crate::telemetry::scope::{self, RunFacts, Scope};

/// How long to wait for another process to go on.
const RETRY: Duration = Duration::from_millis(250);

impl Engine {
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
            if let Some(known) = self.runs.known(&owner, &run_id) {
                match known.info.session_id == key.id {
                    true if known.begun().await => return Ok(known),
                    // It could not begin: perhaps this try can.
                    true => self.runs.forget(&known),
                    false => return Err(StartError::RunConflict),
                }
            }
            if self.draining() {
                return Err(StartError::Draining);
            }
            match self.try_start(&key, &run_id, &request).await {
                Err(StartError::Session(SessionError::SameRun(_))) => {
                    match self.find_in(&owner, &run_id, Some(&key.id)).await? {
                        Some(run) if run.info.session_id != key.id => return Err(StartError::RunConflict),
                        // It may be about to begin in this process.
                        Some(run) if run.begun().await => return Ok(run),
                        Some(run) => self.runs.forget(&run),
                        // The session has changed meanwhile.
                        None => tokio::time::sleep(RETRY).await,
                    }
                }
                Err(
                    StartError::Journal(JournalError::Exists)
                    | StartError::Session(SessionError::Journal(JournalError::Exists)),
                ) => {
                    match self.find_in(&owner, &run_id, Some(&key.id)).await? {
                        Some(run) if run.info.session_id != key.id => return Err(StartError::RunConflict),
                        // Its process died before the session was held: it never was a run.
                        Some(run) if run.look().log().is_empty() && self.never_began(&key, &run).await? => {
                            self.runs.forget(&run);
                            self.journals.delete(&owner, &run_id).await?;
                        }
                        Some(run) if run.begun().await => return Ok(run),
                        Some(run) => self.runs.forget(&run),
                        None => tokio::time::sleep(RETRY).await,
                    }
                }
                // Another writer was faster: who holds the session now?
                Err(StartError::Session(SessionError::LeaseLost)) => self.telemetry().lease_conflict(),
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
        let mut agent = (self.agents)().await;
        request.wants.apply(&mut agent);
        let mut info = RunInfo {
            id: run_id.clone(),
            session_id: key.id.clone(),
            created_at: self.clock.now(),
            history_length: 0,
            form: request.form.clone(),
            continues: match &request.ask {
                Ask::Resume { asked_by, .. } => Some(asked_by.clone()),
                Ask::Message { .. } | Ask::Whole { .. } => None,
            },
            client_tools: request
                .client_tools
                .iter()
                .filter(|tool| agent.tools.spec(&tool.name).is_none())
                .map(|tool| tool.name.clone())
                .collect(),
            terms: Terms {
                user: request.principal.user.as_deref().map(str::to_owned),
                client_tools: request.client_tools.clone(),
                params: request.params.clone(),
                wants: request.wants.clone(),
            },
        };
        let hold = self.prepare(key, &info, request, agent.context.reach()).await?;
        info.history_length = hold.as_ref().map_or(0, Hold::history_length);
        let run = Run::new(info, key.owner.clone());
        run.set_driven();
        if let Err(known) = self.runs.claim(&run) {
            return match known.info.session_id == key.id {
                true if known.begun().await => Ok(known),
                // It could not begin: look again.
                true => Err(SessionError::LeaseLost.into()),
                false => Err(StartError::RunConflict),
            };
        }
        let claim = Claim { engine: self, run: Some(Arc::clone(&run)) };
        let busy = self.activity.begin();
        if self.closed() {
            return Err(StartError::Draining);
        }
        if run.info.form.dialect == DialectName::AgUi {
            run.set_before(match (&hold, &request.ask) {
                (Some(hold), _) => hold.conversation()?,
                (None, Ask::Whole { history, message, .. }) => {
                    history.iter().chain([message]).cloned().collect()
                }
                (None, Ask::Message { message, .. }) => vec![message.clone()],
                (None, Ask::Resume { .. }) => Vec::new(),
            });
        }
        let journals = if hold.is_some() { &*self.journals } else { &self.no_journals };
        let journal = journals.create(&key.owner, &run.info).await?;
        let cx = context(&run, hold.as_ref());
        let input = match &request.ask {
            Ask::Message { message, .. } | Ask::Whole { message, .. } => RunInput::Message(message.clone()),
            Ask::Resume { decisions, .. } => RunInput::Resume(decisions.clone()),
        };
        let history = match (&request.ask, &hold) {
            (_, Some(hold)) => hold.history.clone(),
            (Ask::Whole { history, .. }, None) => history.clone(),
            (_, None) => Vec::new(),
        };
        let session = self.sessions.clone().zip(hold.map(Box::new));
        let durable = self.journals.durable();
        let telemetry = self.telemetry();
        let facts = RunFacts::new(run_id.shared(), key.id.shared(), request.principal.user.as_deref());
        let scope = Scope::of_run(Arc::clone(&telemetry), facts, agent.model.name());
        let drive = Drive {
            run: Arc::clone(&run),
            agent,
            history,
            input,
            cx,
            journal,
            session,
            place,
            telemetry,
            durable,
        };
        let (held, confirmed) = oneshot::channel();
        let engine = Arc::clone(self);
        let driven = Arc::clone(&run);
        claim.hand_on();
        tokio::spawn(scope::enter(scope, async move {
            if AssertUnwindSafe(drive.run(held)).catch_unwind().await.is_err() {
                tracing::error!(run_id = %driven.info.id, "the run's task panicked");
                driven.show([repair::lost()]);
            } else if !driven.held() {
                engine.never_was(&driven);
            }
            drop(busy);
            engine.forget_later(&driven);
        }));
        match confirmed.await {
            Ok(Ok(())) => Ok(run),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(StartError::Lost),
        }
    }

    /// Ends a run that could not begin: whoever has attached to it meanwhile must not wait for ever.
    fn never_was(&self, run: &Arc<Run>) {
        self.runs.forget(run);
        run.show([not_started()]);
    }

    async fn prepare(
        &self,
        key: &SessionKey,
        about: &RunInfo,
        request: &StartRequest,
        reach: Reach,
    ) -> Result<Option<Hold>, StartError> {
        let wish = match &request.ask {
            Ask::Message { message, history_length } => {
                Wish::Message { message: message.clone(), history_length: *history_length }
            }
            Ask::Whole { stored: false, .. } => return Ok(None),
            Ask::Whole { history, message, stored: true } => {
                Wish::Begin { history: history.clone(), message: message.clone() }
            }
            Ask::Resume { asked_by, .. } => Wish::Resume { asked_by: asked_by.clone() },
        };
        match &self.sessions {
            Some(sessions) => Ok(Some(sessions.prepare(key, about, wish, reach).await?)),
            None if matches!(wish, Wish::Resume { .. }) => Err(StartError::Stateless),
            None => Ok(None),
        }
    }

    /// Whether a run whose log has no events is dead and unknown to its session.
    async fn never_began(&self, key: &SessionKey, run: &Run) -> Result<bool, StartError> {
        let Some(sessions) = &self.sessions else { return Ok(false) };
        let now = self.clock.now();
        let lease = Lease::of(run.info.id.clone(), now);
        let Liveness::Dead(stored) = self.journals.liveness(&key.owner, &lease, now).await? else {
            return Ok(false);
        };
        Ok(stored.events.is_empty() && !sessions.knows(key, &run.info.id).await?)
    }

    /// Waits until a run has let its session go.
    async fn wait_for(self: &Arc<Self>, key: &SessionKey, busy: &RunId) -> Result<(), StartError> {
        match self.find_in(&key.owner, busy, Some(&key.id)).await? {
            Some(run) => run.finished().await,
            // Its log cannot be seen from here (yet).
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        Ok(())
    }
}

/// A run that is registered and has no task yet. Its request may be dropped at any await, with the connection it came by.
struct Claim<'a> {
    engine: &'a Engine,
    run: Option<Arc<Run>>,
}

impl Claim<'_> {
    /// The run's task answers for it from now on.
    fn hand_on(mut self) {
        self.run = None;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            self.engine.never_was(&run);
        }
    }
}

/// What the agent is told of a run.
pub(super) fn context(run: &Run, hold: Option<&Hold>) -> RunContext {
    let RunInfo { id, session_id, form, terms, .. } = &run.info;
    RunContext {
        session_id: session_id.shared(),
        run_id: id.shared(),
        user: terms.user.as_deref().map(Into::into),
        cancel: run.cancel.clone(),
        pause: run.pause.clone(),
        on_restart: if crate::dialects::takes_back(form) { OnRestart::Reset } else { OnRestart::Fail },
        client_tools: terms.client_tools.clone(),
        params: terms.params.clone(),
        skipped: hold.map_or(0, |hold| hold.skipped),
        memo: hold.map_or_else(Memo::default, |hold| hold.memo.clone()),
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
