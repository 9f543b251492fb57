//! A run that its process paused: the session waits for whoever goes on with it.

use loquat_agent::context::{Memo, Reach};

use super::{Hold, Opened, SessionError, SessionKey, Sessions, holds};
use crate::clock::later;
use crate::ids::{Id, RunId};
use crate::sessions::blob::{BlobError, Durability};
use crate::sessions::document::Lease;

impl Sessions {
    /// Notes that the run which holds the session was paused. Its log holds everything it has told.
    ///
    /// # Errors
    /// [`SessionError::LeaseLost`] if somebody else holds the session now, or it was deleted: nothing was written.
    pub async fn pause(&self, hold: &mut Hold) -> Result<(), SessionError> {
        loop {
            let mut document = hold.document.clone();
            document.append(hold.message.as_slice());
            document.head.memo = hold.memo.to_map();
            let Some(lease) = document.head.run.as_mut() else { return Err(SessionError::LeaseLost) };
            lease.paused = true;
            lease.lease_until = later(self.clock.now(), self.times.pending);
            match self.put_own(hold, &document, Durability::Full).await {
                Ok(_) => return Ok(()),
                Err(SessionError::LeaseLost) => {
                    // Ours still, only its head was touched?
                    let opened = self.open(&hold.key).await?;
                    if !holds(&opened.document, hold) {
                        return Err(SessionError::LeaseLost);
                    }
                    hold.document.head.title = opened.document.head.title;
                    hold.version = opened.version;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Holds the session of a paused run again, to go on with it. `None` if it is not paused any more.
    ///
    /// # Errors
    /// [`SessionError::Store`], [`SessionError::Unreadable`].
    pub async fn take_over(
        &self,
        key: &SessionKey,
        run_id: &RunId,
        reach: Reach,
    ) -> Result<Option<Hold>, SessionError> {
        let Opened { mut document, version } = self.open(key).await?;
        let now = self.clock.now();
        let waiting = document.head.run.clone().filter(|lease| lease.id == *run_id && lease.waits(now));
        let Some(lease) = waiting else { return Ok(None) };
        // Whoever believes that it still holds the session has an epoch that is over.
        document.head.epoch += 1;
        let lease_until = later(now, self.times.lease);
        document.head.run = Some(Lease { lease_until, paused: false, writer: Some(Id::new()), ..lease });
        let wanted = match reach {
            Reach::Last(n) => n,
            Reach::All => usize::MAX,
        };
        let history = document.last(wanted)?;
        let version = match self.write(key, &document, version, Durability::Process).await {
            Ok(version) => version,
            Err(SessionError::Store(BlobError::Conflict)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Hold {
            key: key.clone(),
            run_id: run_id.clone(),
            skipped: document.count() - history.len(),
            memo: Memo::new(document.head.memo.clone()),
            document,
            version: Some(version),
            message: None,
            seal: None,
            listing: None,
            history,
        }))
    }
}
