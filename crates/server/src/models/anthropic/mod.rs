//! Anthropic's Messages API.

mod decode;
mod error;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loquat_agent::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest, Params};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Map, Value};

use super::build::{BuildError, headers};
use super::config::{ModelConfig, PromptCache, Provider, Timeouts};
use super::failure::Words;
use super::http::{self, Http};
use super::params;
use crate::secret::Secret;

const ANTHROPIC: &str = "https://api.anthropic.com";
const VERSION: &str = "2023-06-01";

/// A model of Anthropic, or of a server that speaks its protocol.
pub(super) struct Anthropic {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    model: String,
    provider: String,
    url: Url,
    key: Option<Secret>,
    headers: HeaderMap,
    params: Params,
    extra: Map<String, Value>,
    cache: bool,
    timeouts: Timeouts,
    http: Arc<Http>,
}

impl Anthropic {
    pub(super) fn new(config: &ModelConfig, model: &str, http: Arc<Http>) -> Result<Self, BuildError> {
        let base = config.base_url.as_deref().map(str::trim).filter(|base| !base.is_empty());
        // The SDKs' variable holds the address without the version; people write it with one as well.
        let base = base.unwrap_or(ANTHROPIC).trim_end_matches('/').trim_end_matches("/v1");
        let url = http::endpoint(base, "v1/messages")
            .map_err(|reason| BuildError::BaseUrl { id: config.id.clone(), reason })?;
        let official = url.host_str() == Some("api.anthropic.com");
        if official && config.api_key.is_none() {
            return Err(BuildError::NoKey { id: config.id.clone(), name: "ANTHROPIC_API_KEY" });
        }
        let provider = if official {
            "Anthropic".to_owned()
        } else {
            format!("the model server at {}", http::authority(&url))
        };
        Ok(Self {
            shared: Arc::new(Shared {
                name: config.id.clone(),
                model: model.to_owned(),
                provider,
                url,
                key: config.api_key.clone(),
                headers: headers(config)?,
                params: config.params.clone(),
                extra: config.extra.clone(),
                cache: config.prompt_cache != PromptCache::Off,
                timeouts: config.timeouts,
                http,
            }),
        })
    }
}

impl Model for Anthropic {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn accepts(&self, params: &Params) -> Result<(), ModelError> {
        let shared = &self.shared;
        params::of_call(Provider::Anthropic, &shared.model, params, &shared.params).map(drop)
    }

    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let shared = Arc::clone(&self.shared);
        futures_util::stream::once(async move { shared.open(request).await }).try_flatten().boxed()
    }
}

impl Shared {
    async fn open(
        &self,
        request: ModelRequest,
    ) -> Result<BoxStream<'static, Result<ModelEvent, ModelError>>, ModelError> {
        let params = params::of_call(Provider::Anthropic, &self.model, &request.params, &self.params)?;
        let body = request::body(&self.name, &self.model, &request, &params, &self.extra, self.cache)?;
        // The request is not needed while the answer is read: a long conversation is megabytes.
        drop(request);
        let body = serde_json::to_vec(&body)
            .map_err(|error| ModelError::new(ModelErrorKind::Internal, error.to_string()))?;
        let mut call = self
            .http
            .client(&self.url, self.timeouts.connect)?
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("anthropic-version", VERSION)
            .headers(self.headers.clone())
            .body(body);
        if let Some(key) = &self.key {
            let mut value = HeaderValue::from_str(key.expose()).map_err(|_| {
                ModelError::new(ModelErrorKind::Auth, "the key of Anthropic holds characters no key has")
            })?;
            value.set_sensitive(true);
            call = call.header("x-api-key", value);
        }
        let words = Words {
            provider: &self.provider,
            model: &self.model,
            key: Some("ANTHROPIC_API_KEY (or api_key of this model in loquat.toml)"),
            secret: self.key.as_ref(),
        };
        let response = http::send(call, &self.url, self.timeouts, &self.provider, |status, body| {
            error::refused(&words, status, body)
        })
        .await?;
        let decoder = decode::Decoder::new(self.provider.clone());
        Ok(http::events(response.bytes_stream().boxed(), decoder, self.timeouts))
    }
}
