//! Signed calls to the two AWS services that tools need. Both are one JSON request; their SDK crates cost minutes of
//! building (see ARCHITECTURE.md), the signature costs nothing that is not built anyway.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::aws::AwsLoader;
use crate::telemetry::scope;

/// The longest answer that is read, in bytes. Lambda's own limit is 6 MB.
const MAX_ANSWER: usize = 8 << 20;

/// Which service is called.
pub(crate) struct Service {
    /// The first part of its host name.
    pub(crate) host: &'static str,
    /// Its name in signatures.
    pub(crate) signing_name: &'static str,
    /// Its id in `AWS_ENDPOINT_URL_<ID>` and in profiles.
    pub(crate) id: &'static str,
}

/// One request.
pub(crate) struct AwsRequest {
    pub(crate) service: Service,
    /// The region, if not the configuration's own.
    pub(crate) region: Option<String>,
    /// The path and query, each part already percent-encoded.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct AwsAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Calls AWS with the server's own credentials.
#[derive(Clone)]
pub(crate) struct AwsCaller {
    loader: AwsLoader,
    client: Arc<tokio::sync::OnceCell<reqwest::Client>>,
}

impl AwsCaller {
    pub(crate) fn new(loader: AwsLoader) -> Self {
        Self { loader, client: Arc::default() }
    }

    /// Sends a signed POST. Nothing is retried: a function may have run.
    pub(crate) async fn post(&self, request: AwsRequest) -> Result<AwsAnswer, String> {
        let config = &(self.loader)().await;
        let client = self
            .client
            .get_or_try_init(|| async {
                reqwest::Client::builder()
                    .connect_timeout(Duration::from_secs(10))
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
            })
            .await
            .map_err(|error| error.to_string())?;
        let region = request
            .region
            .clone()
            .or_else(|| config.region().map(ToString::to_string))
            .ok_or("no AWS region is set")?;
        let url = format!("{}{}", endpoint(config, &request.service, &region), request.path);
        let provider = config.credentials_provider().ok_or("there are no AWS credentials")?;
        let credentials = provider
            .provide_credentials()
            .await
            .map_err(|_| "the AWS credentials could not be read".to_owned())?;
        let mut headers = signed_headers(&request, &url, &region, credentials)?;
        // Beside the signature: what stands between may change them.
        headers.extend(scope::headers());
        let response = client
            .post(&url)
            .headers(headers)
            .body(request.body)
            .send()
            .await
            .map_err(|error| format!("the service could not be reached: {}", error.without_url()))?;
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = BytesMut::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| format!("the answer broke off: {}", error.without_url()))?;
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err("the answer is too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(AwsAnswer { status, headers, body: body.freeze() })
    }
}

/// The service's address: `AWS_ENDPOINT_URL_<ID>`, `AWS_ENDPOINT_URL`, else the region's own.
fn endpoint(config: &SdkConfig, service: &Service, region: &str) -> String {
    let key = ServiceConfigKey::builder()
        .service_id(service.id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok();
    let own = key.and_then(|key| config.service_config()?.load_config(key));
    match own.or_else(|| config.endpoint_url().map(str::to_owned)) {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://{}.{region}.{suffix}", service.host)
        }
    }
}

fn signed_headers(
    request: &AwsRequest,
    url: &str,
    region: &str,
    credentials: aws_credential_types::Credentials,
) -> Result<HeaderMap, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the request could not be signed: {error}");
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(request.service.signing_name)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let mut plain = vec![("content-type", "application/json")];
    plain.extend(request.headers.iter().map(|(name, value)| (*name, value.as_str())));
    let signable =
        SignableRequest::new("POST", url, plain.iter().copied(), SignableBody::Bytes(&request.body))
            .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(signable, &params).map_err(|error| failed(&error))?.into_parts();
    let mut headers = HeaderMap::new();
    for (name, value) in plain.iter().copied().chain(instructions.headers()) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| failed(&error))?;
        headers.insert(name, HeaderValue::from_str(value).map_err(|error| failed(&error))?);
    }
    Ok(headers)
}

/// What an error answer says, for people.
pub(crate) fn error_text(answer: &AwsAnswer) -> String {
    let kind = answer
        .headers
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok())
        .map(|kind| kind.split(':').next().unwrap_or(kind).to_owned());
    let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let message = body.as_ref().and_then(|body| {
        body.get("message").or_else(|| body.get("Message")).and_then(serde_json::Value::as_str)
    });
    match (kind, message) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (Some(kind), None) => kind,
        (None, Some(message)) => message.to_owned(),
        (None, None) => answer.status.to_string(),
    }
}
