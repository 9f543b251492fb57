//! The little that the session logic asks of a store: whole objects with conditional writes.

use async_trait::async_trait;
use bytes::Bytes;

/// What identifies one state of an object: an ETag, a row version. Opaque; equal means unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The content.
    pub bytes: Bytes,
    /// The state it was read in.
    pub version: Version,
}

/// When a write may happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key must be free.
    Create,
    /// The object must still be in this state.
    Match(Version),
    /// Always. For objects that only one writer can name.
    Any,
}

/// How durable a write must be when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It survives the loss of power.
    #[default]
    Full,
    /// It survives the death of the process. Stores that know no difference treat it as [`Durability::Full`].
    Process,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BlobError {
    /// The condition did not hold: somebody else wrote.
    #[error("the object was changed by another writer")]
    Conflict,
    /// The store did not answer, or answered that it cannot now. Trying again may work. The write may have happened.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The store refuses: credentials, permissions, no such bucket. Trying again does not help.
    #[error("the store refuses: {0}")]
    Refused(String),
}

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The whole key.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
}

/// A store of whole objects under keys with `/` between their parts.
///
/// Contract: a conditional write is atomic: of any number of writers with the same condition at most one succeeds. A
/// read sees every write that returned before it began. An implementation does not retry a conditional write whose
/// outcome it does not know: it says [`BlobError::Unavailable`], and the caller reads to find out.
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// Reads an object; `None` if there is none.
    ///
    /// # Errors
    /// [`BlobError::Unavailable`] or [`BlobError::Refused`].
    async fn get(&self, key: &str) -> Result<Option<Blob>, BlobError>;

    /// Writes an object if the condition holds.
    ///
    /// # Errors
    /// [`BlobError::Conflict`] if it does not hold, else as [`Self::get`].
    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
        durability: Durability,
    ) -> Result<Version, BlobError>;

    /// Deletes an object; deleting what is not there is no error.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn delete(&self, key: &str) -> Result<(), BlobError>;

    /// Up to `limit` keys that begin with `prefix`, in byte order, after `after`.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, BlobError>;
}
