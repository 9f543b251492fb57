//! The embedded model: a small real language model inside the process.
//!
//! `weights` opens the file and makes it fast, `net` runs it, `vocabulary` and `template` turn a conversation into
//! tokens, `contexts` remembers what was read before, `engine` answers a call, `worker` is the one thread it does that
//! on, `router` decides about tools (`arithmetic` is its grammar), `fetch` brings the file. The way of a call: [`LocalModel`] puts it into the
//! worker's queue and its stream reads what the engine sends.

mod arithmetic;
mod contexts;
mod engine;
pub mod fetch;
mod net;
mod prompt;
mod router;
mod stops;
mod template;
mod vocabulary;
mod weights;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use loquat_agent::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest, Params};
use parking_lot::Mutex;

pub use fetch::{cache_dir, models_dir, weights_file};

use self::engine::Engine;
use self::weights::Source;
use self::worker::{Backend, Worker};
use super::config::Provider;
use super::params;

/// The model that `loquat model fetch` brings, as it stands after `local/`.
pub const BUILT_IN: &str = "smollm2-135m-instruct";

/// What people should know about the built-in model, for the start-up lines and the page.
pub const DEMO_NOTE: &str =
    "A very small demonstration model: it invents facts and forgets. Set MODEL_ID for a real one.";

/// Which model to run.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConfig {
    /// The full name (`local/…`).
    pub name: String,
    /// The GGUF file with the weights.
    pub weights: PathBuf,
    /// The folder that may keep a faster form of the weights.
    pub cache: PathBuf,
    /// It is the built-in model, whose checksum is known.
    pub built_in: bool,
    /// Parameters of every call that has none of its own.
    pub params: Params,
}

impl LocalConfig {
    /// The parameters of a call.
    fn params_of(&self, call: &Params) -> Result<Params, ModelError> {
        params::of_call(Provider::Local, &self.name, call, &self.params)
    }

    /// From what follows `local/` in a model's name: the built-in model's name, or the absolute path of a GGUF file.
    /// `models` is the folder of model files, by default [`models_dir`] of the user's cache folder.
    ///
    /// # Errors
    /// Neither of the two, in words for people.
    pub fn parse(name: &str, models: &Path) -> Result<Self, String> {
        let built_in = name == BUILT_IN;
        if !built_in && !Path::new(name).is_absolute() {
            return Err(format!("local/{BUILT_IN} or local/ and the absolute path of a GGUF file"));
        }
        Ok(Self {
            name: format!("local/{name}"),
            weights: if built_in { weights_file(models) } else { PathBuf::from(name) },
            cache: models.to_owned(),
            built_in,
            params: Params::default(),
        })
    }
}

/// How far the loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadState {
    /// Nothing was asked for yet.
    Idle,
    /// Under way, with the current step for people.
    Loading(&'static str),
    /// Ready to answer.
    Ready,
    /// Failed; the next call tries again.
    Failed(ModelErrorKind),
}

/// A language model that runs in this process, one call at a time. Cheap to make; the weights are read by
/// [`Self::start_loading`] or the first call, on a thread of its own.
pub struct LocalModel {
    shared: Arc<Shared>,
}

struct Shared {
    config: LocalConfig,
    state: Arc<Mutex<LoadState>>,
    worker: Mutex<Option<Arc<Worker>>>,
}

impl LocalModel {
    /// A model that is not loaded yet.
    #[must_use]
    pub fn new(config: LocalConfig) -> Self {
        let state = Arc::new(Mutex::new(LoadState::Idle));
        Self { shared: Arc::new(Shared { config, state, worker: Mutex::new(None) }) }
    }

    /// Begins to load in the background. Calls may come at any time: they wait.
    pub fn start_loading(&self) {
        if let Err(error) = self.shared.worker() {
            tracing::error!(%error, "cannot start the local model");
        }
    }

    /// How far the loading is.
    #[must_use]
    pub fn state(&self) -> LoadState {
        *self.shared.state.lock()
    }

