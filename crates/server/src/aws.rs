//! The AWS configuration of the process: credentials, region and endpoint overrides from the usual chain (environment,
//! profile and SSO, web identity, container, instance), loaded once and only when something needs it.

pub(crate) mod connection;

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::OnceCell;

use connection::Connections;

/// Gives the configuration when it is first needed.
pub type AwsLoader = Arc<dyn Fn() -> BoxFuture<'static, SdkConfig> + Send + Sync>;

/// A loader that asks the chain once. Nothing is read or sent before the first call. A given region spares the search
/// for one.
#[must_use]
pub fn loader(region: Option<String>) -> AwsLoader {
    let loaded: Arc<OnceCell<SdkConfig>> = Arc::default();
    Arc::new(move || {
        let (loaded, region) = (Arc::clone(&loaded), region.clone());
        async move { loaded.get_or_init(|| load(region)).await.clone() }.boxed()
    })
}

async fn load(region: Option<String>) -> SdkConfig {
    let mut config = aws_config::defaults(BehaviorVersion::latest()).http_client(Connections::default());
    if let Some(region) = region {
        config = config.region(Region::new(region));
    }
    config.load().await
}
