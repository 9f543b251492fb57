//! Goes on with runs that another process (or this one, earlier) has paused.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use loquat_agent::RunInput;
use loquat_agent::event::Event;

use super::start::context;
use super::{Engine, StartError};
use crate::runs::drive::Drive;
use crate::runs::run::{Run, RunInfo};
use crate::sessions::repair;
use crate::sessions::service::SessionKey;
use crate::telemetry::scope::{self, RunFacts, Scope};

impl Engine {
    /// Takes a paused run over and works on it until it ends or is paused again. `false` if there is nothing to take:
    /// somebody else was faster, or this process is about to stop itself.
    pub(in crate::runs) async fn take_over(self: &Arc<Self>, run: &Arc<Run>) -> Result<bool, StartError> {
        let Some(sessions) = self.sessions.clone() else { return Ok(false) };
        let _busy = self.activity.begin();
        if self.draining() {
            return Ok(false);
        }
        let place = self.limits.admit_owner(&run.owner)?;
        let Some(stored) = self.journals.read(&run.owner, &run.info.id).await? else { return Ok(false) };
        let told = stored.events;
        if told.last().is_some_and(Event::is_terminal) {
            return Ok(false);
        }
        let mut agent = (self.agents)().await;
        run.info.terms.wants.apply(&mut agent);
        let key = SessionKey { owner: run.owner.clone(), id: run.info.session_id.clone() };
        let Some(hold) = sessions.take_over(&key, &run.info.id, agent.context.reach()).await? else {
            return Ok(false);
        };
        tracing::info!(run_id = %run.info.id, session_id = %key.id, events = told.len(), "going on with a paused run");
        let known = usize::try_from(run.look().log().len()).unwrap_or(usize::MAX);
        run.show(told.iter().skip(known).cloned());
        run.set_driven();
        if self.closed() {
            run.hand_over(Duration::ZERO);
        }
        self.runs.begins().notify_one();
        let journal = self.journals.reopen(&run.owner, &run.info, told.len() as u64 + 1).await?;
        let telemetry = self.telemetry();
        let RunInfo { id, session_id, terms, .. } = &run.info;
        let facts = RunFacts::new(id.shared(), session_id.shared(), terms.user.as_deref());
        let scope = Scope::of_run(Arc::clone(&telemetry), facts, agent.model.name());
        let drive = Drive {
            run: Arc::clone(run),
            agent,
            history: hold.history.clone(),
            input: RunInput::GoOn(told.clone()),
            cx: context(run, Some(&hold)),
            journal,
            session: Some((sessions, Box::new(hold))),
            place,
            durable: true,
            telemetry,
        };
        let work = Box::pin(scope::enter(scope, AssertUnwindSafe(drive.go_on(&told)).catch_unwind()));
        if work.await.is_err() {
            tracing::error!(run_id = %run.info.id, "the run's task panicked");
            run.show([repair::lost()]);
        }
        Ok(true)
    }
}
