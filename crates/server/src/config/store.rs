//! Where sessions are kept.

use std::collections::BTreeMap;

use super::raw::RawConfig;
use super::{ConfigError, StoreConfig, file};

/// The variables of the AWS SDK.
pub(super) fn s3_endpoint(env: &BTreeMap<String, String>) -> Option<String> {
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .iter()
        .find_map(|name| env.get(*name).filter(|url| !url.is_empty()).cloned())
}

pub(super) fn store(
    raw: &RawConfig,
    env: &BTreeMap<String, String>,
    places: &file::Places,
) -> Result<StoreConfig, ConfigError> {
    let endpoint = s3_endpoint(env);
    let object = |url: String| StoreConfig::Object {
        url,
        kms_key: raw.session_kms_key.clone(),
        endpoint: endpoint.clone(),
    };
    let chosen = match (raw.store.as_deref(), raw.session_bucket.as_deref()) {
        (None | Some("s3"), Some("")) | (Some("s3"), None) => {
            return Err(places.wrong("session_bucket", "\"\"", "the name of a bucket"));
        }
        (None | Some("s3"), Some(bucket)) => object(format!("s3://{bucket}")),
        // As in the reference: without a bucket every message stands alone. A function's disk is gone with it.
        (None, None) if env.get("AWS_LAMBDA_FUNCTION_NAME").is_some_and(|name| !name.is_empty()) => {
            StoreConfig::None
        }
        (None | Some("sqlite"), None) => StoreConfig::Sqlite,
        (Some("memory"), None) => StoreConfig::Memory,
        (Some("none"), None) => StoreConfig::None,
        (Some(url), None) if ["s3://", "gs://", "az://"].iter().any(|scheme| url.starts_with(scheme)) => {
            object(url.to_owned())
        }
        (Some(store), Some(_)) => {
            return Err(places.wrong("store", store, "nothing beside SESSION_BUCKET (which chooses S3)"));
        }
        (Some(store), None) => {
            let expected =
                "sqlite, memory, none, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";
            return Err(places.wrong("store", store, expected));
        }
    };
    if raw.session_kms_key.is_some()
        && !matches!(&chosen, StoreConfig::Object { url, .. } if url.starts_with("s3://"))
    {
        return Err(places.wrong("session_kms_key", "set", "a store on S3 beside it"));
    }
    if let StoreConfig::Object { url, .. } = &chosen {
        crate::sessions::object::ObjectSettings::parse(url)
            .map_err(|error| places.wrong("store", url, &error.to_string().replace("expected ", "")))?;
    }
    Ok(chosen)
}
