//! Why a session could not be read or written.

use crate::ids::RunId;
use crate::runs::journal::JournalError;
use crate::sessions::blob::BlobError;
use crate::sessions::document::Unreadable;
use crate::sessions::index::IndexError;

/// Why a session could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There is no such session for this owner.
    #[error("there is no such session")]
    NotFound,
    /// Another run holds it.
    #[error("the session is busy with run {0}")]
    Busy(RunId),
    /// This very run holds it already, or has ended in it.
    #[error("the run {0} exists")]
    SameRun(RunId),
    /// Somebody else has taken the session over, or deleted it.
    #[error("the session was taken over by another writer")]
    LeaseLost,
    /// The request does not fit the session.
    #[error("{0}")]
    Invalid(&'static str),
    /// The stored file is no session.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The store.
    #[error(transparent)]
    Store(#[from] BlobError),
    /// The run log.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The list.
    #[error(transparent)]
    Index(#[from] IndexError),
}
