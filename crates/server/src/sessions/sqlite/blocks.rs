//! Values in rows: the first block in `blobs`, the rest of a long one in `blocks`.
//!
//! A turn of a long conversation changes the head of its session and adds to its end. Whoever wrote or read a value
//! last knows its bytes; a write on top of exactly that version writes the blocks that differ and no others.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::recent::Known;
use crate::sessions::blob::{Condition, Version};

/// The size of a block, in bytes.
pub(super) const BLOCK: usize = 16 * 1024;

/// Reads a value and its version.
pub(super) fn get(
    connection: &Connection,
    key: &str,
    recent: Option<Known>,
) -> rusqlite::Result<Option<Known>> {
    if let Some(recent) = recent {
        let version: Option<i64> = connection
            .prepare_cached("SELECT version FROM blobs WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        if version.is_none_or(|version| version == recent.0) {
            return Ok(version.map(|_| recent));
        }
    }
    // One statement, so that all rows are of one moment.
    let mut statement = connection.prepare_cached(
        "SELECT blobs.version, blobs.bytes, blocks.bytes FROM blobs LEFT JOIN blocks ON blocks.tail = blobs.tail
         WHERE blobs.key = ?1 ORDER BY blocks.n",
    )?;
    let mut rows = statement.query([key])?;
    let mut found: Option<(i64, Vec<u8>)> = None;
    while let Some(row) = rows.next()? {
        let (_, bytes) = match &mut found {
            Some(found) => found,
            None => found.insert((row.get(0)?, row.get_ref(1)?.as_blob()?.to_vec())),
        };
        if let Some(block) = row.get_ref(2)?.as_blob_or_null()? {
            bytes.extend_from_slice(block);
        }
    }
    Ok(found.map(|(version, bytes)| (version, bytes.into())))
}

/// Writes a value if the condition holds, and gives its new version.
pub(super) fn put(
    connection: &Connection,
    key: &str,
    bytes: &[u8],
    condition: &Condition,
    recent: Option<&Known>,
) -> rusqlite::Result<Option<i64>> {
    let now = jiff::Timestamp::now().as_microsecond();
    // One counter for all rows: a row that is deleted and made again never has an earlier version.
    let version: i64 = connection
        .prepare_cached("UPDATE counter SET writes = writes + 1 RETURNING writes")?
        .query_row([], |row| row.get(0))?;
    let (first, rest) = bytes.split_at(bytes.len().min(BLOCK));
    let tail = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
    let written = match condition {
        Condition::Create => connection
            .prepare_cached(
                "INSERT INTO blobs (key, bytes, version, updated_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING RETURNING tail",
            )?
            .query_row(params![key, first, version, now], tail),
        Condition::Any => connection
            .prepare_cached(
                "INSERT INTO blobs (key, bytes, version, updated_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET bytes = ?2, version = ?3, updated_at = ?4 RETURNING tail",
            )?
            .query_row(params![key, first, version, now], tail),
        Condition::Match(Version(expected)) => connection
            .prepare_cached(
                "UPDATE blobs SET bytes = ?2, version = ?3, updated_at = ?4
                 WHERE key = ?1 AND CAST(version AS TEXT) = ?5 RETURNING tail",
            )?
            .query_row(params![key, first, version, now, expected], tail),
    };
    let Some(tail) = written.optional()? else { return Ok(None) };
    // What is known to be stored: only what the condition asked for is certain.
    let before = recent
        .filter(|(known, _)| matches!(condition, Condition::Match(Version(expected)) if *expected == known.to_string()))
        .and_then(|(_, bytes)| bytes.get(BLOCK..));
    put_rest(connection, key, version, tail, rest, before)?;
    Ok(Some(version))
}

fn put_rest(
    connection: &Connection,
    key: &str,
    version: i64,
    tail: Option<i64>,
    rest: &[u8],
    before: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let tail = match tail {
        None if rest.is_empty() => return Ok(()),
        None => {
            // Versions are used once, so this one names the tail.
            connection
                .prepare_cached("UPDATE blobs SET tail = ?2 WHERE key = ?1")?
                .execute(params![key, version])?;
            version
        }
        Some(tail) => tail,
    };
    let mut write = connection.prepare_cached(
        "INSERT INTO blocks (tail, n, bytes) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET bytes = ?3",
    )?;
    let mut count = 0;
    for (n, block) in rest.chunks(BLOCK).enumerate() {
        let at = n * BLOCK;
        let same = before.and_then(|before| before.get(at..before.len().min(at + BLOCK))) == Some(block);
        if !same {
            write.execute(params![tail, count, block])?;
        }
        count += 1;
    }
    connection
        .prepare_cached("DELETE FROM blocks WHERE tail = ?1 AND n >= ?2")?
        .execute(params![tail, count])?;
    Ok(())
}

/// Deletes a value.
pub(super) fn delete(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM blocks WHERE tail = (SELECT tail FROM blobs WHERE key = ?1)")?
        .execute([key])?;
    connection.prepare_cached("DELETE FROM blobs WHERE key = ?1")?.execute([key])?;
    Ok(())
}
