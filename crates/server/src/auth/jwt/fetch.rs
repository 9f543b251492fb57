//! How an issuer's keys are fetched: from a known address, or from where its discovery document says.

use std::time::Duration;

use serde::Deserialize;

use super::keys::KeySet;

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 256 * 1_024;

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A JSON Web Key Set at this address.
    Keys(String),
    /// Wherever this issuer's `/.well-known/openid-configuration` says.
    Discovery {
        /// The issuer.
        issuer: String,
    },
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no HTTP client: {0}")]
    Client(String),
    #[error("{0}")]
    Network(&'static str),
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is longer than {MAX_ANSWER} bytes")]
    TooLong,
    #[error("the keys: {0}")]
    Keys(&'static str),
    #[error("the discovery document: {0}")]
    Discovery(&'static str),
}

/// Fetches the keys of one issuer.
#[derive(Debug)]
pub(crate) struct Fetcher {
    source: Source,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(crate) fn new(source: Source) -> Result<Self, FetchError> {
        crate::tls::install();
        let (Source::Keys(address) | Source::Discovery { issuer: address }) = &source;
        let mut client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .connect_timeout(Duration::from_secs(3))
            // An answer that points elsewhere is not the issuer's word.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(address) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| FetchError::Client(error.to_string()))?;
        Ok(Self { source, client })
    }

    pub(crate) async fn fetch(&self) -> Result<KeySet, FetchError> {
        let keys = match &self.source {
            Source::Keys(address) => self.get(address).await?,
            Source::Discovery { issuer } => {
                let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let document: Document = serde_json::from_slice(&self.get(&address).await?)
                    .map_err(|_| FetchError::Discovery("not as it should be"))?;
                if document.issuer != *issuer {
                    return Err(FetchError::Discovery("it is another issuer's"));
                }
                if !is_safe_address(&document.jwks_uri) {
                    return Err(FetchError::Discovery("its keys are at an address without TLS"));
                }
                self.get(&document.jwks_uri).await?
            }
        };
        KeySet::read(&keys).map_err(FetchError::Keys)
    }

    async fn get(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let mut answer = self.client.get(address).send().await.map_err(|error| network(&error))?;
        if !answer.status().is_success() {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| network(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn network(error: &reqwest::Error) -> FetchError {
    FetchError::Network(if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else if error.is_builder() {
        "not an address"
    } else {
        "the answer was cut off"
    })
}

/// Whether keys may be fetched from an address: with TLS, or from this machine.
pub(crate) fn is_safe_address(address: &str) -> bool {
    address.starts_with("https://") || is_loopback(address)
}

fn is_loopback(address: &str) -> bool {
    let Ok(address) = reqwest::Url::parse(address) else { return false };
    if !matches!(address.scheme(), "http" | "https") {
        return false;
    }
    match address.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for address in [
            "https://issuer.example/keys",
            "http://127.0.0.1:9229/p/jwks.json",
            "http://[::1]:1/",
            "http://localhost/k",
        ] {
            assert!(is_safe_address(address), "{address}");
        }
        for address in [
            "http://issuer.example/keys",
            "http://127.0.0.1.example/",
            "file:///etc/passwd",
            "http://localhost@evil.example/",
            "",
        ] {
            assert!(!is_safe_address(address), "{address}");
        }
    }
}
