//! The list of an owner's sessions: newest change first, in pages, searchable.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::blob::BlobError;

/// How many sessions a page holds, if nobody says otherwise, and at most [`MAX_PAGE`].
pub const PAGE: usize = 50;

/// The largest page.
pub const MAX_PAGE: usize = 100;

/// What a list shows of a session. Times are kept to the microsecond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The session.
    pub session_id: String,
    /// Its title.
    pub title: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// How many messages are stored.
    pub message_count: u64,
    /// The run that is live, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Query<'a> {
    /// Where the page before ended: its [`Page::next_cursor`].
    pub cursor: Option<&'a str>,
    /// How many sessions, 0 for [`PAGE`].
    pub limit: usize,
    /// Words that must all occur in the session (each may be the beginning of a word). Stores that keep no text of
    /// messages look in the titles only.
    pub search: Option<&'a str>,
}

impl Query<'_> {
    pub(crate) fn page_size(&self) -> usize {
        if self.limit == 0 { PAGE } else { self.limit.min(MAX_PAGE) }
    }

    pub(crate) fn position(&self) -> Result<Option<Position>, IndexError> {
        self.cursor.map(|cursor| Position::decode(cursor).ok_or(IndexError::Cursor)).transpose()
    }
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The sessions, newest change first.
    pub sessions: Vec<Summary>,
    /// Where the next page begins; `None` after the last.
    pub next_cursor: Option<String>,
}

impl Page {
    /// Makes a page of up to `size + 1` summaries: the one too many only says that there is a next page.
    pub(crate) fn of(mut sessions: Vec<Summary>, size: usize) -> Self {
        let next_cursor = if sessions.len() > size {
            sessions.truncate(size);
            sessions.last().map(|last| Position::of(last).encode())
        } else {
            None
        };
        Self { sessions, next_cursor }
    }
}

/// Why an index did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// The cursor is none that this server made.
    #[error("the cursor is not valid")]
    Cursor,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] BlobError),
}

/// The lists of sessions, one for each owner. An owner is named as in the keys of the store; the empty string is the
/// list where nobody signs in.
///
/// The index is a derived thing: the sessions themselves are the truth, and a lost write here is made good by the next
/// change of the session.
#[async_trait]
pub trait SessionIndex: Send + Sync {
    /// Adds a session or replaces what is said of it, and makes `text` (what was newly said) findable. A summary that
    /// is older than the one stored does not replace it: writers may come late. A run's end has the same or a later
    /// time than its start.
    ///
    /// # Errors
    /// [`IndexError::Store`].
    async fn upsert(&self, owner: &str, summary: &Summary, text: Option<&str>) -> Result<(), IndexError>;

    /// Takes a session from the list; one that is not there is no error.
    ///
    /// # Errors
    /// [`IndexError::Store`].
    async fn remove(&self, owner: &str, session_id: &str) -> Result<(), IndexError>;

    /// A page of an owner's sessions.
    ///
    /// # Errors
    /// [`IndexError::Cursor`] or [`IndexError::Store`].
    async fn list(&self, owner: &str, query: &Query<'_>) -> Result<Page, IndexError>;

    /// Up to `limit` sessions of all owners, as `(owner, session_id)`, that did not change since `before`: for the
    /// sweep of what has expired.
    ///
    /// # Errors
    /// [`IndexError::Store`].
    async fn stale(&self, before: Timestamp, limit: usize) -> Result<Vec<(String, String)>, IndexError>;
}

/// A place between two sessions of a list: the order is by time of change, then by id, both descending.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The time of change in microseconds since 1970.
    pub(crate) micros: i64,
    /// The session.
    pub(crate) session_id: String,
}

impl Position {
    pub(crate) fn of(summary: &Summary) -> Self {
        Self { micros: summary.updated_at.as_microsecond(), session_id: summary.session_id.clone() }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}.{}", self.micros, self.session_id))
    }

    fn decode(cursor: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (micros, session_id) = plain.split_once('.')?;
        Some(Self { micros: micros.parse().ok()?, session_id: session_id.to_owned() })
    }
}

/// The words of a search: what stands between everything that is neither a letter nor a digit, lower case.
pub(crate) fn words(search: &str) -> Vec<String> {
    /// More words than anybody types; each costs a look-up.
    const MAX_WORDS: usize = 16;
    search
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_the_way_there_and_back() {
        for (micros, id) in [(0, ""), (-1, "a"), (i64::MAX, "a.b-c_d"), (1_763_000_000_000_000, "x")] {
            let position = Position { micros, session_id: id.to_owned() };
            assert_eq!(Position::decode(&position.encode()), Some(position));
        }
        for bad in ["", "?", "YWJj", "....", "MTIz"] {
            assert_eq!(Position::decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(words("  Über-straße, \"42\" OR* "), ["über", "straße", "42", "or"]);
        assert!(words(" -- ").is_empty());
    }
}
