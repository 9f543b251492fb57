//! The store on a local disk: one SQLite file in WAL mode, which several processes may share.
//!
//! All writes go through one thread (`writer`) that puts those that wait into one transaction, so that many turns share
//! one flush of the disk. Reads go through a few connections of their own and never wait for a writer.

mod blocks;
mod index;
mod recent;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, params};
use tokio::sync::Semaphore;

use self::recent::Recent;
use self::writer::Writer;
use super::blob::{Blob, BlobError, BlobStore, Condition, Durability, Listed, Version};

/// How many reads may run side by side. SQLite's reads take microseconds; more would only hold threads.
const READERS: usize = 4;

/// Sessions and run logs in a SQLite file.
#[derive(Debug)]
pub struct SqliteBlobs {
    readers: Arc<Readers>,
    writer: Writer,
    recent: Recent,
}

/// Why a file could not be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The file is something else.
    #[error("{} is not a SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// The file is a database, but another program's.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// A later version of Loquat wrote the file.
    #[error("{} was written by a newer version of Loquat (schema {found}, this one knows {known}): update Loquat", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The folder could not be made, or the file not be opened.
    #[error("cannot open {}: {reason}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl SqliteBlobs {
    /// Opens a store, and makes the file (readable by its owner only) and its folder if they are not there. Blocks for
    /// some milliseconds, longer if another process migrates the same file.
    ///
    /// # Errors
    /// [`SqliteError`], which says what to do.
    pub fn open(path: &Path) -> Result<Self, SqliteError> {
        let connection = schema::open(path)?;
        Ok(Self {
            readers: Arc::new(Readers::new(path)),
            writer: Writer::start(connection, path)?,
            recent: Recent::default(),
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        self.readers.read(job).await
    }
}

#[async_trait]
impl BlobStore for SqliteBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>, BlobError> {
        let recent = self.recent.of(key);
        let name = key.to_owned();
        let found = self.read(move |connection| blocks::get(connection, &name, recent)).await?;
        Ok(found.map(|(version, bytes)| {
            self.recent.note(key, version, &bytes);
            Blob { bytes, version: Version(version.to_string()) }
        }))
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
        durability: Durability,
    ) -> Result<Version, BlobError> {
        let (name, value, recent) = (key.to_owned(), bytes.clone(), self.recent.of(key));
        let written = self
            .writer
            .write(durability, move |connection| {
                blocks::put(connection, &name, &value, &condition, recent.as_ref())
            })
            .await?;
        let version = written.ok_or(BlobError::Conflict)?;
        self.recent.note(key, version, &bytes);
        Ok(Version(version.to_string()))
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.recent.forget(key);
        let key = key.to_owned();
        self.writer.write(Durability::Full, move |connection| blocks::delete(connection, &key)).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        let (prefix, after) = (prefix.to_owned(), after.unwrap_or_default().to_owned());
        // No key holds the last character of Unicode, so this is past every key with the prefix.
        let end = format!("{prefix}\u{10FFFF}");
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT key, length(bytes) + coalesce(
                         (SELECT sum(length(blocks.bytes)) FROM blocks WHERE blocks.tail = blobs.tail), 0)
                     FROM blobs WHERE key >= ?1 AND key < ?2 AND key > ?3 ORDER BY key LIMIT ?4",
                )?
                .query_map(params![prefix, end, after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                    Ok(Listed { key: row.get(0)?, size: row.get::<_, i64>(1)?.unsigned_abs() })
                })?
                .collect()
        })
        .await
    }
}

/// Connections that only read, opened when first needed.
#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default(), permits: Semaphore::new(READERS) }
    }

    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let this = Arc::clone(self);
        let permit = self.permits.acquire().await.map_err(|_| gone())?;
        let result = tokio::task::spawn_blocking(move || {
            let idle = this.idle.lock().pop();
            let connection = match idle {
                Some(connection) => connection,
                None => schema::reader(&this.path)?,
            };
            let result = job(&connection);
            this.idle.lock().push(connection);
            result
        })
        .await
        .map_err(|_| gone())?;
        drop(permit);
        result.map_err(|error| blob_error(&error))
    }
}

fn gone() -> BlobError {
    BlobError::Unavailable("the database is being closed".to_owned())
}

/// What a failure of SQLite means to the session logic. Its texts name tables and files, never contents.
fn blob_error(error: &rusqlite::Error) -> BlobError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
            | ErrorCode::TooBig,
        ) => BlobError::Refused(error.to_string()),
        _ => BlobError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
