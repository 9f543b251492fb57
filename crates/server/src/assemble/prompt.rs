//! The instructions: a text, or an object on S3 that is read when the first run needs it.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use loquat_agent::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest};
use tokio::sync::OnceCell;

use super::AssembleError;
use crate::aws::AwsLoader;
use crate::config::{Config, Prompt, StoreConfig};
use crate::sessions::blob::BlobStore as _;
use crate::sessions::object::{ObjectBlobs, ObjectSettings};

/// Where the instructions come from.
pub(super) enum Instructions {
    /// They are known.
    Known(Option<Arc<str>>),
    /// They are an object; read once, at the first run.
    Object {
        /// The bucket.
        bucket: Box<ObjectBlobs>,
        /// The object's key.
        key: String,
        /// What was read.
        read: OnceCell<Arc<str>>,
    },
}

impl Instructions {
    /// From the configuration. Does no I/O.
    pub(super) fn new(config: &Config, aws: AwsLoader) -> Result<Self, AssembleError> {
        Ok(match &config.prompt {
            Prompt::None => Self::Known(None),
            Prompt::Text(text) => Self::Known(Some(Arc::from(text.as_str()))),
            Prompt::S3 { bucket, key } => {
                let url = format!("s3://{bucket}");
                let mut settings = ObjectSettings::parse(&url)
                    .map_err(|error| AssembleError::Store(format!("{url}: {error}")))?;
                if let StoreConfig::Object { endpoint, .. } = &config.store {
                    settings.endpoint.clone_from(endpoint);
                }
                settings.endpoint = settings.endpoint.take().or_else(|| config.s3_endpoint.clone());
                Self::Object {
                    bucket: Box::new(ObjectBlobs::new(settings, aws)),
                    key: key.clone(),
                    read: OnceCell::new(),
                }
            }
        })
    }

    /// The instructions.
    ///
    /// # Errors
    /// What a run ends with where they cannot be read now.
    pub(super) async fn get(&self) -> Result<Option<Arc<str>>, ModelError> {
        let (bucket, key, read) = match self {
            Self::Known(text) => return Ok(text.clone()),
            Self::Object { bucket, key, read } => (bucket, key, read),
        };
        let text = read
            .get_or_try_init(|| async {
                match bucket.get(key).await {
                    Ok(Some(blob)) => Ok(Arc::from(String::from_utf8_lossy(&blob.bytes).as_ref())),
                    Ok(None) => Err(unreadable(key, "there is no such object")),
                    Err(error) => Err(unreadable(key, &error.to_string())),
                }
            })
            .await?;
        Ok(Some(Arc::clone(text)))
    }
}

fn unreadable(key: &str, why: &str) -> ModelError {
    tracing::error!(key, why, "the system prompt on S3 cannot be read");
    ModelError::new(
        ModelErrorKind::Unavailable,
        "The agent's instructions cannot be read at the moment. Please try again; its operator finds the reason in the log.",
    )
}

/// Answers every call with one error: an agent without its instructions must not speak.
pub(super) struct Speechless {
    /// The name of the model that would have answered.
    pub(super) name: String,
    /// Why it does not.
    pub(super) error: ModelError,
}

impl Model for Speechless {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(&self, _: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let error = self.error.clone();
        stream::once(async { Err(error) }).boxed()
    }
}
