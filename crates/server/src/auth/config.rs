//! How people sign in, as it is configured; and the authenticator that follows from it.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::api_key::{ApiKeyAuthenticator, KeyFile, NamedKey};
use super::jwt::{AdminRole, Audience, Host, JwtAuthenticator, Pace, Rules, Source, is_safe_address};
use super::{Authenticator, NoSignIn};

/// How people sign in (`AUTH_TYPE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AuthType {
    /// Nobody signs in.
    #[default]
    #[serde(alias = "none")]
    None,
    /// With Amazon Cognito.
    #[serde(alias = "cognito")]
    Cognito,
    /// With any OpenID Connect provider.
    #[serde(alias = "oidc")]
    Oidc,
    /// With named keys of this server.
    #[serde(alias = "api_key", alias = "apikey")]
    ApiKey,
}

/// Which of a provider's tokens the API takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiToken {
    /// The id token, as API Gateway's Cognito authorizer wants it.
    #[default]
    Id,
    /// The access token.
    Access,
}

/// Where the web page signs people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Login {
    /// On the provider's page.
    Redirect,
    /// On a form of ours.
    Form,
}

/// The `[auth]` table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// How people sign in (`AUTH_TYPE`).
    #[serde(rename = "type")]
    pub kind: AuthType,
    /// Cognito: the user pool (`USER_POOL_ID`), such as `eu-west-1_AbCdEfGhI`.
    pub user_pool_id: Option<String>,
    /// Cognito: the app client (`USER_POOL_CLIENT_ID`).
    pub user_pool_client_id: Option<String>,
    /// The issuer (`LOQUAT_ISSUER`), as in the `iss` claim. Cognito: only to override what follows from the pool.
    pub issuer: Option<String>,
    /// Where the issuer's keys are (`LOQUAT_JWKS_URL`), if not where the issuer says.
    pub jwks_url: Option<String>,
    /// OpenID Connect: for whom tokens must be; one of these. By default the client id.
    pub audience: Vec<String>,
    /// OpenID Connect: the client id of the web page.
    pub client_id: Option<String>,
    /// The scopes that the web page asks for.
    pub scope: Option<String>,
    /// Which token the API takes.
    pub api_token: ApiToken,
    /// The claim that is the user's id; `sub` by default. It must never change hands.
    pub user_claim: Option<String>,
    /// The claim that lists a user's roles, with dots for objects within objects. Cognito: `cognito:groups` by default.
    pub admin_claim: Option<String>,
    /// The role that opens the administration routes: `admin` where `admin_claim` is set. Nobody has it unless one of the
    /// two is.
    pub admin_role: Option<String>,
    /// Where the page signs people in; by default the provider's own page, and a form of ours for a pool without a
    /// managed-login domain.
    pub login: Option<Login>,
    /// Cognito: the domain of managed login.
    pub domain: Option<String>,
    /// Cognito: the address of its API, if not AWS's (emulators).
    pub user_pool_endpoint: Option<String>,
    /// Keys that are not in the file of `loquat keys`, such as on Lambda: name and SHA-256.
    pub keys: Vec<NamedKey>,
}

/// What is wrong with the `[auth]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auth.{key}: {expected}")]
pub struct AuthConfigError {
    /// The key that is wrong or missing.
    pub key: &'static str,
    /// What was expected.
    pub expected: String,
}

fn wrong<T>(key: &'static str, expected: impl Into<String>) -> Result<T, AuthConfigError> {
    Err(AuthConfigError { key, expected: expected.into() })
}

