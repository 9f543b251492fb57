//! OAuth 2 client credentials for HTTP servers: a token is fetched when it is first needed, kept until shortly before
//! it expires, and fetched anew once when the server refuses it.

use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::tools::config::OAuthConfig;

/// A token is not used in its last moments.
const MARGIN: Duration = Duration::from_secs(30);
/// A token that does not say when it expires.
const UNKNOWN_LIFE: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(15);

/// Fetches and keeps tokens.
pub(super) struct TokenSource {
    config: OAuthConfig,
    resource: String,
    client: reqwest::Client,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: Option<(String, Instant)>,
    endpoint: Option<String>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct ResourceMetadata {
    #[serde(default)]
    authorization_servers: Vec<String>,
}

#[derive(Deserialize)]
struct ServerMetadata {
    token_endpoint: String,
}

impl TokenSource {
    pub(super) fn new(config: OAuthConfig, resource: &str, client: reqwest::Client) -> Self {
        Self { config, resource: resource.to_owned(), client, kept: Mutex::default() }
    }

    /// A token; not `refused`, which the server did not take.
    pub(super) async fn token(&self, refused: Option<&str>) -> Result<String, String> {
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = &kept.token
            && *until > Instant::now()
            && refused != Some(token.as_str())
        {
            return Ok(token.clone());
        }
        let endpoint = match (&self.config.token_url, &kept.endpoint) {
            (Some(endpoint), _) | (None, Some(endpoint)) => endpoint.clone(),
            (None, None) => self.discover().await?,
        };
        let answer = self.fetch(&endpoint).await?;
        let life = answer.expires_in.map_or(UNKNOWN_LIFE, Duration::from_secs).saturating_sub(MARGIN);
        kept.token = Some((answer.access_token.clone(), Instant::now() + life));
        kept.endpoint = Some(endpoint);
        Ok(answer.access_token)
    }

    /// Asks for a token, the client's secret in the header; a server that takes it only in the body gets a second try.
    async fn fetch(&self, endpoint: &str) -> Result<TokenAnswer, String> {
        let encode = |text: &str| form_urlencoded(&[("", text)]).trim_start_matches('=').to_owned();
        let secret = self.config.client_secret.expose();
        let basic = base64::engine::general_purpose::STANDARD.encode(format!(
            "{}:{}",
            encode(&self.config.client_id),
            encode(secret)
        ));
        let mut form = vec![("grant_type", "client_credentials")];
        if let Some(scope) = &self.config.scope {
            form.push(("scope", scope));
        }
        if let Some(audience) = &self.config.audience {
            form.push(("audience", audience));
        }
        form.push(("resource", &self.resource));
        let by_header = self.post(endpoint, &form, Some(&basic)).await?;
        let status = by_header.status();
        let answer = if matches!(status.as_u16(), 400 | 401) {
            form.extend([("client_id", self.config.client_id.as_str()), ("client_secret", secret)]);
            self.post(endpoint, &form, None).await?
        } else {
            by_header
        };
        if !answer.status().is_success() {
            return Err(format!("the token endpoint answered {}", answer.status()));
        }
        answer.json().await.map_err(|_| "the token endpoint's answer could not be read".to_owned())
    }

    async fn post(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
        basic: Option<&str>,
    ) -> Result<reqwest::Response, String> {
        let mut request = self
            .client
            .post(endpoint)
            .timeout(TIMEOUT)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json")
            .body(form_urlencoded(form));
        if let Some(basic) = basic {
            request = request.header(http::header::AUTHORIZATION, format!("Basic {basic}"));
        }
        request
            .send()
            .await
            .map_err(|error| format!("the token endpoint could not be reached: {}", error.without_url()))
    }

    /// The token endpoint, from the server's protected-resource metadata (RFC 9728) and the metadata of the
    /// authorization server it names (RFC 8414, or OpenID Connect's).
    async fn discover(&self) -> Result<String, String> {
        let resource = Url::parse(&self.resource).map_err(|error| error.to_string())?;
        let mut issuer = resource.origin().ascii_serialization();
        for url in well_known(&resource, "oauth-protected-resource") {
            if let Some(metadata) = self.metadata::<ResourceMetadata>(&url).await {
                if let Some(first) = metadata.authorization_servers.into_iter().next() {
                    issuer = first;
                }
                break;
            }
        }
        let issuer = Url::parse(&issuer).map_err(|error| error.to_string())?;
        for kind in ["oauth-authorization-server", "openid-configuration"] {
            for url in well_known(&issuer, kind) {
                if let Some(metadata) = self.metadata::<ServerMetadata>(&url).await {
                    return Ok(metadata.token_endpoint);
                }
            }
        }
        Err("the token endpoint could not be discovered; set token_url".to_owned())
    }

    async fn metadata<T: for<'de> Deserialize<'de>>(&self, url: &str) -> Option<T> {
        let answer = self.client.get(url).timeout(TIMEOUT).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }
}

/// Where a document about `url` can be: the path inserted after the well-known part, at its end, at the root.
fn well_known(url: &Url, kind: &str) -> Vec<String> {
    let origin = url.origin().ascii_serialization();
    let path = url.path().trim_end_matches('/');
    let root = format!("{origin}/.well-known/{kind}");
    if path.is_empty() {
        return vec![root];
    }
    vec![format!("{root}{path}"), format!("{origin}{path}/.well-known/{kind}"), root]
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
