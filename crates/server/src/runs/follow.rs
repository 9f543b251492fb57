//! Runs of other processes that share the store: their logs are read as they grow, and asking them to stop goes through
//! the store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::engine::{Engine, StartError};
use super::journal::Liveness;
use super::run::Run;
use crate::auth::Owner;
use crate::clock::later;
use crate::ids::RunId;
use crate::sessions::blob::{BlobError, Condition, Durability};
use crate::sessions::document::Lease;
use crate::sessions::repair;
use crate::sessions::service::{SessionError, SessionKey};

/// How often it is asked whether the run is alive: every so many readings.
const ALIVE: u32 = 4;
/// How often a process looks for requests to stop its runs.
const STOPS: Duration = Duration::from_secs(1);

fn stop_key(owner: &Owner, run: &RunId) -> String {
    format!("stops/{}/{run}", owner.segment_or_anonymous())
}

/// Follows a run of another process until its end; if that process is dead, the run is repaired and ends.
pub(super) fn spawn(engine: Arc<Engine>, run: Arc<Run>) {
    tokio::spawn(async move {
        follow(&engine, &run).await;
        engine.unfollow(&run);
    });
}

async fn follow(engine: &Arc<Engine>, run: &Arc<Run>) {
    let mut asked = false;
    let pace = engine.journals().pace();
    for round in 0u32.. {
        if run.cancel.is_cancelled() && !asked {
            asked = ask_to_stop(engine, run).await.is_ok();
        }
        if round.is_multiple_of(ALIVE) {
            match look_after(engine, run).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(run_id = %run.info.id, %error, "cannot tell whether the run is alive");
                }
            }
        }
        match engine.journals().read(&run.owner, &run.info.id).await {
            Ok(Some(stored)) => {
                let known = usize::try_from(run.look().log().len()).unwrap_or(usize::MAX);
                if let Some(count) = stored.message_count {
                    run.set_message_count(count);
                }
                run.show(stored.events.into_iter().skip(known));
            }
            // Deleted with its session.
            Ok(None) => run.show([repair::lost()]),
            Err(error) => tracing::warn!(run_id = %run.info.id, %error, "the run log cannot be read"),
        }
        if run.ended() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = run.cancel.cancelled(), if !asked => {}
        }
    }
}

async fn ask_to_stop(engine: &Engine, run: &Run) -> Result<(), BlobError> {
    let Some(sessions) = engine.sessions() else { return Ok(()) };
    let key = stop_key(&run.owner, &run.info.id);
    sessions.store.put(&key, Bytes::new(), Condition::Any, Durability::Process).await?;
    Ok(())
}

/// Repairs a run whose process is dead, and goes on with one that was paused: then it is `true` when that is done.
async fn look_after(engine: &Arc<Engine>, run: &Arc<Run>) -> Result<bool, StartError> {
    let Some(sessions) = engine.sessions() else { return Ok(false) };
    let key = SessionKey { owner: run.owner.clone(), id: run.info.session_id.clone() };
    let held_by_it = |document: &crate::sessions::document::Document| {
        document.head.run.as_ref().is_some_and(|lease| lease.id == run.info.id)
    };
    match sessions.view(&key).await {
        Ok(document) if held_by_it(&document) => {
            let paused = document.head.run.is_some_and(|lease| lease.paused);
            if paused { engine.take_over(run).await } else { Ok(false) }
        }
        // The session went on without it (or is gone): a log whose writer is dead gets an end.
        Ok(_) | Err(SessionError::NotFound) => {
            let lease_until = later(run.info.created_at, sessions.times.lease);
            let lease = Lease { id: run.info.id.clone(), lease_until, resumes: false, paused: false };
            let now = sessions.clock.now();
            let Liveness::Dead(stored) = sessions.journals.liveness(&run.owner, &lease, now).await? else {
                return Ok(false);
            };
            if stored.info.is_some()
                && !stored.events.last().is_some_and(loquat_agent::event::Event::is_terminal)
            {
                sessions.journals.seal(&run.owner, &run.info.id, &stored, repair::lost()).await?;
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Carries out the requests to stop that other processes left in the store.
pub(super) async fn watch_stops(engine: std::sync::Weak<Engine>) {
    loop {
        tokio::time::sleep(STOPS).await;
        let Some(engine) = engine.upgrade() else { return };
        let Some(sessions) = engine.sessions() else { return };
        // By name: a listing costs twelve times a read on S3.
        let looks = engine.live_runs().into_iter().map(|run| async move {
            let key = stop_key(&run.owner, &run.info.id);
            if let Ok(Some(_)) = sessions.store.get(&key).await {
                run.stop();
                if let Err(error) = sessions.store.delete(&key).await {
                    tracing::debug!(%error, "a request to stop was not cleared");
                }
            }
        });
        futures_util::future::join_all(looks).await;
    }
}