impl AuthConfig {
    /// Makes the authenticator. Keys of an issuer are fetched in the background from here on, so this must be called
    /// within a Tokio runtime; that they cannot be had is a warning in the log, not an error.
    ///
    /// `data_dir` is where `loquat keys` keeps its file.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn build(
        &self,
        data_dir: Option<&Path>,
        host: Host,
    ) -> Result<Arc<dyn Authenticator>, AuthConfigError> {
        match self.kind {
            AuthType::None => Ok(Arc::new(NoSignIn)),
            AuthType::ApiKey => {
                let file = data_dir.map(KeyFile::within);
                Ok(Arc::new(ApiKeyAuthenticator::new(file, &self.keys)?))
            }
            AuthType::Cognito | AuthType::Oidc => {
                let jwt = self.jwt(host, Pace::default())?;
                jwt.keep_fresh();
                Ok(Arc::new(jwt))
            }
        }
    }

    /// Checks the table without building anything.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn check(&self) -> Result<(), AuthConfigError> {
        match self.kind {
            AuthType::None => Ok(()),
            AuthType::ApiKey => ApiKeyAuthenticator::new(None, &self.keys).map(drop),
            AuthType::Cognito | AuthType::Oidc => {
                self.issuer()?;
                self.rules()?;
                self.source().map(drop)
            }
        }
    }

    pub(crate) fn jwt(&self, host: Host, pace: Pace) -> Result<JwtAuthenticator, AuthConfigError> {
        let kind = if self.kind == AuthType::Cognito { "cognito" } else { "oidc" };
        JwtAuthenticator::new(kind, self.rules()?, self.source()?, pace, host)
            .map_err(|error| AuthConfigError { key: "jwks_url", expected: error.to_string() })
    }

    /// The issuer of the tokens; what the web page calls the authority.
    ///
    /// # Errors
    /// The setting that is missing.
    pub fn issuer(&self) -> Result<String, AuthConfigError> {
        if let Some(issuer) = set(self.issuer.as_deref()) {
            if !is_safe_address(issuer) {
                return wrong("issuer", "an https:// address (or http:// on this machine)");
            }
            return Ok(issuer.to_owned());
        }
        if self.kind != AuthType::Cognito {
            return wrong("issuer", "the address of the OpenID Connect provider (LOQUAT_ISSUER)");
        }
        let (pool, region) = self.pool()?;
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Ok(format!("https://cognito-idp.{region}.{domain}/{pool}"))
    }

    /// The pool's region, where it is a pool of AWS.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.pool().ok().map(|(_, region)| region)
    }

    fn pool(&self) -> Result<(&str, &str), AuthConfigError> {
        let expected = "a user pool id such as eu-west-1_AbCdEfGhI (USER_POOL_ID)";
        let Some(pool) = set(self.user_pool_id.as_deref()) else { return wrong("user_pool_id", expected) };
        let Some((region, name)) = pool.split_once('_') else { return wrong("user_pool_id", expected) };
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if plain(region) && plain(name) { Ok((pool, region)) } else { wrong("user_pool_id", expected) }
    }

    /// What the web page needs to know to sign people in: the `auth` member of `/config.json`. Nothing in it is secret.
    #[must_use]
    pub fn for_page(&self) -> serde_json::Value {
        use serde_json::json;

        let api_token = if self.api_token == ApiToken::Access { "access" } else { "id" };
        match self.kind {
            AuthType::None => json!({"type": "none"}),
            AuthType::ApiKey => json!({"type": "api_key"}),
            AuthType::Cognito => {
                let domain = set(self.domain.as_deref());
                let login =
                    self.login.unwrap_or(if domain.is_some() { Login::Redirect } else { Login::Form });
                json!({
                    "type": "cognito",
                    "authority": self.issuer().ok(),
                    "client_id": set(self.user_pool_client_id.as_deref()),
                    "scope": set(self.scope.as_deref()),
                    "api_token": api_token,
                    "region": self.region(),
                    "user_pool_id": set(self.user_pool_id.as_deref()),
                    "user_pool_client_id": set(self.user_pool_client_id.as_deref()),
                    "user_pool_endpoint": set(self.user_pool_endpoint.as_deref()),
                    "login": login,
                    "domain": domain,
                })
            }
            AuthType::Oidc => json!({
                "type": "oidc",
                "authority": self.issuer().ok(),
                "client_id": set(self.client_id.as_deref()).or_else(|| self.audience.first().map(String::as_str)),
                "scope": set(self.scope.as_deref()),
                "api_token": api_token,
                "login": Login::Redirect,
            }),
        }
    }

    /// The origins that the web page talks to in order to sign people in.
    #[must_use]
    pub fn page_connects_to(&self) -> Vec<String> {
        let mut addresses: Vec<String> = Vec::new();
        match self.kind {
            AuthType::None | AuthType::ApiKey => {}
            AuthType::Cognito | AuthType::Oidc => {
                addresses.extend(self.issuer().ok());
                addresses.extend(set(self.user_pool_endpoint.as_deref()).map(str::to_owned));
                addresses.extend(set(self.domain.as_deref()).map(|domain| {
                    if domain.contains("://") { domain.to_owned() } else { format!("https://{domain}") }
                }));
            }
        }
        let mut origins: Vec<String> = addresses
            .iter()
            .filter_map(|address| reqwest::Url::parse(address).ok())
            .map(|address| address.origin().ascii_serialization())
            .collect();
        origins.dedup();
        origins
    }

    fn source(&self) -> Result<Source, AuthConfigError> {
        if let Some(address) = set(self.jwks_url.as_deref()) {
            if !is_safe_address(address) {
                return wrong("jwks_url", "an https:// address (or http:// on this machine)");
            }
            return Ok(Source::Keys(address.to_owned()));
        }
        let issuer = self.issuer()?;
        Ok(if self.kind == AuthType::Cognito {
            Source::Keys(format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/')))
        } else {
            Source::Discovery { issuer }
        })
    }

    fn rules(&self) -> Result<Rules, AuthConfigError> {
        let cognito = self.kind == AuthType::Cognito;
        let access = self.api_token == ApiToken::Access;
        let audience = if cognito {
            let Some(client) = set(self.user_pool_client_id.as_deref()) else {
                return wrong("user_pool_client_id", "the id of the pool's app client (USER_POOL_CLIENT_ID)");
            };
            if access {
                Audience::ClientId(client.to_owned())
            } else {
                Audience::Aud(vec![client.to_owned()])
            }
        } else {
            let mut audience: Vec<String> =
                self.audience.iter().filter_map(|name| set(Some(name))).map(str::to_owned).collect();
            if audience.is_empty() {
                audience.extend(set(self.client_id.as_deref()).map(str::to_owned));
            }
            if audience.is_empty() {
                return wrong("audience", "for whom tokens must be: the client id, or the name of this API");
            }
            Audience::Aud(audience)
        };
        let token_use = match (cognito, access) {
            (true, true) => Some("access"),
            (true, false) => Some("id"),
            (false, _) => None,
        };
        let claim = set(self.admin_claim.as_deref());
        // Whoever names the claim wants the role; whoever names neither gives it to nobody.
        let admin = match set(self.admin_role.as_deref()).or(claim.and(Some("admin"))) {
            None => None,
            Some(value) => match claim.or(cognito.then_some("cognito:groups")) {
                Some(claim) => Some(AdminRole { claim: claim.to_owned(), value: value.to_owned() }),
                None => return wrong("admin_claim", "the claim that lists a user's roles"),
            },
        };
        let user_claim = set(self.user_claim.as_deref()).unwrap_or("sub").to_owned();
        Ok(Rules { issuer: self.issuer()?, audience, token_use, access_tokens: access, user_claim, admin })
    }
}

