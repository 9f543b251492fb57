//! The list of sessions in SQLite, with full-text search (FTS5) over titles and messages.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::SqliteBlobs;
use crate::sessions::blob::Durability;
use crate::sessions::index::{IndexError, Page, Query, SessionIndex, Summary, words};

#[async_trait]
impl SessionIndex for SqliteBlobs {
    async fn upsert(&self, owner: &str, summary: &Summary, text: Option<&str>) -> Result<(), IndexError> {
        let (owner, summary, text) = (owner.to_owned(), summary.clone(), text.map(str::to_owned));
        // The index can be made again from the sessions, so it does not wait for the disk.
        let write = self.writer.write(Durability::Process, move |connection| {
            upsert(connection, &owner, &summary, text.as_deref())
        });
        Ok(write.await?)
    }

    async fn remove(&self, owner: &str, session_id: &str) -> Result<(), IndexError> {
        let (owner, session_id) = (owner.to_owned(), session_id.to_owned());
        let write =
            self.writer.write(Durability::Full, move |connection| remove(connection, &owner, &session_id));
        Ok(write.await?)
    }

    async fn list(&self, owner: &str, query: &Query<'_>) -> Result<Page, IndexError> {
        let size = query.page_size();
        let (statement, values) = selection(owner, query, size)?;
        let found = self
            .read(move |connection| {
                connection
                    .prepare_cached(&statement)?
                    .query_map(params_from_iter(values), summary)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        Ok(Page::of(found, size))
    }

    async fn stale(&self, before: Timestamp, limit: usize) -> Result<Vec<(String, String)>, IndexError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT owner, session_id FROM sessions WHERE updated_at < ?1 ORDER BY updated_at LIMIT ?2",
                )?
                .query_map(params![before.as_microsecond(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        });
        Ok(found.await?)
    }
}

fn upsert(connection: &Connection, owner: &str, new: &Summary, text: Option<&str>) -> rusqlite::Result<()> {
    let old: Option<(i64, i64, String)> = connection
        .prepare_cached("SELECT id, updated_at, title FROM sessions WHERE owner = ?1 AND session_id = ?2")?
        .query_row([owner, &new.session_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let updated_at = new.updated_at.as_microsecond();
    let id = match &old {
        None => {
            connection
                .prepare_cached(
                    "INSERT INTO sessions (owner, session_id, title, created_at, updated_at, message_count, run_id)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    owner,
                    new.session_id,
                    new.title,
                    new.created_at.as_microsecond(),
                    updated_at,
                    new.message_count.cast_signed(),
                    new.run_id
                ])?;
            connection.last_insert_rowid()
        }
        Some((id, stored, _)) => {
            if *stored <= updated_at {
                connection
                    .prepare_cached(
                        "UPDATE sessions SET title = ?2, created_at = ?3, updated_at = ?4, message_count = ?5, run_id = ?6
                         WHERE id = ?1",
                    )?
                    .execute(params![
                        id,
                        new.title,
                        new.created_at.as_microsecond(),
                        updated_at,
                        new.message_count.cast_signed(),
                        new.run_id
                    ])?;
            }
            *id
        }
    };
    let current = old.as_ref().is_none_or(|(_, stored, _)| *stored <= updated_at);
    if current && old.as_ref().is_none_or(|(_, _, title)| *title != new.title) {
        forget(connection, id, true)?;
        learn(connection, id, &new.title, true)?;
    }
    match text {
        Some(text) if !text.is_empty() => learn(connection, id, text, false),
        _ => Ok(()),
    }
}

fn remove(connection: &Connection, owner: &str, session_id: &str) -> rusqlite::Result<()> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM sessions WHERE owner = ?1 AND session_id = ?2")?
        .query_row([owner, session_id], |row| row.get(0))
        .optional()?;
    if let Some(id) = id {
        forget(connection, id, true)?;
        forget(connection, id, false)?;
        connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

/// Makes a text findable.
fn learn(connection: &Connection, session: i64, text: &str, is_title: bool) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO passages (session, is_title) VALUES (?1, ?2)")?
        .execute(params![session, is_title])?;
    let id = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?
        .execute(params![id, text])?;
    Ok(())
}

/// Takes back what [`learn`] made findable.
fn forget(connection: &Connection, session: i64, is_title: bool) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE session = ?1 AND is_title = ?2)",
        )?
        .execute(params![session, is_title])?;
    connection
        .prepare_cached("DELETE FROM passages WHERE session = ?1 AND is_title = ?2")?
        .execute(params![session, is_title])?;
    Ok(())
}

/// The statement for a page, and its values. The text of the statement depends on the number of words only.
fn selection(owner: &str, query: &Query<'_>, size: usize) -> Result<(String, Vec<Value>), IndexError> {
    let mut statement =
        "SELECT session_id, title, created_at, updated_at, message_count, run_id FROM sessions
                         WHERE owner = ?"
            .to_owned();
    let mut values: Vec<Value> = vec![owner.to_owned().into()];
    if let Some(position) = query.position()? {
        statement.push_str(" AND (updated_at, session_id) < (?, ?)");
        values.extend([position.micros.into(), position.session_id.into()]);
    }
    if let Some(search) = query.search.map(str::trim).filter(|search| !search.is_empty()) {
        let words = words(search);
        if words.is_empty() {
            // Nothing but signs: they are in no word, but may be in a title.
            statement.push_str(" AND instr(title, ?) > 0");
            values.push(search.to_owned().into());
        }
        for word in words {
            // Each word may stand in another message. A word holds letters and digits only, so the quotes hold.
            statement.push_str(
                " AND id IN (SELECT session FROM passages WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?))",
            );
            values.push(format!("\"{word}\"*").into());
        }
    }
    statement.push_str(" ORDER BY updated_at DESC, session_id DESC LIMIT ?");
    values.push(i64::try_from(size + 1).unwrap_or(i64::MAX).into());
    Ok((statement, values))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let time = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Summary {
        session_id: row.get(0)?,
        title: row.get(1)?,
        created_at: time(row.get(2)?),
        updated_at: time(row.get(3)?),
        message_count: row.get::<_, i64>(4)?.cast_unsigned(),
        run_id: row.get(5)?,
    })
}
