//! Who is asking.
//!
//! An [`Authenticator`] turns a request into a [`Principal`]; handlers name `Principal` in their arguments, so a route
//! that serves a user's data does not compile without one, and every storage key is built from it.

mod api_key;
mod bearer;
mod config;
mod jwt;

pub use api_key::{KeyFile, KeyFileError, NamedKey};
pub use config::{ApiToken, AuthConfig, AuthConfigError, AuthType, Login};
pub use jwt::Host;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::request::Parts;

use crate::limits::ClientAddress;

/// Decides who is asking.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The word shown at start and in `/config.json`: `none`, `cognito`, `oidc`, `api_key`.
    fn kind(&self) -> &'static str;

    /// Looks at a request's headers (and, on Lambda, at the context the invocation brought).
    ///
    /// # Errors
    /// [`AuthError::Unauthorized`] for whoever is not let in, [`AuthError::Unavailable`] where that cannot be decided now.
    async fn authenticate(&self, parts: &Parts) -> Result<Principal, AuthError>;
}

/// Why nobody was let in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// The credential is missing or not good. The reason is for the log; the client reads one and the same message.
    #[error("not signed in: {reason}")]
    Unauthorized {
        /// A stable word for the log.
        reason: &'static str,
    },
    /// The keys to check with cannot be had now.
    #[error("sign-in cannot be checked now")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

/// Who is asking, once that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    owner: Owner,
    /// The user's id as the authenticator knows it; `None` where nobody signs in.
    pub user: Option<Arc<str>>,
    /// Whether the separate administration routes are open to them.
    pub admin: bool,
    /// Where the request came from, if that is known.
    pub address: Option<ClientAddress>,
}

impl Principal {
    /// The one user of a service where nobody signs in.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { owner: Owner(None), user: None, admin: false, address: None }
    }

    /// A signed-in user.
    #[must_use]
    pub fn user(id: &str) -> Self {
        Self { owner: Owner(Some(path_safe(id).into())), user: Some(id.into()), admin: false, address: None }
    }

    /// Whose data they reach.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }
}

/// A part of every storage key. Only a [`Principal`] has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(Option<Arc<str>>);

impl Owner {
    /// The owner of a stored key; the empty text is where nobody signs in. For housekeeping, never for a request.
    pub(crate) fn stored(segment: &str) -> Self {
        Self((!segment.is_empty()).then(|| segment.into()))
    }

    /// As a path segment; `None` where nobody signs in.
    #[must_use]
    pub fn segment(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// As a path segment that is never missing; `_` cannot be a user's.
    #[must_use]
    pub fn segment_or_anonymous(&self) -> &str {
        self.0.as_deref().unwrap_or("_")
    }
}

/// An id as one path segment, without two ids sharing one: what is not `A-Z a-z 0-9 . - @` becomes `~XX`, and a long id
/// becomes its hash.
fn path_safe(id: &str) -> String {
    use sha2::Digest as _;

    let mut safe = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'@' => safe.push(byte as char),
            b'.' if !safe.is_empty() => safe.push('.'),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(safe, "~{other:02X}");
            }
        }
    }
    if safe.is_empty() || safe.len() > 200 {
        let digest = sha2::Sha256::digest(id.as_bytes());
        safe = digest.iter().fold(String::from("~~"), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    }
    safe
}

/// Nobody signs in: everybody is the same user. Only for loopback, or behind something else that signs users in.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSignIn;

#[async_trait]
impl Authenticator for NoSignIn {
    fn kind(&self) -> &'static str {
        "none"
    }

    async fn authenticate(&self, _: &Parts) -> Result<Principal, AuthError> {
        Ok(Principal::anonymous())
    }
}

/// Reads a credential as far as it is read before anything of it is verified; for fuzzers.
pub(crate) fn look_at(headers: &http::HeaderMap) {
    if let Ok(token) = bearer::token(headers) {
        jwt::look_at(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_users_share_a_key() {
        let segment = |id: &str| Principal::user(id).owner().segment_or_anonymous().to_owned();
        assert_eq!(segment("a1b2-c3"), "a1b2-c3");
        assert_eq!(segment("a/../b"), "a~2F..~2Fb");
        assert_eq!(segment(".."), "~2E.");
        assert_ne!(segment("_"), Principal::anonymous().owner().segment_or_anonymous());
        let long = "x".repeat(300);
        assert_ne!(segment(&long), segment(&format!("{long}y")));
        assert!(segment(&long).len() < 100);
        let ids = ["a~2F", "a/", "", "~~", "a b", "a+b", "ä"];
        let segments: std::collections::HashSet<_> = ids.iter().map(|id| segment(id)).collect();
        assert_eq!(segments.len(), ids.len());
    }
}
