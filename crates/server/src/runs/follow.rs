//! Runs of other processes that share the store: their logs are read as they grow, and asking them to stop goes through
//! the store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::engine::{Engine, StartError};
use super::journal::{Ending, Liveness};
use super::run::Run;
use crate::auth::Owner;
use crate::clock::later;
use crate::ids::RunId;
use crate::sessions::blob::{BlobError, Condition, Durability};
use crate::sessions::document::Lease;
use crate::sessions::service::{SessionError, SessionKey};
use crate::sessions::{ending, repair};

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
            Ok(Some(stored)) => run.show_stored(stored),
            Ok(None) if is_alone(engine, run).await => run.show([repair::lost()]),
            // It is about to begin.
            Ok(None) => {}
            Err(error) => tracing::warn!(run_id = %run.info.id, %error, "the run log cannot be read"),
        }
        if run.ended() || run.handed_over() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = run.cancel.cancelled(), if !asked => {}
        }
    }
}

/// Whether a run without a log was deleted with its session.
async fn is_alone(engine: &Engine, run: &Run) -> bool {
    let Some(sessions) = engine.sessions() else { return true };
    // One that had a log once has none for ever.
    !run.look().log().is_empty()
        || sessions.knows(&key_of(run), &run.info.id).await.is_ok_and(|is_known| !is_known)
}

fn key_of(run: &Run) -> SessionKey {
    SessionKey { owner: run.owner.clone(), id: run.info.session_id.clone() }
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
    let document = match sessions.view(&key_of(run)).await {
        Ok(document) => match &document.head.run {
            Some(lease) if lease.id == run.info.id && lease.paused => return engine.take_over(run).await,
            Some(lease) if lease.id == run.info.id => return Ok(false),
            _ => Some(document),
        },
        Err(SessionError::NotFound) => None,
        Err(error) => return Err(error.into()),
    };
    // The session went on without it (or is gone): a log whose writer is dead gets its end.
    let lease = Lease::of(run.info.id.clone(), later(run.info.created_at, sessions.times.lease));
    let now = sessions.clock.now();
    let Liveness::Dead(stored) = sessions.journals.liveness(&run.owner, &lease, now).await? else {
        return Ok(false);
    };
    let ending = match document {
        Some(document) => ending::ending_of(&document, &run.info.id, &stored).map_err(SessionError::from)?,
        None if stored.info.is_none() => return Ok(false),
        None => Ending { missing: Vec::new(), terminal: repair::lost(), message_count: None },
    };
    sessions.journals.seal(&run.owner, &run.info, &stored, &ending).await?;
    Ok(false)
}

/// Carries out the requests to stop that other processes left in the store.
pub(super) async fn watch_stops(engine: Weak<Engine>, begins: Arc<Notify>) {
    loop {
        let Some(is_idle) = engine.upgrade().map(|engine| engine.live() == 0) else { return };
        if is_idle {
            begins.notified().await;
        }
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
