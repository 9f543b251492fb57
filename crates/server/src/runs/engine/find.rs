//! Finds runs: in this process, by their logs, and, before they have one, by their sessions.

use std::sync::Arc;
use std::time::Duration;

use super::{Engine, StartError};
use crate::auth::Owner;
use crate::ids::{RunId, SessionId};
use crate::runs::follow;
use crate::runs::journal::Stored;
use crate::runs::run::{Run, RunInfo};
use crate::sessions::ending;
use crate::sessions::service::SessionKey;

/// How often a log is looked for that may be about to begin.
const AGAIN: Duration = Duration::from_millis(500);

impl Engine {
    /// Finds a run of an owner, live or ended, in this process or in the store. A run that died is repaired first. One
    /// that has no log yet is waited for.
    ///
    /// # Errors
    /// [`StartError`] if the store fails, or the run goes on and this process does not.
    pub async fn find(self: &Arc<Self>, owner: &Owner, id: &RunId) -> Result<Option<Arc<Run>>, StartError> {
        self.find_in(owner, id, None).await
    }

    /// The same for a caller that knows the session: the run is found there at once.
    ///
    /// # Errors
    /// [`StartError`] if the store fails.
    pub async fn find_in(
        self: &Arc<Self>,
        owner: &Owner,
        id: &RunId,
        session: Option<&SessionId>,
    ) -> Result<Option<Arc<Run>>, StartError> {
        let begin = tokio::time::Instant::now();
        loop {
            if let Some(run) = self.runs.known(owner, id) {
                if run.begun().await {
                    return Ok(Some(run));
                }
                // It could not begin here: perhaps another process was faster, and it is there.
                self.runs.forget(&run);
            }
            if let Some(stored) = self.journals.read(owner, id).await?
                && let Some(info) = stored.info.clone()
            {
                return self.from_log(owner, info, stored).map(Some);
            }
            // A client that chose the run's id only has the session of this name.
            let sessions = session.cloned().into_iter().chain([SessionId::of_run(id)]);
            for session in sessions {
                if let Some(run) = self.in_session(owner, id, session).await? {
                    return Ok(Some(run));
                }
            }
            if begin.elapsed() >= self.journals.lag() {
                return Ok(None);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn from_log(
        self: &Arc<Self>,
        owner: &Owner,
        info: RunInfo,
        stored: Stored,
    ) -> Result<Arc<Run>, StartError> {
        let ended = stored.is_whole();
        let run = Run::elsewhere(info, owner.clone());
        run.show_stored(stored);
        if !ended {
            self.follow(&run)?;
        }
        Ok(run)
    }

    /// A run that its session knows and that has no log (yet).
    async fn in_session(
        self: &Arc<Self>,
        owner: &Owner,
        id: &RunId,
        session: SessionId,
    ) -> Result<Option<Arc<Run>>, StartError> {
        let Some(sessions) = &self.sessions else { return Ok(None) };
        let document = sessions.open(&SessionKey { owner: owner.clone(), id: session }).await?.document;
        let known = ending::info_of(&document, id).map_err(crate::sessions::service::SessionError::from)?;
        let Some(info) = known else { return Ok(None) };
        let run = Run::elsewhere(info, owner.clone());
        if self.journals.durable() {
            self.follow(&run)?;
        } else {
            // It ended long ago, and there is no other log.
            let ending = ending::ending_of(&document, id, &Stored::default())
                .map_err(crate::sessions::service::SessionError::from)?;
            run.show_stored(Stored {
                events: ending.missing.into_iter().chain([ending.terminal]).collect(),
                message_count: ending.message_count,
                ..Stored::default()
            });
        }
        Ok(Some(run))
    }

    fn follow(self: &Arc<Self>, run: &Arc<Run>) -> Result<(), StartError> {
        self.runs.remember(run);
        // Here it would be waited for until the client gives up, and the process could not end before.
        if self.closed() {
            self.runs.forget(run);
            return Err(StartError::Draining);
        }
        follow::spawn(Arc::clone(self), Arc::clone(run));
        Ok(())
    }
}