/// A setting that is there and not blank: templates leave variables empty.
fn set(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Result<AuthConfig, String> {
        toml::from_str(toml).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pool_says_who_the_issuer_is() {
        let cognito = |pool: &str| {
            config(&format!("type = 'Cognito'\nuser_pool_id = '{pool}'\nuser_pool_client_id = 'c'")).unwrap()
        };
        let pool = cognito("eu-west-1_AbC");
        assert_eq!(pool.issuer().unwrap(), "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC");
        assert_eq!(pool.region(), Some("eu-west-1"));
        assert_eq!(
            pool.source().unwrap(),
            Source::Keys(
                "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC/.well-known/jwks.json".into()
            )
        );
        assert_eq!(
            cognito("cn-north-1_A").issuer().unwrap(),
            "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_A"
        );
        for wrong in ["", "eu-west-1", "_x", "evil.example/_x", "eu-west-1_x/../y"] {
            assert_eq!(cognito(wrong).check().unwrap_err().key, "user_pool_id", "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (toml, key) in [
            ("type = 'Cognito'\nuser_pool_id = 'r_p'", "user_pool_client_id"),
            ("type = 'Oidc'\naudience = ['a']", "issuer"),
            ("type = 'Oidc'\nissuer = 'https://i.example'", "audience"),
            ("type = 'Oidc'\nissuer = 'http://i.example'\naudience = ['a']", "issuer"),
            (
                "type = 'Oidc'\nissuer = 'https://i.example'\naudience = ['a']\njwks_url = 'http://i.example/k'",
                "jwks_url",
            ),
            (
                "type = 'Oidc'\nissuer = 'https://i.example'\naudience = ['a']\nadmin_role = 'ops'",
                "admin_claim",
            ),
            ("type = 'ApiKey'\nkeys = [{ name = 'ci', sha256 = 'xyz' }]", "keys"),
        ] {
            assert_eq!(config(toml).unwrap().check().unwrap_err().key, key, "{toml}");
        }
        assert!(config("type = 'Kerberos'").unwrap_err().contains("Kerberos"));
        assert!(config("typ = 'None'").unwrap_err().contains("typ"));
        assert_eq!(config("").unwrap().check(), Ok(()));
    }
}
