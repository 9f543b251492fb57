//! The credential of a request: `Authorization: Bearer …`, once.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::AuthError;

/// The token, not looked at.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, AuthError> {
    let refuse = |reason| Err(AuthError::Unauthorized { reason });
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => return refuse("credential_missing"),
        // Two readers might take different ones.
        (Some(_), Some(_)) => return refuse("credential_twice"),
    };
    let Ok(value) = value.to_str() else { return refuse("credential_not_ascii") };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_matches(' ')),
        _ => refuse("credential_not_bearer"),
    }
}
