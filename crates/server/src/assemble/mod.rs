//! From a checked configuration to a service: the one place where the parts are put together.

mod check;
mod local;
mod prompt;

use std::sync::Arc;

use futures_util::FutureExt as _;
use loquat_agent::Agent;
use loquat_agent::context::{ContextStrategy, Null, SlidingWindow, Summarizing, TokenBudget};
use loquat_agent::model::Model;
use loquat_agent::tool::Tool;
use loquat_agent::tool_set::ToolSet;
use serde_json::json;

pub use self::check::check;
use self::prompt::{Instructions, Speechless};
use crate::app::{AppState, Settings};
use crate::auth::{AuthConfigError, AuthType, Authenticator, Host};
use crate::aws::{self, AwsLoader};
use crate::clock::Clock;
use crate::config::raw::ContextStrategyName;
use crate::config::{Config, StoreConfig};
use crate::http::guard::Guard;
use crate::http::security::{Exposure, Security, WebConfigError};
use crate::limits::{BlobUsage, MemoryUsage, RunLimits, UsageStore, forget_old_days};
use crate::models::{self, BuildContext, ModelConfig, Provider};
use crate::runs::engine::{AgentSource, Engine};
use crate::runs::files::FileJournals;
use crate::runs::journal::NoJournals;
use crate::runs::segments::SegmentJournals;
use crate::sessions::blob_index::BlobIndex;
use crate::sessions::memory::MemoryBlobs;
use crate::sessions::object::{ObjectBlobs, ObjectSettings};
use crate::sessions::service::{Listing, Sessions, Times};
use crate::sessions::sqlite::SqliteBlobs;
use crate::telemetry::Telemetry;
use crate::tools::config::BuiltinTool;
use crate::tools::{BlobMemory, MemoryStore, ToolDeps, Toolbox};

/// Why a service could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The model.
    #[error(transparent)]
    Model(#[from] models::BuildError),
    /// Sign-in.
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
    /// What browsers are told.
    #[error(transparent)]
    Web(#[from] WebConfigError),
    /// The store.
    #[error("the store cannot be opened: {0}")]
    Store(String),
}

/// A service that is ready to be served.
pub struct Service {
    /// What handlers share.
    pub state: AppState,
    /// The model's name.
    pub model: String,
    /// What people should know about the model before they use it.
    pub model_note: Option<String>,
    /// Where sessions are kept, for people.
    pub store: String,
    /// How people sign in, for people.
    pub sign_in: &'static str,
    /// The tools. Their processes are to be ended with the service.
    pub toolbox: Arc<Toolbox>,
}

/// What a program that embeds the service brings of its own.
#[derive(Clone, Default)]
pub struct Own {
    /// Answers in place of the configured models.
    pub model: Option<Arc<dyn Model>>,
    /// Tools beside the configured ones.
    pub tools: Vec<Arc<dyn Tool>>,
    /// Decides who is asking in place of what is configured.
    pub auth: Option<Arc<dyn Authenticator>>,
}

/// Puts a service together. Opens the store; does no other I/O. Must be called inside a tokio runtime.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(config: &Config) -> Result<Service, AssembleError> {
    assemble_on(config, Host::Listener)
}

/// The same for a host that is not a listener.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble_on(config: &Config, host: Host) -> Result<Service, AssembleError> {
    assemble_with(config, host, Own::default())
}

