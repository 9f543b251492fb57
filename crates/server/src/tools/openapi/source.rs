//! One API's life: its document is read in the background, and again until that succeeds.

use std::sync::Arc;
use std::time::Duration;

use loquat_agent::tool::Tool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::load;
use crate::tools::config::OpenApiConfig;
use crate::tools::guard::system_lookup;
use crate::tools::naming::Offer;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// What is known of an API now.
#[derive(Clone, Default)]
pub(crate) struct ApiState {
    /// The first attempt has ended.
    pub(crate) tried: bool,
    /// Why there are no tools; it is tried again.
    pub(crate) error: Option<String>,
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) problems: Vec<String>,
}

/// An API as a source of tools.
pub(crate) struct ApiSource {
    pub(crate) name: Arc<str>,
    config: OpenApiConfig,
    state: watch::Sender<ApiState>,
    stop: CancellationToken,
}

impl ApiSource {
    /// Begins to read the document; returns at once.
    pub(crate) fn start(config: &OpenApiConfig, changed: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let source = Arc::new(Self {
            name: config.name.as_str().into(),
            config: config.clone(),
            state: watch::Sender::new(ApiState::default()),
            stop: CancellationToken::new(),
        });
        let (weak, stop) = (Arc::downgrade(&source), source.stop.clone());
        let config = config.clone();
        tokio::spawn(async move {
            let mut delay = FIRST_DELAY;
            loop {
                let loaded = tokio::select! {
                    loaded = load(&config, system_lookup()) => loaded,
                    () = stop.cancelled() => return,
                };
                let done = loaded.is_ok();
                let Some(source) = weak.upgrade() else { return };
                source.state.send_replace(match loaded {
                    Ok(loaded) => {
                        ApiState { tried: true, error: None, tools: loaded.tools, problems: loaded.problems }
                    }
                    Err(why) => ApiState { tried: true, error: Some(why), ..ApiState::default() },
                });
                changed();
                drop(source);
                if done {
                    return;
                }
                tracing::warn!(
                    api = config.name,
                    "an OpenAPI document cannot be read; it will be tried again"
                );
                tokio::select! {
                    () = tokio::time::sleep(delay) => delay = (delay * 2).min(LONGEST_DELAY),
                    () = stop.cancelled() => return,
                }
            }
        });
        source
    }

    pub(crate) fn state(&self) -> ApiState {
        self.state.borrow().clone()
    }

    /// Returns when the document has been read, or could not be.
    pub(crate) async fn settled(&self) {
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| state.tried).await;
    }

    pub(crate) fn offers(&self) -> Vec<Offer> {
        let tools = self.state().tools;
        let offer =
            |tool| Offer { source: Arc::clone(&self.name), approval: self.config.needs_approval, tool };
        tools.into_iter().map(offer).collect()
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for ApiSource {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
