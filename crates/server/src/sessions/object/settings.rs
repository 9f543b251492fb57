//! Where the objects are, and how the clients are made.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use parking_lot::Mutex;
use reqwest::Url;

use super::credentials::ChainCredentials;
use super::failure;
use crate::aws::AwsLoader;
use crate::sessions::blob::BlobError;

/// How long a request may take, its answer included.
const REQUEST: Duration = Duration::from_secs(30);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept. S3 closes them after about 20 seconds; a write on a connection that is being
/// closed would have an unknown outcome.
const IDLE: Duration = Duration::from_secs(15);

/// Where the objects are. Made by the configuration; nothing here reads the environment.
#[derive(Clone)]
pub struct ObjectSettings {
    url: Url,
    kind: Kind,
    bucket: String,
    /// Empty, or ends with a slash.
    prefix: String,
    /// S3: the region. Default: the AWS chain's, else `us-east-1`.
    pub region: Option<String>,
    /// S3: another endpoint than AWS's, without the bucket. Default: the AWS chain's (`AWS_ENDPOINT_URL_S3`, else
    /// `AWS_ENDPOINT_URL`).
    pub endpoint: Option<String>,
    /// S3: whether the bucket stands in the path of the URL and not in its host name. Default: for AWS's own endpoints
    /// no; for others where the host is an address, `localhost` or has no dot.
    pub path_style: Option<bool>,
    /// S3: the key that encrypts the objects (id, ARN or alias). Default: as the bucket says.
    pub kms_key_id: Option<String>,
    /// Google Cloud Storage and Azure: options of `object_store` by name, such as `google_service_account` or
    /// `azure_storage_account_name`; unknown names are refused at the first use. They override what the client finds in
    /// the environment (`GOOGLE_…`, `AZURE_…`), as the AWS chain does for S3.
    pub options: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure,
}

/// Why a URL names no place for objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectUrlError {
    /// It is none of the known ones.
    #[error("expected s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")]
    Scheme,
    /// The bucket is missing.
    #[error("the bucket is missing: expected {0}://bucket or {0}://bucket/prefix")]
    Bucket(String),
    /// The prefix cannot be one.
    #[error("the prefix may hold A-Z a-z 0-9 . _ - and / only")]
    Prefix,
}

impl ObjectSettings {
    /// Reads `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`; the prefix may be missing.
    ///
    /// # Errors
    /// [`ObjectUrlError`], which says what is expected.
    pub fn parse(url: &str) -> Result<Self, ObjectUrlError> {
        let url = Url::parse(url).map_err(|_| ObjectUrlError::Scheme)?;
        let kind = match url.scheme() {
            "s3" => Kind::S3,
            "gs" => Kind::Google,
            "az" => Kind::Azure,
            _ => return Err(ObjectUrlError::Scheme),
        };
        let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
        let bucket = bucket.ok_or_else(|| ObjectUrlError::Bucket(url.scheme().to_owned()))?.to_owned();
        let inner = url.path().trim_matches('/');
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let parts_hold = inner.is_empty() || inner.split('/').all(|part| !["", ".", ".."].contains(&part));
        if !inner.chars().all(allowed) || !parts_hold || url.query().is_some() || url.fragment().is_some() {
            return Err(ObjectUrlError::Prefix);
        }
        let prefix = if inner.is_empty() { String::new() } else { format!("{inner}/") };
        Ok(Self {
            kind,
            bucket,
            prefix,
            url,
            region: None,
            endpoint: None,
            path_style: None,
            kms_key_id: None,
            options: BTreeMap::new(),
        })
    }

    /// The place, as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether versions are named by generations and not by ETags.
    pub(super) fn has_generations(&self) -> bool {
        self.kind == Kind::Google
    }

