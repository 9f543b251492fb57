//! Amazon Bedrock: the AWS SDK makes, signs and sends the request; the frames of its answer are read by [`stream`].

mod cache;
mod decode;
mod document;
mod error;
mod frame;
pub(super) mod reasoning;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::{StalledStreamProtectionConfig, Token};
use aws_sdk_bedrockruntime::types::ServiceTierType;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loquat_agent::model::{Model, ModelError, ModelEvent, ModelRequest, Params};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::body::silent;
use super::build::BuildError;
use super::config::{BedrockOptions, ModelConfig, PromptCache, Provider, Timeouts};
use super::{http, params};
use crate::aws::AwsLoader;
use crate::aws::connection::{Connections, KeptBody};
use crate::secret::Secret;
use crate::telemetry::scope;

const PROVIDER: &str = "Amazon Bedrock";

/// A model on Bedrock.
pub(super) struct Bedrock {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    /// An id, the id of an inference profile, or an ARN.
    model: String,
    endpoint: Option<String>,
    key: Option<Secret>,
    params: Params,
    extra: Map<String, Value>,
    cache: PromptCache,
    options: BedrockOptions,
    timeouts: Timeouts,
    aws: AwsLoader,
    /// Made at the first call: the SDK's search for region and credentials reads files and asks the network.
    client: OnceCell<Client>,
}

impl Bedrock {
    /// `aws` is the configuration shared with the rest of the process; a profile of the model's own replaces it.
    pub(super) fn new(config: &ModelConfig, model: &str, aws: AwsLoader) -> Result<Self, BuildError> {
        let options = &config.bedrock;
        let wrong = |name, expected| BuildError::Option { id: config.id.clone(), name, expected };
        if options.latency.as_deref().is_some_and(|latency| !matches!(latency, "standard" | "optimized")) {
            return Err(wrong("latency", "standard or optimized"));
        }
        let known = |tier: &str| ServiceTierType::values().contains(&tier);
        if options.service_tier.as_deref().is_some_and(|tier| !known(tier)) {
            return Err(wrong("service_tier", "default, priority, flex or reserved"));
        }
        let endpoint = config.base_url.as_deref().map(str::trim).filter(|base| !base.is_empty());
        if let Some(endpoint) = endpoint {
            http::endpoint(endpoint, "")
                .map_err(|reason| BuildError::BaseUrl { id: config.id.clone(), reason })?;
        }
        Ok(Self {
            shared: Arc::new(Shared {
                name: config.id.clone(),
                model: model.to_owned(),
                endpoint: endpoint.map(str::to_owned),
                key: config.api_key.clone(),
                params: config.params.clone(),
                extra: config.extra.clone(),
                cache: config.prompt_cache,
                options: options.clone(),
                timeouts: config.timeouts,
                aws,
                client: OnceCell::new(),
            }),
        })
    }
}

impl Model for Bedrock {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn accepts(&self, params: &Params) -> Result<(), ModelError> {
        let shared = &self.shared;
        params::of_call(Provider::Bedrock, &shared.model, params, &shared.params).map(drop)
    }

    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let shared = Arc::clone(&self.shared);
        // Boxed: the futures of the SDK are large.
        let open = Box::pin(async move { shared.open(request).await });
        futures_util::stream::once(open).try_flatten().boxed()
    }
}

impl Shared {
    /// The client, made by the SDK's own rules for region, credentials and endpoint.
    async fn client(&self) -> Client {
        let sdk = match &self.options.profile {
            None => (self.aws)().await,
            Some(profile) => {
                aws_config::defaults(BehaviorVersion::latest())
                    .http_client(Connections::default())
                    .profile_name(profile)
                    .load()
                    .await
            }
        };
        // Retries, and what stalls, are the business of `resilience`: it knows what was shown.
        let mut config = aws_sdk_bedrockruntime::config::Builder::from(&sdk)
            // Whatever made the configuration: the body of an answer comes past the SDK over these.
            .http_client(Connections::default())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(self.timeouts.connect).build());
        if let Some(region) = &self.options.region {
            config = config.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(endpoint);
            if sdk.region().is_none() && self.options.region.is_none() {
                // An endpoint of one's own does not care, but the signature names a region.
                config = config.region(Region::new("us-east-1"));
            }
        }
        if let Some(key) = &self.key {
            config = config.bearer_token(Token::new(key.expose(), None)).auth_scheme_preference([
                aws_smithy_runtime_api::client::auth::http::HTTP_BEARER_AUTH_SCHEME_ID,
            ]);
        }
        Client::from_conf(config.build())
    }

    async fn open(
        &self,
        request: ModelRequest,
    ) -> Result<BoxStream<'static, Result<ModelEvent, ModelError>>, ModelError> {
        let params = params::of_call(Provider::Bedrock, &self.model, &request.params, &self.params)?;
        let client = self.client.get_or_init(|| self.client()).await;
        let settings = request::Settings {
            name: &self.name,
            model: &self.model,
            extra: &self.extra,
            cache: self.cache,
            options: &self.options,
        };
        let call = request::fill(client.converse_stream(), &settings, &request, &params)?;
        drop(request);
        let first_byte = self.timeouts.first_byte;
        let trace = scope::headers();
        let body = KeptBody::default();
        let keep = body.clone();
        let call = call.customize().mutate_request(move |request| {
            request.add_extension(keep.clone());
            for (name, value) in &trace {
                if let Ok(value) = value.to_str() {
                    request.headers_mut().insert(name.as_str().to_owned(), value.to_owned());
                }
            }
        });
        match timeout(first_byte, call.send()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error::refused(&self.model, &error)),
            Err(_) => return Err(silent(PROVIDER, first_byte, true)),
        }
        // Nothing was kept only if the response had no body: an answer that is cut at its beginning.
        Ok(stream::events(body.take().ok_or_else(error::cut)?, self.timeouts))
    }
}
