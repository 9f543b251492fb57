//! The store on object storage: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob.
//!
//! A read or an unconditional write is tried again by the client. A conditional write is not: if its first try went
//! through and only the answer was lost, the second would be told that somebody else wrote. The caller, who knows what
//! it wrote, reads to find out.

mod credentials;
#[cfg(test)]
mod emulator;
mod failure;
mod kept;
mod settings;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutResult, UpdateVersion,
};
use tokio::sync::OnceCell;

use self::kept::Kept;
use self::settings::Stores;
pub use self::settings::{ObjectSettings, ObjectUrlError};
use super::blob::{Blob, BlobError, BlobStore, Condition, Durability, Listed, Version};
use crate::aws::AwsLoader;

/// Sessions and run logs as objects.
pub struct ObjectBlobs {
    settings: ObjectSettings,
    aws: AwsLoader,
    stores: OnceCell<Stores>,
    kept: Kept,
}

impl std::fmt::Debug for ObjectBlobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectBlobs").field("url", &self.settings.url()).finish_non_exhaustive()
    }
}

impl ObjectBlobs {
    /// A store as the settings say. Nothing is read or sent before the first use; `aws` is asked for credentials (and,
    /// where the settings name none, for the region) then, and only for S3.
    #[must_use]
    pub fn new(settings: ObjectSettings, aws: AwsLoader) -> Self {
        Self { settings, aws, stores: OnceCell::new(), kept: Kept::default() }
    }

    async fn stores(&self) -> Result<&Stores, BlobError> {
        self.stores.get_or_try_init(|| self.settings.connect(&self.aws)).await
    }

    fn path(&self, key: &str) -> Result<Path, BlobError> {
        let full = format!("{}{key}", self.settings.prefix());
        Path::parse(full).map_err(|_| BlobError::Refused("the key is not one of an object".to_owned()))
    }

    /// How a version is named: by its generation on Google Cloud Storage, else by its ETag.
    fn version(&self, e_tag: Option<String>, generation: Option<String>) -> Result<Version, BlobError> {
        let name = if self.settings.has_generations() { generation } else { e_tag };
        name.map(Version)
            .ok_or_else(|| BlobError::Refused("the store does not say which version it has".to_owned()))
    }

    fn update(&self, version: Version) -> PutMode {
        PutMode::Update(if self.settings.has_generations() {
            UpdateVersion { e_tag: None, version: Some(version.0) }
        } else {
            UpdateVersion { e_tag: Some(version.0), version: None }
        })
    }
}

/// How often S3's "another conditional request is under way" is answered with another try. It says that nothing was
/// written, so trying again is safe.
const CONFLICT_TRIES: u32 = 4;

#[async_trait]
impl BlobStore for ObjectBlobs {
    async fn get(&self, key: &str) -> Result<Option<Blob>, BlobError> {
        let path = self.path(key)?;
        let known = self.kept.get(key);
        let read = async {
            let if_none_match = known.as_ref().map(|known| known.e_tag.clone());
            let options = GetOptions { if_none_match, ..GetOptions::default() };
            let found = self.stores().await?.retrying.get_opts(&path, options).await;
            let found = match (found, known) {
                (Err(object_store::Error::NotModified { .. }), Some(known)) => return Ok(known.blob),
                (found, _) => found.map_err(Failure::Store)?,
            };
            let e_tag = found.meta.e_tag.clone();
            let version = self.version(e_tag.clone(), found.meta.version.clone())?;
            let blob = Blob { bytes: found.bytes().await.map_err(Failure::Store)?, version };
            self.kept.note(key, e_tag, &blob);
            Ok(blob)
        };
        match read.await {
            Ok(blob) => Ok(Some(blob)),
            Err(Failure::Store(error)) if failure::is_no_such_object(&error) => {
                // Another process deleted it: its words do not stay here.
                self.kept.forget(key);
                Ok(None)
            }
            Err(Failure::Store(error)) => Err(failure::blob_error(&error)),
            Err(Failure::Blob(error)) => Err(error),
        }
    }

    async fn put(
        &self,
        key: &str,
        bytes: Bytes,
        condition: Condition,
        _durability: Durability,
    ) -> Result<Version, BlobError> {
        let path = self.path(key)?;
        let stores = self.stores().await?;
        let (store, mode) = match condition {
            Condition::Any => (&stores.retrying, PutMode::Overwrite),
            Condition::Create => (&stores.once, PutMode::Create),
            Condition::Match(version) => (&stores.once, self.update(version)),
        };
        let mut tries = 0;
        let written = loop {
            let options = PutOptions::from(mode.clone());
            match store.put_opts(&path, bytes.clone().into(), options).await {
                Err(error) if failure::is_under_way(&error, &mode) && tries < CONFLICT_TRIES => {
                    tries += 1;
                    tokio::time::sleep(super::jitter(20 << tries)).await;
                }
                written => break written,
            }
        };
        match written {
            Ok(PutResult { e_tag, version, .. }) => {
                let version = self.version(e_tag.clone(), version)?;
                self.kept.note(key, e_tag, &Blob { bytes, version: version.clone() });
                Ok(version)
            }
            Err(error) if failure::is_conflict(&error, &mode) => Err(BlobError::Conflict),
            Err(error) => Err(failure::blob_error(&error)),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        self.kept.forget(key);
        match self.stores().await?.retrying.delete(&path).await {
            Err(error) if !failure::is_no_such_object(&error) => Err(failure::blob_error(&error)),
            _ => Ok(()),
        }
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, BlobError> {
        let own = self.settings.prefix();
        // The store lists whole folders: what stands behind the last slash is compared here.
        let folder = prefix.rfind('/').map_or("", |slash| &prefix[..slash]);
        let folder = self.path(folder.trim_matches('/'))?;
        let folder = (!folder.as_ref().is_empty()).then_some(folder);
        let stores = self.stores().await?;
        let mut objects = match after {
            Some(after) => stores.retrying.list_with_offset(folder.as_ref(), &self.path(after)?),
            None => stores.retrying.list(folder.as_ref()),
        };
        let mut listed = Vec::new();
        while listed.len() < limit {
            let Some(object) = objects.try_next().await.map_err(|error| failure::blob_error(&error))? else {
                break;
            };
            let Some(key) = object.location.as_ref().strip_prefix(own) else { continue };
            if key.starts_with(prefix) {
                listed.push(Listed { key: key.to_owned(), size: object.size });
            } else if key > prefix {
                break;
            }
        }
        Ok(listed)
    }
}

/// A failed read, before it is known whether the object is only missing.
enum Failure {
    Store(object_store::Error),
    Blob(BlobError),
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        Self::Blob(error)
    }
}

#[cfg(test)]
mod tests;
