//! What the claims of a token must say for it to count as a sign-in here.

use serde_json::{Map, Value};

use super::compact::{Kind, Refusal};
use crate::auth::Principal;

/// How far the clocks of issuer and server may be apart, in seconds.
pub(crate) const LEEWAY_SECONDS: f64 = 60.0;

/// How a token says for whom it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// `aud` names one of these; `azp`, where it is there, too.
    Aud(Vec<String>),
    /// `client_id` is this: Cognito's access tokens have no `aud`.
    ClientId(String),
}

/// The rules of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// `iss`, to the byte.
    pub(crate) issuer: String,
    /// For whom the token must be.
    pub(crate) audience: Audience,
    /// Cognito's `token_use`, where it is required.
    pub(crate) token_use: Option<&'static str>,
    /// Whether a token that says it is an access token (`typ`) is welcome.
    pub(crate) access_tokens: bool,
    /// The claim that is the user's id.
    pub(crate) user_claim: String,
    /// The claim that lists roles, and the role that opens the administration routes.
    pub(crate) admin: Option<AdminRole>,
}

/// Who is an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminRole {
    /// The claim: its name, or the way to it through objects with dots between the names.
    pub(crate) claim: String,
    /// The value that it must list.
    pub(crate) value: String,
}

/// A sign-in, and how long it may be believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SignedIn {
    pub(crate) principal: Principal,
    /// When the token stops being good, leeway included, in seconds since 1970.
    pub(crate) until: f64,
}

impl Rules {
    /// Judges the claims of a token whose signature is good.
    ///
    /// `now` is in seconds since 1970.
    pub(crate) fn check(
        &self,
        kind: Kind,
        claims: &Map<String, Value>,
        now: f64,
    ) -> Result<SignedIn, Refusal> {
        if kind == Kind::Access && !self.access_tokens {
            return Err("typ_access_token");
        }
        self.check_issuer(claims)?;
        let expires = number(claims, "exp", "exp_malformed")?.ok_or("exp_missing")?;
        if now >= expires + LEEWAY_SECONDS {
            return Err("exp_past");
        }
        if number(claims, "nbf", "nbf_malformed")?.is_some_and(|start| start > now + LEEWAY_SECONDS) {
            return Err("nbf_future");
        }
        if number(claims, "iat", "iat_malformed")?.is_some_and(|issued| issued > now + LEEWAY_SECONDS) {
            return Err("iat_future");
        }
        self.check_use(claims)?;
        self.check_audience(claims)?;
        Ok(SignedIn { principal: self.principal(claims)?, until: expires + LEEWAY_SECONDS })
    }

    /// Judges claims that an authorizer in front of this program has verified already. Times were its business (and
    /// reach us as text for people); for whom the token is remains ours, since an authorizer may serve several clients.
    pub(crate) fn check_authorized(&self, claims: &Map<String, Value>) -> Result<Principal, Refusal> {
        self.check_issuer(claims)?;
        self.check_use(claims)?;
        self.check_audience(claims)?;
        self.principal(claims)
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let issuer = text(claims, "iss", "iss_malformed")?.ok_or("iss_missing")?;
        if issuer == self.issuer { Ok(()) } else { Err("iss_wrong") }
    }

    fn check_use(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let Some(wanted) = self.token_use else { return Ok(()) };
        let used = text(claims, "token_use", "token_use_malformed")?.ok_or("token_use_missing")?;
        if used == wanted { Ok(()) } else { Err("token_use_wrong") }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        let ours = match &self.audience {
            Audience::ClientId(client) => {
                let client_id = text(claims, "client_id", "client_malformed")?.ok_or("client_missing")?;
                return if client_id == client { Ok(()) } else { Err("client_wrong") };
            }
            Audience::Aud(ours) => ours,
        };
        let named = match claims.get("aud") {
            None | Some(Value::Null) => return Err("aud_missing"),
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several
                .iter()
                .map(Value::as_str)
                .collect::<Option<Vec<_>>>()
                .filter(|several| !several.is_empty())
                .ok_or("aud_malformed")?,
            Some(_) => return Err("aud_malformed"),
        };
        if !named.iter().any(|name| ours.iter().any(|our| our == name)) {
            return Err("aud_wrong");
        }
        // With one audience the authorised party is the provider's own affair; with several it says which one asked.
        if named.len() > 1
            && let Some(party) = text(claims, "azp", "azp_malformed")?
            && !ours.iter().any(|our| our == party)
        {
            return Err("azp_wrong");
        }
        Ok(())
    }

    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, Refusal> {
        let user = text(claims, &self.user_claim, "user_malformed")?.ok_or("user_missing")?;
        if user.trim().is_empty() || user.len() > 512 || user.chars().any(char::is_control) {
            return Err("user_malformed");
        }
        let mut principal = Principal::user(user);
        principal.admin = self.admin.as_ref().is_some_and(|role| role.is_held(claims));
        Ok(principal)
    }
}

impl AdminRole {
    fn is_held(&self, claims: &Map<String, Value>) -> bool {
        let roles = claims.get(&self.claim).or_else(|| {
            let mut names = self.claim.split('.');
            let first = claims.get(names.next()?)?;
            names.try_fold(first, |object, name| object.get(name))
        });
        match roles {
            Some(Value::Array(roles)) => roles.iter().any(|role| role == self.value.as_str()),
            // API Gateway hands a list over as text: `[a b]` (HTTP API) or `a,b` (REST API).
            Some(Value::String(roles)) => roles
                .trim_start_matches('[')
                .trim_end_matches(']')
                .split([',', ' '])
                .any(|role| role == self.value),
            _ => false,
        }
    }
}

fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &str,
    malformed: Refusal,
) -> Result<Option<&'a str>, Refusal> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed),
    }
}

/// A time in seconds since 1970; whole or not (RFC 7519 allows both), but never text and never negative.
fn number(claims: &Map<String, Value>, name: &str, malformed: Refusal) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
            _ => Err(malformed),
        },
    }
}