    /// Whether the weights are on this machine.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.shared.config.weights.is_file()
    }

    /// The file with the weights.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.shared.config.weights
    }

    /// Whether it is the built-in demonstration model.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.shared.config.built_in
    }
}

impl Shared {
    /// The thread, started now if it was not.
    fn worker(&self) -> Result<Arc<Worker>, ModelError> {
        let mut worker = self.worker.lock();
        if let Some(worker) = &*worker {
            return Ok(Arc::clone(worker));
        }
        let mut loader = Loader {
            source: Source {
                name: self.config.name.clone(),
                path: self.config.weights.clone(),
                cache: self.config.cache.clone(),
                known: self.config.built_in,
            },
            state: Arc::clone(&self.state),
            damage: None,
        };
        let load = Box::new(move || loader.load().map(|engine| Box::new(engine) as Box<dyn Backend>));
        let started = Arc::new(Worker::start(load).map_err(|error| {
            ModelError::new(
                ModelErrorKind::Internal,
                format!("cannot start the local model's thread: {error}"),
            )
        })?);
        Ok(Arc::clone(worker.insert(started)))
    }
}

impl Model for LocalModel {
    fn name(&self) -> &str {
        &self.shared.config.name
    }

    fn accepts(&self, params: &Params) -> Result<(), ModelError> {
        self.shared.config.params_of(params).map(drop)
    }

    fn stream(&self, mut request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let shared = Arc::clone(&self.shared);
        stream::once(async move {
            match shared.config.params_of(&request.params) {
                Ok(params) => request.params = params,
                Err(error) => return stream::once(async { Err(error) }).boxed(),
            }
            match shared.worker() {
                Ok(worker) => {
                    let events = worker.submit(request);
                    stream::unfold(events, async |mut events| Some((events.recv().await?, events))).boxed()
                }
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        })
        .flatten()
        .boxed()
    }
}

/// Loads, and tells how far it is.
struct Loader {
    source: Source,
    state: Arc<Mutex<LoadState>>,
    /// What was wrong with a file that is deleted now: the next calls should hear it too.
    damage: Option<ModelError>,
}

impl Loader {
    fn load(&mut self) -> Result<Engine, ModelError> {
        let start = Instant::now();
        let model = self.source.name.as_str();
        let was_there = self.source.path.exists();
        let report = |step: &'static str| {
            tracing::info!(model, "{step}");
            *self.state.lock() = LoadState::Loading(step);
        };
        report("loading the local model");
        match Engine::load(&self.source, &report) {
            Ok(engine) => {
                tracing::info!(model, seconds = start.elapsed().as_secs_f32(), "the local model is ready");
                *self.state.lock() = LoadState::Ready;
                self.damage = None;
                Ok(engine)
            }
            Err(error) => {
                tracing::warn!(model, %error, "the local model cannot be loaded");
                *self.state.lock() = LoadState::Failed(error.kind);
                if error.kind != ModelErrorKind::NotInstalled {
                    return Err(error);
                }
                if was_there {
                    self.damage = Some(error.clone());
                }
                Err(self.damage.clone().unwrap_or(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[params]` is for this model too, a call's own go first, and what it has not is refused in words.
    #[test]
    fn the_configured_parameters_are_those_of_a_call() {
        let parsed = LocalConfig::parse(BUILT_IN, Path::new("models")).unwrap();
        let configured = Params { temperature: Some(0.2), max_output_tokens: Some(5), ..Params::default() };
        let model = LocalModel::new(LocalConfig { params: configured, ..parsed });
        let call = Params { temperature: Some(0.9), ..Params::default() };
        let merged = model.shared.config.params_of(&call).unwrap();
        assert_eq!((merged.temperature, merged.max_output_tokens), (Some(0.9), Some(5)));
        let effort = Params { reasoning_effort: Some("high".into()), ..Params::default() };
        let refused = model.accepts(&effort).unwrap_err();
        assert_eq!(refused.message, "the built-in model has no setting like reasoning_effort");
    }
}
