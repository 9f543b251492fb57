//! Everything that speaks OpenAI's chat completions: OpenAI, vLLM, llama.cpp, LM Studio, Ollama, and many more.

mod chunk;
mod decode;
mod error;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loquat_agent::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest, Params};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Map, Value};

use super::build::{BuildError, headers};
use super::config::{ModelConfig, Provider, Timeouts};
use super::failure::Words;
use super::http::{self, Http};
use super::params;
use crate::secret::Secret;

const OPENAI: &str = "https://api.openai.com/v1";
const OLLAMA: &str = "127.0.0.1:11434";

/// A model behind a chat completions endpoint.
pub(super) struct OpenAi {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    /// The provider's own name of the model.
    model: String,
    /// Who answers, in messages.
    provider: Arc<str>,
    url: Url,
    /// Whose settings it has: OpenAI's, or those of Ollama, which knows fewer.
    kind: Provider,
    /// Whether it is OpenAI itself.
    openai: bool,
    key: Option<Secret>,
    key_name: &'static str,
    headers: HeaderMap,
    params: Params,
    extra: Map<String, Value>,
    timeouts: Timeouts,
    http: Arc<Http>,
    /// See [`request::Dialect::echo_reasoning`]; learned from the server's own answers.
    echoes: Arc<AtomicBool>,
}

impl OpenAi {
    /// A model of `config`, which names `provider` ([`Provider::OpenAi`] or [`Provider::Ollama`]).
    pub(super) fn new(
        config: &ModelConfig,
        provider: Provider,
        model: &str,
        http: Arc<Http>,
    ) -> Result<Self, BuildError> {
        let base = config.base_url.as_deref().map(str::trim).filter(|base| !base.is_empty());
        let base = match provider {
            Provider::Ollama => ollama_base(base.unwrap_or(OLLAMA)),
            _ => base.unwrap_or(OPENAI).to_owned(),
        };
        let url = http::endpoint(&base, "chat/completions")
            .map_err(|reason| BuildError::BaseUrl { id: config.id.clone(), reason })?;
        let openai = url.host_str() == Some("api.openai.com");
        if openai && config.api_key.is_none() {
            return Err(BuildError::NoKey { id: config.id.clone(), name: "OPENAI_API_KEY" });
        }
        let name: Arc<str> = match provider {
            Provider::Ollama => "Ollama".into(),
            _ if openai => "OpenAI".into(),
            _ => format!("the model server at {}", http::authority(&url)).into(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                name: config.id.clone(),
                model: model.to_owned(),
                provider: name,
                kind: provider,
                url,
                openai,
                key: config.api_key.clone(),
                key_name: "OPENAI_API_KEY (or api_key of this model in loquat.toml)",
                headers: headers(config)?,
                params: config.params.clone(),
                extra: config.extra.clone(),
                timeouts: config.timeouts,
                http,
                echoes: Arc::new(AtomicBool::new(false)),
            }),
        })
    }
}

/// `OLLAMA_HOST` is a host, a host and port, or a URL, and may be the address Ollama listens at.
fn ollama_base(host: &str) -> String {
    let host = host.trim_end_matches('/');
    let (scheme, rest) = host.split_once("://").unwrap_or(("http", host));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let mut authority = authority.replacen("0.0.0.0", "127.0.0.1", 1);
    if authority.starts_with(':') {
        authority.insert_str(0, "127.0.0.1");
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !has_port && !host.contains("://") {
        authority.push_str(":11434");
    }
    match path {
        "" => format!("{scheme}://{authority}/v1"),
        path => format!("{scheme}://{authority}/{path}"),
    }
}

impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn accepts(&self, params: &Params) -> Result<(), ModelError> {
        let Shared { kind, model, params: configured, .. } = &*self.shared;
        params::of_call(*kind, model, params, configured).map(drop)
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
        let params = params::of_call(self.kind, &self.model, &request.params, &self.params)?;
        let dialect = request::Dialect {
            openai: self.openai,
            echo_reasoning: !self.openai && self.echoes.load(Ordering::Relaxed),
        };
        let body = request::body(&self.model, &request, &params, &self.extra, dialect)?;
        // The request is not needed while the answer is read: a long conversation is megabytes.
        drop(request);
        let body = serde_json::to_vec(&body)
            .map_err(|error| ModelError::new(ModelErrorKind::Internal, error.to_string()))?;
        let mut call = self
            .http
            .client(&self.url, self.timeouts.connect)?
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .headers(self.headers.clone())
            .body(body);
        if let Some(key) = &self.key {
            call = call.bearer_auth(key.expose());
        }
        let words = Words {
            provider: &self.provider,
            model: &self.model,
            key: Some(self.key_name),
            secret: self.key.as_ref(),
        };
        let response = http::send(call, &self.url, self.timeouts, &self.provider, |status, body| {
            error::refused(&words, status, body)
        })
        .await?;
        let decoder = decode::Decoder::new(Arc::clone(&self.provider), Arc::clone(&self.echoes));
        Ok(http::events(response.bytes_stream().boxed(), decoder, self.timeouts))
    }
}
