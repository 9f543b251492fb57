//! What every request passes that is somebody's: the limits on its address, sign-in, the limits on the user.

use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use http::request::Parts;

use super::problem::Problem;
use crate::app::AppState;
use crate::auth::Principal;
use crate::limits::{LimitsConfig, RateLimits, client_address};

/// What a body may be. Beside each request, for [`super::json::Json`].
#[derive(Clone, Copy, Debug)]
pub struct BodyRules {
    /// The largest size, in bytes.
    pub bytes: usize,
    /// The time in which it must arrive.
    pub time: Duration,
    /// How deep JSON may be nested.
    pub depth: u32,
}

impl Default for BodyRules {
    fn default() -> Self {
        Self { bytes: 2 * 1_024 * 1_024, time: Duration::from_secs(30), depth: 64 }
    }
}

/// The limits on requests.
#[derive(Debug)]
pub struct Guard {
    rates: RateLimits,
    trusted_proxies: u8,
    /// What a body may be.
    pub body: BodyRules,
}

impl Guard {
    /// `sign_in` says whether people sign in.
    #[must_use]
    pub fn new(limits: &LimitsConfig, sign_in: bool, body_bytes: usize) -> Self {
        Self {
            rates: RateLimits::new(limits, sign_in),
            trusted_proxies: limits.trusted_proxies,
            body: BodyRules {
                bytes: body_bytes,
                time: Duration::from_secs(limits.read_seconds.max(1).into()),
                depth: limits.json_depth,
            },
        }
    }
}

/// Naming `Principal` in a handler's arguments is what signs its caller in; the body is read only after that.
impl FromRequestParts<AppState> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let address = client_address(parts, state.guard.trusted_proxies);
        state.guard.rates.check_address(address)?;
        let mut principal = state.auth.authenticate(parts).await?;
        state.guard.rates.check_user(principal.owner())?;
        principal.address = address;
        Ok(principal)
    }
}

/// An administrator. Whoever is none learns nothing, not even that there is such a route.
#[derive(Clone, Debug)]
pub struct Admin(pub Principal);

impl Admin {
    /// Somebody whose conversations the administrator handles.
    #[must_use]
    pub fn subject(&self, user: &str) -> Principal {
        Principal::user(user)
    }
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        if principal.admin {
            return Ok(Self(principal));
        }
        // The route's pattern: an address may hold any text.
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let caller = principal.owner().segment_or_anonymous();
        tracing::warn!(target: "loquat::audit", caller, route, "somebody who is no administrator asked for more");
        Err(Problem::not_found())
    }
}
