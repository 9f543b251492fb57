//! The tables, their version, and how a file is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::SqliteError;

/// Marks the file as Loquat's: "Loqu".
const APPLICATION_ID: i64 = 0x4C6F_7175;

/// The steps from each version of the schema to the next. A step that has been released is never changed.
const STEPS: [&str; 2] = [
    "
    CREATE TABLE blobs (
        key TEXT NOT NULL PRIMARY KEY,
        bytes BLOB NOT NULL,
        version INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE counter (writes INTEGER NOT NULL) STRICT;
    INSERT INTO counter (writes) VALUES (0);

    CREATE TABLE sessions (
        id INTEGER NOT NULL PRIMARY KEY,
        owner TEXT NOT NULL,
        session_id TEXT NOT NULL,
        title TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        message_count INTEGER NOT NULL,
        run_id TEXT,
        UNIQUE (owner, session_id)
    ) STRICT;
    CREATE INDEX sessions_by_change ON sessions (owner, updated_at DESC, session_id DESC);
    CREATE INDEX sessions_by_age ON sessions (updated_at);

    -- The search index holds no text, only words and where they occur; passages says whose they are.
    CREATE TABLE passages (
        id INTEGER NOT NULL PRIMARY KEY,
        session INTEGER NOT NULL REFERENCES sessions (id),
        is_title INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX passages_by_session ON passages (session, is_title);
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content='', contentless_delete=1, prefix='2 3', tokenize='unicode61 remove_diacritics 2'
    );
    ",
    "
    -- A long value goes on here, in blocks of equal size: what changes at its end does not write all of it again.
    ALTER TABLE blobs ADD COLUMN tail INTEGER;
    CREATE TABLE blocks (
        tail INTEGER NOT NULL,
        n INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (tail, n)
    ) STRICT;
    ",
];

/// How long a connection waits for another process's write.
const BUSY: Duration = Duration::from_secs(10);

/// Opens the connection for writing, and brings the tables to the newest version.
pub(super) fn open(path: &Path) -> Result<Connection, SqliteError> {
    make_private(path).map_err(|error| failed(path, &error.to_string()))?;
    open_and_migrate(path, 0).map_err(|error| match error {
        Opening::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            SqliteError::NotADatabase(path.to_owned())
        }
        Opening::Sqlite(error) => failed(path, &error.to_string()),
        Opening::Known(error) => error,
    })
}

/// Opens a connection for reading.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI,
    )?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

enum Opening {
    Sqlite(rusqlite::Error),
    Known(SqliteError),
}

impl From<rusqlite::Error> for Opening {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn open_and_migrate(path: &Path, attempt: u32) -> Result<Connection, Opening> {
    /// Turning WAL on does not wait for a lock as other statements do: two processes that make the same file at the
    /// same moment meet here.
    const ATTEMPTS: u32 = 100;
    match try_open_and_migrate(path) {
        Err(Opening::Sqlite(error))
            if attempt < ATTEMPTS
                && matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                ) =>
        {
            std::thread::sleep(Duration::from_millis(20));
            open_and_migrate(path, attempt + 1)
        }
        result => result,
    }
}

fn try_open_and_migrate(path: &Path) -> Result<Connection, Opening> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    // Before anything is changed: is it ours?
    check(path, &connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A deleted conversation is overwritten where that costs no further input or output.
    connection.pragma_update_and_check(None, "secure_delete", "FAST", |_| Ok(()))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let version = check(path, &transaction)?;
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    if version < known() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known())?;
    }
    transaction.commit()?;
    Ok(connection)
}

/// The version of the tables, 0 for an empty file.
fn check(path: &Path, connection: &Connection) -> Result<i64, Opening> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (tables > 0 || application != 0 || version != 0) {
        return Err(Opening::Known(SqliteError::Foreign(path.to_owned())));
    }
    if version > known() {
        return Err(Opening::Known(SqliteError::Newer {
            path: path.to_owned(),
            found: version,
            known: known(),
        }));
    }
    Ok(version)
}

fn known() -> i64 {
    STEPS.len().try_into().unwrap_or(i64::MAX)
}

pub(super) fn failed(path: &Path, reason: &str) -> SqliteError {
    SqliteError::Open { path: path.to_owned(), reason: reason.to_owned() }
}

/// Makes the folder and an empty file that only their owner can read: they hold conversations.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    let mut file = std::fs::OpenOptions::new();
    folder.recursive(true);
    file.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folder.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        folder.create(parent)?;
    }
    file.open(path)?;
    Ok(())
}
