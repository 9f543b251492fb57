//! The runs that this process knows: its own, live and lately ended, and those of other processes that it follows.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Engine;
use crate::auth::Owner;
use crate::ids::RunId;
use crate::runs::run::Run;
use crate::sessions::service::{SessionError, SessionKey, Sessions};

/// How long an ended run stays in memory where its log is also in the store, for clients that reconnect at once.
const LINGER: Duration = Duration::from_secs(60);
/// How many ended runs stay in memory where there is no other log.
const REMEMBERED: usize = 1_000;

type Name = (Owner, RunId);

/// Runs by owner and id.
#[derive(Default)]
pub(super) struct Registry {
    known: Mutex<Known>,
    begins: Arc<Notify>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Whoever waits for a run finds that none will come.
        self.begins.notify_one();
    }
}

#[derive(Default)]
struct Known {
    runs: HashMap<Name, Arc<Run>>,
    ended: VecDeque<Name>,
}

fn name(run: &Run) -> Name {
    (run.owner.clone(), run.info.id.clone())
}

impl Registry {
    pub(super) fn known(&self, owner: &Owner, id: &RunId) -> Option<Arc<Run>> {
        let known = self.known.lock().runs.get(&(owner.clone(), id.clone())).cloned();
        // What was handed over goes on under another object.
        known.filter(|run| !run.handed_over())
    }

    pub(super) fn remember(&self, run: &Arc<Run>) {
        self.known.lock().runs.insert(name(run), Arc::clone(run));
    }

    /// Remembers a run that is about to start, unless one of its name is live: that one is given back.
    pub(super) fn claim(&self, run: &Arc<Run>) -> Result<(), Arc<Run>> {
        self.begins.notify_one();
        match self.known.lock().runs.entry(name(run)) {
            Entry::Occupied(known) if !known.get().ended() && !known.get().handed_over() => {
                Err(Arc::clone(known.get()))
            }
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

    pub(super) fn forget(&self, run: &Run) {
        let name = name(run);
        let mut known = self.known.lock();
        // Another run of the same name may have taken its place.
        if known.runs.get(&name).is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), run)) {
            known.runs.remove(&name);
        }
    }

    /// Forgets the runs of a session that is gone.
    fn forget_session(&self, key: &SessionKey) {
        let gone = |run: &Arc<Run>| run.owner == key.owner && run.info.session_id == key.id;
        self.known.lock().runs.retain(|_, run| !gone(run) || !run.ended());
    }

    /// The runs that have not ended, those of other processes included.
    pub(super) fn open(&self) -> Vec<Arc<Run>> {
        let known = self.known.lock();
        let is_open = |run: &&Arc<Run>| !run.ended() && !run.handed_over();
        known.runs.values().filter(is_open).cloned().collect()
    }

    /// The runs of this process that have not ended.
    pub(super) fn live(&self) -> Vec<Arc<Run>> {
        let mut runs = self.open();
        runs.retain(|run| run.driven());
        runs
    }

    /// Tells when a run of this process may have begun.
    pub(super) fn begins(&self) -> Arc<Notify> {
        Arc::clone(&self.begins)
    }

    /// Notes that a run has ended whose log is nowhere else; the oldest of many such is forgotten.
    fn keep_a_while(&self, run: &Run) {
        let mut known = self.known.lock();
        known.ended.push_back(name(run));
        while known.ended.len() > REMEMBERED {
            if let Some(oldest) = known.ended.pop_front() {
                known.runs.remove(&oldest);
            }
        }
    }
}

impl Engine {
    /// Deletes a session, its runs included; what this process remembers of them is gone with it.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] if there is none.
    pub async fn delete(&self, sessions: &Sessions, key: &SessionKey) -> Result<(), SessionError> {
        let deleted = sessions.delete(key).await;
        self.runs.forget_session(key);
        deleted
    }

    /// Forgets a run that has ended, after a while.
    pub(super) fn forget_later(self: &Arc<Self>, run: &Arc<Run>) {
        if run.handed_over() {
            self.runs.forget(run);
        } else if self.journals.durable() {
            let (engine, run) = (Arc::downgrade(self), Arc::clone(run));
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                if let Some(engine) = engine.upgrade() {
                    engine.runs.forget(&run);
                }
            });
        } else {
            self.runs.keep_a_while(run);
        }
    }
}
