//! From configuration to a model.

use std::sync::Arc;

use loquat_agent::model::Model;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::anthropic::Anthropic;
use super::bedrock::Bedrock;
use super::config::{ModelConfig, Provider};
use super::http::Http;
use super::marked::Marked;
use super::openai::OpenAi;
use super::params::{self, ParamError};
use super::resilience::{Candidate, Resilient};
use crate::aws::{self, AwsLoader};

/// Makes the model that runs inside this process.
pub type LocalFactory = dyn Fn(&ModelConfig) -> Result<Arc<dyn Model>, BuildError> + Send + Sync;

/// What models share.
#[derive(Clone, Default)]
pub struct BuildContext {
    /// Connections.
    pub http: Arc<Http>,
    /// The AWS configuration of the process; one of its own is made if it is not given.
    pub aws: Option<AwsLoader>,
    /// How to make a `local/…` model; `None` in a build without it.
    pub local: Option<Arc<LocalFactory>>,
}

/// Why a configured model cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No model at all.
    #[error("no model is configured")]
    None,
    /// The id has a prefix and nothing after it.
    #[error("the model \"{id}\" has no name after its prefix")]
    NoName {
        /// The configured id.
        id: String,
    },
    /// This build has no embedded model.
    #[error("the model \"{id}\" needs a build with the feature local-model")]
    NoLocal {
        /// The configured id.
        id: String,
    },
    /// A parameter cannot be sent.
    #[error("the model \"{id}\": {error}")]
    Param {
        /// The configured id.
        id: String,
        /// Which and why.
        #[source]
        error: ParamError,
    },
    /// The base URL is wrong.
    #[error("the base URL of the model \"{id}\" is wrong: {reason}")]
    BaseUrl {
        /// The configured id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The provider needs a key.
    #[error("the model \"{id}\" needs a key: set {name}, or api_key of this model in loquat.toml")]
    NoKey {
        /// The configured id.
        id: String,
        /// The variable that holds it.
        name: &'static str,
    },
    /// A configured header is not one.
    #[error("the model \"{id}\": the header \"{name}\" cannot be sent")]
    Header {
        /// The configured id.
        id: String,
        /// Its name; the value may be secret.
        name: String,
    },
    /// An option of the provider has a value it does not know.
    #[error("the model \"{id}\": {name} must be {expected}")]
    Option {
        /// The configured id.
        id: String,
        /// The option.
        name: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// The embedded model cannot be made.
    #[error("the model \"{id}\": {reason}")]
    Local {
        /// The configured id.
        id: String,
        /// Why.
        reason: String,
    },
}

/// Makes the model of `configs`: the first, and the others as its fallbacks. Opens no connection.
pub fn build(configs: &[ModelConfig], cx: &BuildContext) -> Result<Arc<dyn Model>, BuildError> {
    if configs.is_empty() {
        return Err(BuildError::None);
    }
    let candidates = configs
        .iter()
        .map(|config| {
            let model = one(config, cx)?;
            let model: Arc<dyn Model> = match Provider::of(config.id.trim()).0 {
                // It makes a prompt of its own of a tool's answer, and calls the clock and the calculator alone.
                Provider::Local => model,
                _ => Arc::new(Marked::new(model)),
            };
            Ok(Candidate { model, retry: config.retry, server: server(config) })
        })
        .collect::<Result<Vec<_>, BuildError>>()?;
    Ok(Arc::new(Resilient::new(candidates)))
}

/// Host and port of a configured address.
fn server(config: &ModelConfig) -> Option<(String, u16)> {
    let url = url::Url::parse(config.base_url.as_deref()?).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// Makes one model, without retries and fallbacks.
pub(super) fn one(config: &ModelConfig, cx: &BuildContext) -> Result<Arc<dyn Model>, BuildError> {
    let id = || config.id.clone();
    let (provider, model) = Provider::of(config.id.trim());
    if model.is_empty() {
        return Err(BuildError::NoName { id: id() });
    }
    params::check(provider, model, &config.params).map_err(|error| BuildError::Param { id: id(), error })?;
    let http = Arc::clone(&cx.http);
    match provider {
        Provider::OpenAi | Provider::Ollama => Ok(Arc::new(OpenAi::new(config, provider, model, http)?)),
        Provider::Local => match &cx.local {
            Some(make) => make(config),
            None => Err(BuildError::NoLocal { id: id() }),
        },
        Provider::Anthropic => Ok(Arc::new(Anthropic::new(config, model, http)?)),
        Provider::Bedrock => {
            Ok(Arc::new(Bedrock::new(config, model, cx.aws.clone().unwrap_or_else(|| aws::loader(None)))?))
        }
    }
}

/// The configured headers.
pub(super) fn headers(config: &ModelConfig) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = || BuildError::Header { id: config.id.clone(), name: name.clone() };
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?, value);
    }
    Ok(headers)
}