/// The same for a program that brings parts of its own.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble_with(config: &Config, host: Host, own: Own) -> Result<Service, AssembleError> {
    let mut config = config.clone();
    if let Some(model) = &own.model {
        config.models = vec![ModelConfig { id: model.name().to_owned(), ..ModelConfig::default() }];
    }
    let config = &config;
    let auth: Arc<dyn Authenticator> = match own.auth {
        Some(auth) => auth,
        None => config.auth.build(config.folders.data().ok(), host)?,
    };
    let signs_in = auth.kind() != "none";
    let security =
        Security::new(&config.web, exposure(config, host, signs_in), &config.auth.page_connects_to())?;
    let guard = Guard::new(&config.limits, signs_in, config.http.body_bytes);
    let (sessions, store) = sessions(config)?;
    // One look for credentials, shared by all that need them.
    let aws = aws::loader(None);
    let build =
        BuildContext { local: local::factory(config), aws: Some(aws.clone()), ..BuildContext::default() };
    let model = match own.model {
        Some(model) => model,
        None => models::build(&config.models, &build)?,
    };
    let memory: Option<Arc<dyn MemoryStore>> =
        sessions.as_ref().map(|sessions| Arc::new(BlobMemory::new(Arc::clone(&sessions.store))) as _);
    let deps = ToolDeps {
        base_env: config.child_env.clone(),
        aws: Some(aws.clone()),
        memory: memory.clone(),
        objects: None,
        own: own.tools,
    };
    let toolbox = Arc::new(Toolbox::start(&config.tools, &deps));
    let agents = agents(config, Arc::clone(&model), &toolbox, aws.clone())?;
    let usage: Arc<dyn UsageStore> = match &sessions {
        Some(sessions) => Arc::new(BlobUsage::new(Arc::clone(&sessions.store))),
        None => Arc::new(MemoryUsage::default()),
    };
    let counted = Arc::clone(&usage);
    let limits = RunLimits::new(&config.limits, signs_in, usage);
    let engine = Engine::new(sessions, agents, Clock::System, config.runs.on_disconnect, limits);
    let telemetry = Arc::new(Telemetry::new(config));
    engine.tell(Arc::clone(&telemetry));
    if let Some(sessions) = engine.sessions().cloned() {
        tokio::spawn(sweep(sessions, counted));
    }
    let demo = Provider::of(&config.models[0].id).0 == Provider::Local;
    let model_note = local::note(config);
    let settings = settings(config, demo, model_note.as_deref());
    let sign_in = auth.kind();
    Ok(Service {
        state: AppState {
            engine,
            auth,
            guard: Arc::new(guard),
            security: Arc::new(security),
            settings: Arc::new(settings),
            memory,
            telemetry,
        },
        toolbox,
        model: model.name().to_owned(),
        model_note,
        store,
        sign_in,
    })
}

/// Who can reach the service without a credential.
fn exposure(config: &Config, host: Host, signs_in: bool) -> Exposure {
    // Behind the Web Adapter a function listens on loopback as well, and is called by API Gateway's names.
    let on_lambda = config.on_lambda || config.telemetry.function.is_some();
    let local = config.http.host.is_loopback() && !config.http.insecure && !on_lambda;
    match host {
        // A proxy on this machine hands on the name that it goes by itself.
        Host::Listener if signs_in && local && config.limits.trusted_proxies == 0 => {
            Exposure::SignInOnLoopback
        }
        _ if signs_in => Exposure::SignIn,
        Host::Listener | Host::Embedded if local => Exposure::Loopback,
        _ => Exposure::Open,
    }
}

/// Opens the store alone, for commands that look into it; `None` where nothing is kept. Must be called inside a tokio
/// runtime.
///
/// # Errors
/// [`AssembleError::Store`].
pub fn open_sessions(config: &Config) -> Result<Option<Sessions>, AssembleError> {
    Ok(sessions(config)?.0)
}

fn sessions(config: &Config) -> Result<(Option<Sessions>, String), AssembleError> {
    let times = Times { ttl: config.runs.session_ttl, ..Times::default() };
    let ttl = jiff::SignedDuration::try_from(times.ttl).ok();
    let listing = Listing::StartAndEnd;
    match &config.store {
        StoreConfig::None => Ok((None, "none (every message stands alone)".into())),
        StoreConfig::Memory => {
            let blobs = Arc::new(MemoryBlobs::default());
            let index = Arc::new(BlobIndex::new(blobs.clone(), ttl));
            let journals = Arc::new(NoJournals::default());
            let sessions = Sessions { store: blobs, index, journals, clock: Clock::System, times, listing };
            Ok((Some(sessions), "memory (gone when the server stops)".into()))
        }
        StoreConfig::Sqlite => {
            let folder = config.folders.data().map_err(|error| AssembleError::Store(error.to_string()))?;
            let path = folder.join("loquat.db");
            std::fs::create_dir_all(folder)
                .map_err(|error| AssembleError::Store(format!("{}: {error}", folder.display())))?;
            let blobs = SqliteBlobs::open(&path)
                .map_err(|error| AssembleError::Store(format!("{}: {error}", path.display())))?;
            let blobs = Arc::new(blobs);
            let journals = Arc::new(FileJournals::new(&folder.join("runs")));
            let sessions = Sessions {
                store: blobs.clone(),
                index: blobs,
                journals,
                clock: Clock::System,
                times,
                listing,
            };
            Ok((Some(sessions), format!("SQLite in {}", path.display())))
        }
        StoreConfig::Object { url, kms_key, endpoint } => {
            let mut settings =
                ObjectSettings::parse(url).map_err(|error| AssembleError::Store(error.to_string()))?;
            settings.kms_key_id.clone_from(kms_key);
            settings.endpoint.clone_from(endpoint);
            let blobs = Arc::new(ObjectBlobs::new(settings, aws::loader(None)));
            let index = Arc::new(BlobIndex::new(blobs.clone(), ttl));
            let journals =
                Arc::new(SegmentJournals::new(blobs.clone(), Clock::System, times.lease, times.patience));
            let listing = if config.on_lambda { Listing::BeforeEnd } else { Listing::End };
            let sessions = Sessions { store: blobs, index, journals, clock: Clock::System, times, listing };
            Ok((Some(sessions), url.clone()))
        }
    }
}

