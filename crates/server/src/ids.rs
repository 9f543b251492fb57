//! Ids of sessions and runs: 1 to 256 of `A-Z a-z 0-9 _ -`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// What an id may be, in words for people.
pub const FORM: &str = "1 to 256 of the characters A-Z a-z 0-9 _ -";

/// The same as a regular expression.
pub const PATTERN: &str = "^[A-Za-z0-9_-]{1,256}$";

/// An id that has the allowed form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(Arc<str>);

/// A session's id.
pub type SessionId = Id;
/// A run's id.
pub type RunId = Id;

/// A text that is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is {FORM}")]
pub struct NotAnId;

impl Id {
    /// Checks the form.
    ///
    /// # Errors
    /// [`NotAnId`].
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=256).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(NotAnId)
        }
    }

    /// A new id that sorts by the time it was made.
    #[must_use]
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string().into())
    }

    /// The session of a run whose client named the run but no session: the same run sent again finds it.
    #[must_use]
    pub fn of_run(run: &Self) -> Self {
        let digest = sha2::Sha256::digest(format!("session of {run}").as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string().into())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As shared text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl Default for Id {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;
    fn try_from(text: String) -> Result<Self, NotAnId> {
        Self::parse(&text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allowed_form_is_an_id() {
        for good in ["a", "A-Z_09", &"x".repeat(256), Id::new().as_str()] {
            assert!(Id::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "..", "a b", "ä", "a\n", &"x".repeat(257)] {
            assert!(Id::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Id::of_run(&Id::parse("r").unwrap()), Id::of_run(&Id::parse("r").unwrap()));
    }
}
