//! The usual AWS chain as a source of credentials for `object_store`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

/// How long before their end credentials are renewed.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// Credentials from a provider of the AWS SDK, kept until shortly before they end.
#[derive(Debug)]
pub(super) struct ChainCredentials {
    provider: SharedCredentialsProvider,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    credential: Arc<AwsCredential>,
    ends: Option<SystemTime>,
}

impl ChainCredentials {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, current: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for ChainCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Held while asking, so that many requests ask once.
        let mut current = self.current.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = &*current
            && kept.ends.is_none_or(|ends| ends > now + EARLY)
        {
            return Ok(Arc::clone(&kept.credential));
        }
        match self.provider.provide_credentials().await {
            Ok(fresh) => {
                let credential = Arc::new(AwsCredential {
                    key_id: fresh.access_key_id().to_owned(),
                    secret_key: fresh.secret_access_key().to_owned(),
                    token: fresh.session_token().map(str::to_owned),
                });
                *current = Some(Current { credential: Arc::clone(&credential), ends: fresh.expiry() });
                Ok(credential)
            }
            Err(error) => match &*current {
                // The old ones still hold for some minutes: the next request asks again.
                Some(kept) if kept.ends.is_some_and(|ends| ends > now) => Ok(Arc::clone(&kept.credential)),
                _ => {
                    Err(object_store::Error::Unauthenticated { path: String::new(), source: Box::new(error) })
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};

    use super::*;

    /// Gives credentials that end at a time, then fails.
    #[derive(Debug)]
    struct Once {
        calls: Arc<AtomicU32>,
        lasts: Duration,
    }

    impl ProvideCredentials for Once {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            future::ProvideCredentials::ready(if call == 0 {
                let ends = Some(SystemTime::now() + self.lasts);
                Ok(Credentials::new("AKID", "hidden", Some("token".to_owned()), ends, "test"))
            } else {
                Err(CredentialsError::not_loaded_no_source())
            })
        }
    }

    async fn ask_twice(lasts: Duration) -> (u32, bool) {
        let calls = Arc::new(AtomicU32::new(0));
        let once = Once { calls: Arc::clone(&calls), lasts };
        let chain = ChainCredentials::new(SharedCredentialsProvider::new(once));
        let first = chain.get_credential().await.unwrap();
        assert_eq!((first.key_id.as_str(), first.token.as_deref()), ("AKID", Some("token")));
        let second = chain.get_credential().await;
        (calls.load(Ordering::SeqCst), second.is_ok())
    }

    #[tokio::test]
    async fn keeps_credentials_until_shortly_before_their_end() {
        assert_eq!(ask_twice(Duration::from_secs(3600)).await, (1, true));
        // Soon to end and not to be renewed: used to the end.
        assert_eq!(ask_twice(Duration::from_secs(60)).await, (2, true));
        assert_eq!(ask_twice(Duration::ZERO).await, (2, false));
    }
}