fn agents(
    config: &Config,
    model: Arc<dyn Model>,
    toolbox: &Arc<Toolbox>,
    aws: AwsLoader,
) -> Result<AgentSource, AssembleError> {
    let context: Arc<dyn ContextStrategy> = match config.context.strategy {
        ContextStrategyName::SlidingWindow => Arc::new(SlidingWindow::new(config.context.window)),
        ContextStrategyName::Null => Arc::new(Null),
        ContextStrategyName::TokenBudget => Arc::new(TokenBudget::new(config.context.tokens as u64)),
        ContextStrategyName::Summarizing => {
            Arc::new(Summarizing::new(config.context.window, Arc::clone(&model)))
        }
    };
    let instructions = Arc::new(Instructions::new(config, aws)?);
    let agent =
        Agent { model, system: None, tools: ToolSet::default(), context, limits: config.runs.limits.clone() };
    let toolbox = Arc::clone(toolbox);
    Ok(Arc::new(move || {
        let (mut agent, toolbox, instructions) =
            (agent.clone(), Arc::clone(&toolbox), Arc::clone(&instructions));
        async move {
            match instructions.get().await {
                Ok(system) => agent.system = system,
                Err(error) => {
                    agent.model = Arc::new(Speechless { name: agent.model.name().to_owned(), error });
                }
            }
            agent.tools = toolbox.tool_set().await;
            agent
        }
        .boxed()
    }))
}

/// Whether facts about the caller are kept, for the caller to see.
fn remembers(config: &Config) -> bool {
    let nobody_signs_in = config.auth.kind == AuthType::None;
    config.tools.tools.contains(&BuiltinTool::Memory)
        && (!nobody_signs_in || config.tools.builtin.memory.without_sign_in)
}

fn settings(config: &Config, demo: bool, note: Option<&str>) -> Settings {
    let installed = local::installed(config);
    let provider = Provider::of(&config.models[0].id).0;
    // The built-in model reads text alone.
    let takes_files = provider != Provider::Local;
    let page = &config.page;
    let page_config = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "agent": {
            "name": page.name,
            "greeting": page.greeting,
            "suggestions": page.suggestions,
            "logo": page.logo,
            "accent": page.accent,
        },
        "auth": config.auth.for_page(),
        "api_base": "",
        "model": {
            "id": config.models[0].id,
            "name": config.models[0].id,
            "demo": demo,
            "note": note,
            "installed": installed,
        },
        "attachments": {
            "images": takes_files,
            "documents": takes_files,
            "max_bytes": config.http.attachment_bytes,
        },
        "limits": {"message_bytes": config.http.message_bytes},
        "sessions": config.store != StoreConfig::None,
        "memory": remembers(config),
    });
    Settings {
        on_busy: config.runs.on_busy,
        dialects: config.dialects.clone(),
        message_bytes: config.http.message_bytes,
        attachment_bytes: config.http.attachment_bytes,
        body_bytes: config.http.body_bytes,
        attach_images: takes_files,
        attach_documents: takes_files,
        page_config: Arc::new(without_nulls(page_config)),
    }
}

/// Optional members are left out, never null.
fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name, without_nulls(member)))
            .collect(),
        other => other,
    }
}

/// Deletes what has expired, now and then.
async fn sweep(sessions: Sessions, usage: Arc<dyn UsageStore>) {
    let pause = (sessions.times.ttl / 24)
        .clamp(std::time::Duration::from_secs(1), std::time::Duration::from_secs(3600));
    loop {
        match sessions.sweep().await {
            Ok(0) => {}
            Ok(swept) => tracing::info!(swept, "deleted expired sessions"),
            Err(error) => tracing::warn!(%error, "expired sessions could not be deleted"),
        }
        tokio::time::sleep(pause).await;
        // The days a little later: a function that was just started has better things to do than to list them.
        if let Err(error) = forget_old_days(&*usage, jiff::Timestamp::now()).await {
            tracing::warn!(%error, "old days could not be deleted");
        }
    }
}