    pub(super) async fn connect(&self, aws: &AwsLoader) -> Result<Stores, BlobError> {
        crate::tls::install();
        let connector = Arc::new(Shared::default());
        match self.kind {
            Kind::S3 => {
                let (builder, host) = self.s3(aws).await?;
                let builder = builder.with_client_options(client(host.is_plain));
                stores(&connector, |connector, retry| {
                    builder.clone().with_http_connector(connector).with_retry(retry).build()
                })
            }
            Kind::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&self.bucket);
                for (name, value) in &self.options {
                    let key = GoogleConfigKey::from_str(name).map_err(|_| unknown_option(name))?;
                    builder = builder.with_config(key, value);
                }
                let builder = builder.with_client_options(client(false));
                stores(&connector, |connector, retry| {
                    builder.clone().with_http_connector(connector).with_retry(retry).build()
                })
            }
            Kind::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(&self.bucket);
                for (name, value) in &self.options {
                    let key = AzureConfigKey::from_str(name).map_err(|_| unknown_option(name))?;
                    builder = builder.with_config(key, value);
                }
                let plain = self.options.values().any(|value| value.starts_with("http://"));
                let builder = builder.with_client_options(client(plain));
                stores(&connector, |connector, retry| {
                    builder.clone().with_http_connector(connector).with_retry(retry).build()
                })
            }
        }
    }

    async fn s3(&self, aws: &AwsLoader) -> Result<(AmazonS3Builder, Host), BlobError> {
        let chain = aws().await;
        let region = self.region.clone().or_else(|| chain.region().map(ToString::to_string));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let provider = chain
            .credentials_provider()
            .ok_or_else(|| BlobError::Refused("there is no source of AWS credentials".to_owned()))?;
        let endpoint = self.endpoint.clone().or_else(|| configured_endpoint(&chain));
        let host = Host::of(endpoint.as_deref(), &self.bucket, self.path_style)?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_credentials(Arc::new(ChainCredentials::new(provider)))
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_virtual_hosted_style_request(host.is_virtual);
        if let Some(endpoint) = &host.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(key) = &self.kms_key_id {
            // A bucket key spares a call to the key service for every object.
            builder = builder.with_sse_kms_encryption(key).with_bucket_key(true);
        }
        Ok((builder, host))
    }
}

/// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, or what a profile says in their place.
fn configured_endpoint(chain: &SdkConfig) -> Option<String> {
    let for_s3 = chain.service_config().and_then(|of_service| {
        let key =
            ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url");
        of_service.load_config(key.build().ok()?)
    });
    for_s3.or_else(|| chain.endpoint_url().map(str::to_owned))
}

/// How S3 is reached.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    /// The endpoint, with the bucket in its host name if that is the style; `None` for AWS's own.
    endpoint: Option<String>,
    is_virtual: bool,
    is_plain: bool,
}

impl Host {
    fn of(endpoint: Option<&str>, bucket: &str, path_style: Option<bool>) -> Result<Self, BlobError> {
        let Some(endpoint) = endpoint else {
            // A dot in the name of a bucket breaks the certificate of its host name.
            let is_virtual = !path_style.unwrap_or_else(|| bucket.contains('.'));
            return Ok(Self { endpoint: None, is_virtual, is_plain: false });
        };
        let wrong =
            || BlobError::Refused("the endpoint of the object store is not an http or https URL".to_owned());
        let url = Url::parse(endpoint).map_err(|_| wrong())?;
        let host = url.host_str().filter(|_| ["http", "https"].contains(&url.scheme())).ok_or_else(wrong)?;
        let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
        let by_default =
            is_address || !host.contains('.') || host.ends_with(".localhost") || bucket.contains('.');
        let is_virtual = !path_style.unwrap_or(by_default);
        let mut endpoint = endpoint.trim_end_matches('/').to_owned();
        if is_virtual {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let path = url.path().trim_end_matches('/');
            endpoint = format!("{}://{bucket}.{host}{port}{path}", url.scheme());
        }
        Ok(Self { endpoint: Some(endpoint), is_virtual, is_plain: url.scheme() == "http" })
    }
}

/// Two views of one place.
pub(super) struct Stores {
    /// For what may be done twice.
    pub(super) retrying: Arc<dyn ObjectStore>,
    /// For what must be tried once.
    pub(super) once: Arc<dyn ObjectStore>,
}

fn stores<S: ObjectStore>(
    connector: &Arc<Shared>,
    build: impl Fn(SharedConnector, RetryConfig) -> object_store::Result<S>,
) -> Result<Stores, BlobError> {
    let make = |retry| {
        build(SharedConnector(Arc::clone(connector)), retry)
            .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
            .map_err(|error| match failure::blob_error(&error) {
                // Nothing was sent yet: it is the settings.
                BlobError::Unavailable(_) => BlobError::Refused("its settings are not complete".to_owned()),
                other => other,
            })
    };
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: 5, retry_timeout: Duration::from_secs(15) };
    let once = RetryConfig { max_retries: 0, ..retry.clone() };
    Ok(Stores { retrying: make(retry)?, once: make(once)? })
}

