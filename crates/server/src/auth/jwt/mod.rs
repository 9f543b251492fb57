//! Sign-in with JSON Web Tokens: Cognito, or any OpenID Connect provider.

mod claims;
mod compact;
mod fetch;
mod gateway;
mod jwks;
mod keys;
mod strict_json;
/// Takes a token apart and reads its claims, of which nothing is verified; for fuzzers.
pub(crate) fn look_at(token: &str) {
    if let Ok(parts) = compact::Compact::parse(token) {
        assert!(token.starts_with(parts.message), "what is signed is what was sent");
        let _ = parts.claims();
    }
}

#[cfg(test)]
mod tests;
mod verified;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use http::request::Parts;

pub(crate) use claims::{AdminRole, Audience, Rules};
pub(crate) use fetch::{FetchError, Source, is_safe_address};
pub(crate) use jwks::Pace;

use super::{AuthError, Authenticator, Principal, bearer};
use compact::Compact;
use jwks::{Jwks, KeyError};
use verified::Verified;

/// Whether what an invocation says about its caller may be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// A socket: a request is its headers and nothing more.
    #[default]
    Listener,
    /// A socket of the program that embeds the service; where it listens is that program's affair.
    Embedded,
    /// Lambda: the context that comes with the invocation is API Gateway's word, not the client's.
    Lambda,
}

/// Accepts the tokens of one issuer.
pub(crate) struct JwtAuthenticator {
    kind: &'static str,
    rules: Rules,
    jwks: Arc<Jwks>,
    verified: Verified,
    host: Host,
}

impl JwtAuthenticator {
    /// Does no I/O; see [`Self::keep_fresh`].
    pub(crate) fn new(
        kind: &'static str,
        rules: Rules,
        keys: Source,
        pace: Pace,
        host: Host,
    ) -> Result<Self, FetchError> {
        let jwks = Arc::new(Jwks::new(keys, pace)?);
        Ok(Self { kind, rules, jwks, verified: Verified::default(), host })
    }

    /// Keeps the issuer's keys fresh in the background, from now on; on Lambda, where the authorizer has mostly checked
    /// the token already and a cold start should do nothing in vain, the first request that needs them fetches them.
    pub(crate) fn keep_fresh(&self) {
        self.jwks.keep_fresh(match self.host {
            Host::Listener | Host::Embedded => jwks::Begin::Now,
            Host::Lambda => jwks::Begin::Due,
        });
    }

    /// Who a token is for.
    pub(crate) async fn verify(&self, token: &str) -> Result<Principal, AuthError> {
        let now = seconds_since_1970();
        let fingerprint = Verified::fingerprint(token);
        let withdrawn = self.jwks.withdrawn();
        if let Some(known) = self.verified.get(&fingerprint, withdrawn, now) {
            return Ok(known.principal);
        }
        let parts = Compact::parse(token).map_err(refused)?;
        let key = match self.jwks.find(parts.key_id.as_deref(), parts.algorithm).await {
            Ok(key) => key,
            Err(KeyError::Refused(reason)) => return Err(refused(reason)),
            Err(KeyError::Unavailable { retry_after }) => return Err(AuthError::Unavailable { retry_after }),
        };
        if !key.verifies(parts.message, parts.signature) {
            return Err(refused("signature_wrong"));
        }
        let claims = parts.claims().map_err(refused)?;
        let signed_in = self.rules.check(parts.kind, &claims, now).map_err(refused)?;
        self.verified.remember(fingerprint, signed_in.clone(), withdrawn, now);
        Ok(signed_in.principal)
    }
}

fn refused(reason: &'static str) -> AuthError {
    AuthError::Unauthorized { reason }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

#[async_trait]
impl Authenticator for JwtAuthenticator {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Principal, AuthError> {
        if self.host == Host::Lambda
            && let Some(claims) = gateway::claims(parts)
        {
            return self.rules.check_authorized(&claims).map_err(refused);
        }
        self.verify(bearer::token(&parts.headers)?).await
    }
}
