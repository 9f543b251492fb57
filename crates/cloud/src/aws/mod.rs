//! The few AWS calls a deployment needs, signed with the SDK's own signer and credentials.
//!
//! Six generated SDK crates would cost some four minutes of compiling on two cores for about twenty operations;
//! credentials, profiles, SSO, regions and `AWS_ENDPOINT_URL…` come from `aws-config` all the same.

pub mod cloudformation;
mod error;
pub mod s3;
pub mod services;

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_types::service_config::ServiceConfigKey;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};

pub use error::AwsError;

/// How often a call is repeated when AWS is busy.
const ATTEMPTS: u32 = 5;

/// A service as signatures, endpoints and settings name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// In the signature's scope.
    pub(crate) signing: &'static str,
    /// The first label of the endpoint.
    pub(crate) host: &'static str,
    /// In `AWS_ENDPOINT_URL_…` and in profiles.
    pub(crate) id: &'static str,
    /// Lives in one region only.
    pub(crate) global: bool,
}

/// Credentials, region and endpoints.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    region: String,
    http: reqwest::Client,
}

/// One call.
pub(crate) struct Call<'a> {
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// Path and query, encoded.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Bytes,
    /// For messages: what was attempted.
    pub(crate) action: &'a str,
}

impl Aws {
    /// Loads the AWS configuration of this machine; `region` goes before it.
    ///
    /// # Errors
    /// When no region is set anywhere.
    pub async fn load(region: Option<&str>) -> Result<Self, AwsError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string).ok_or(AwsError::NoRegion)?;
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(300))
            .build()
            .map_err(|error| AwsError::Transport { action: "set-up".into(), problem: error.to_string() })?;
        Ok(Self { config, region, http })
    }

    /// An AWS that is no AWS: everything is at `url`, and any credentials are good.
    pub fn for_emulator(region: &str, url: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = aws_credential_types::Credentials::new("test", "test", None, None, "emulator");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(url)
            .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
            .build();
        Self { config, region: region.to_owned(), http: reqwest::Client::new() }
    }

    /// The region deployments go to.
    pub fn region(&self) -> &str {
        &self.region
    }

    fn endpoint(&self, service: Service) -> String {
        let key = ServiceConfigKey::builder()
            .service_id(service.id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok();
        let own = key.and_then(|key| self.config.service_config().and_then(|config| config.load_config(key)));
        if let Some(url) = own.or_else(|| self.config.endpoint_url().map(str::to_owned)) {
            return url.trim_end_matches('/').to_owned();
        }
        let suffix = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        if service.global {
            format!("https://{}.{suffix}", service.host)
        } else {
            format!("https://{}.{}.{suffix}", service.host, self.region)
        }
    }

    /// Signs and sends, again where AWS asks for patience.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<(HeaderMap, Bytes), AwsError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = self.once(&call).await;
            match &result {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
                }
                _ => return result,
            }
        }
    }

    async fn once(&self, call: &Call<'_>) -> Result<(HeaderMap, Bytes), AwsError> {
        let transport = |problem: String| AwsError::Transport { action: call.action.to_owned(), problem };
        let provider =
            self.config.credentials_provider().ok_or(AwsError::NoCredentials("none configured".into()))?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| AwsError::NoCredentials(chain(&error)))?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        if call.service.signing == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let region = if call.service.global { "us-east-1" } else { &self.region };
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(call.service.signing)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .map_err(|error| transport(error.to_string()))?
            .into();
        let url = format!("{}{}", self.endpoint(call.service), call.path);
        let mut request = http::Request::builder().method(call.method.clone()).uri(&url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(call.body.clone()).map_err(|error| transport(error.to_string()))?;
        let headers: Vec<(&str, &str)> =
            call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let signable = SignableRequest::new(
            call.method.as_str(),
            &url,
            headers.into_iter(),
            SignableBody::Bytes(&call.body),
        )
        .map_err(|error| transport(error.to_string()))?;
        let (instructions, _) =
            sign(signable, &params).map_err(|error| transport(error.to_string()))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        if request.body().is_empty() && call.method != Method::GET {
            request.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let request = reqwest::Request::try_from(request).map_err(|error| transport(error.to_string()))?;
        let response = self.http.execute(request).await.map_err(|error| transport(chain(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| transport(chain(&error)))?;
        if status.is_success() {
            Ok((headers, body))
        } else {
            Err(AwsError::answer(call.action, status.as_u16(), &headers, &body))
        }
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A path segment or a query value, encoded as signatures want it.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