fn unknown_option(name: &str) -> BlobError {
    BlobError::Refused(format!("it knows no option {name:?}"))
}

fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        .with_pool_idle_timeout(IDLE)
}

/// One pool of connections for both views, so that a turn needs one handshake.
#[derive(Debug, Default)]
struct Shared {
    client: Mutex<Option<HttpClient>>,
}

#[derive(Debug)]
struct SharedConnector(Arc<Shared>);

impl HttpConnector for SharedConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let mut client = self.0.client.lock();
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        Ok(client.insert(ReqwestConnector::default().connect(options)?).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &Result<(Kind, &str, &str), ObjectUrlError>) {
        let settings = ObjectSettings::parse(url);
        let seen = settings.as_ref().map(|s| (s.kind, s.bucket.as_str(), s.prefix.as_str()));
        assert_eq!(&seen.map_err(Clone::clone), expected, "{url}");
    }

    #[test]
    fn reads_urls() {
        check("s3://my.bucket-1", &Ok((Kind::S3, "my.bucket-1", "")));
        check("s3://b/", &Ok((Kind::S3, "b", "")));
        check("s3://b/a/c/", &Ok((Kind::S3, "b", "a/c/")));
        check("gs://b/p", &Ok((Kind::Google, "b", "p/")));
        check("az://c/p", &Ok((Kind::Azure, "c", "p/")));
        check("https://b/p", &Err(ObjectUrlError::Scheme));
        check("bucket", &Err(ObjectUrlError::Scheme));
        check("s3://", &Err(ObjectUrlError::Bucket("s3".to_owned())));
        check("s3:///p", &Err(ObjectUrlError::Bucket("s3".to_owned())));
        check("s3://b/a//c", &Err(ObjectUrlError::Prefix));
        check("s3://b/a?x=1", &Err(ObjectUrlError::Prefix));
        check("s3://b/ü", &Err(ObjectUrlError::Prefix));
    }

    #[track_caller]
    fn host(endpoint: Option<&str>, bucket: &str, expected: (Option<&str>, bool, bool)) {
        let host = Host::of(endpoint, bucket, None).unwrap();
        assert_eq!((host.endpoint.as_deref(), host.is_virtual, host.is_plain), expected);
    }

    #[test]
    fn addresses_buckets_as_the_sdks_do() {
        host(None, "b", (None, true, false));
        host(None, "b.c", (None, false, false));
        host(Some("http://127.0.0.1:4566"), "b", (Some("http://127.0.0.1:4566"), false, true));
        host(Some("http://[::1]:4566/"), "b", (Some("http://[::1]:4566"), false, true));
        host(Some("http://localhost:9000"), "b", (Some("http://localhost:9000"), false, true));
        host(Some("http://minio:9000"), "b", (Some("http://minio:9000"), false, true));
        let hosted = Some("https://b.s3.example.com");
        host(Some("https://s3.example.com"), "b", (hosted, true, false));
        let forced = Host::of(Some("https://s3.example.com/"), "b", Some(true)).unwrap();
        assert_eq!((forced.endpoint.as_deref(), forced.is_virtual), (Some("https://s3.example.com"), false));
        assert!(matches!(Host::of(Some("ftp://x"), "b", None), Err(BlobError::Refused(_))));
    }

    async fn connect(url: &str, options: &[(&str, &str)]) -> Result<Stores, BlobError> {
        let mut settings = ObjectSettings::parse(url).unwrap();
        settings.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        settings.connect(&crate::aws::loader(Some("us-east-1".to_owned()))).await
    }

    #[tokio::test]
    async fn takes_the_options_of_the_other_clouds() {
        let azure = [("azure_storage_account_name", "acc"), ("azure_storage_account_key", "a2V5")];
        connect("az://c/p", &azure).await.unwrap();
        let error = connect("az://c/p", &[("acount", "x")]).await.err();
        assert!(matches!(&error, Some(BlobError::Refused(text)) if text.contains("acount")), "{error:?}");
        let error = connect("az://c/p", &[]).await.err();
        assert!(matches!(error, Some(BlobError::Refused(_))), "{error:?}");
        let google = [(
            "google_service_account_key",
            r#"{"gcs_base_url":"http://127.0.0.1:1","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#,
        )];
        connect("gs://b", &google).await.unwrap();
    }
}
