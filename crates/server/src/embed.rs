//! Loquat inside a program of one's own: an axum router with the whole HTTP API and the page.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use loquat_server::embed::EmbeddedAgent;
//!
//! let agent = EmbeddedAgent::builder().config("system_prompt = \"You sell books.\"").build()?;
//! let app = axum::Router::new()
//!     .route("/books", axum::routing::get(|| async { "…" }))
//!     .fallback_service(agent.router());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let stop = async move {
//!     let _ = tokio::signal::ctrl_c().await;
//!     agent.shutdown().await;
//! };
//! axum::serve(listener, app).with_graceful_shutdown(stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! `fallback_service` leaves the program's own routes alone and gives everything else to the agent, its page included.
//! Nested under a prefix the API works as well; the page needs to be at the root. Limits per address need to know the
//! address: serve `app.into_make_service_with_connect_info::<SocketAddr>()`; without it only users are counted. The agent
//! logs by `tracing`; the subscriber is the program's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use loquat_agent::model::Model;
use loquat_agent::tool::Tool;

use crate::app;
use crate::assemble::{AssembleError, Own, Service, assemble_with};
use crate::auth::{Authenticator, Host};
use crate::config::{Config, ConfigError, Flags};

/// Why an agent could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The parts do not go together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
}

/// What the agent is made of. Whatever is not said is as for `loquat serve`.
#[derive(Default)]
pub struct Builder {
    flags: Flags,
    text: Option<String>,
    environment: Option<BTreeMap<String, String>>,
    own: Own,
}

impl Builder {
    /// Reads this file instead of the `loquat.toml` of the working folder.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.flags.config = Some(path.into());
        self
    }

    /// Takes the keys of `loquat.toml` from this text; no file is read. Paths in it are meant from the working folder.
    #[must_use]
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.text = Some(toml.into());
        self
    }

    /// Takes these variables in place of the process's environment.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = Some(variables.into_iter().collect());
        self
    }

    /// Answers with this model in place of the configured ones. Retries are the model's own affair.
    #[must_use]
    pub fn model(mut self, model: Arc<dyn Model>) -> Self {
        self.own.model = Some(model);
        self
    }

    /// Gives the agent one more tool. `[tool.NAME]` of the configuration applies to it as to any other.
    #[must_use]
    pub fn tool(mut self, tool: Arc<dyn Tool>) -> Self {
        self.own.tools.push(tool);
        self
    }

    /// Lets this decide who is asking, in place of `[auth]`. If it believes cookies, the program must refuse what other
    /// sites send with them (`SameSite`, a check of `Origin`): the agent's own ways to sign in use none.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.own.auth = Some(authenticator);
        self
    }

    /// Puts the agent together. Opens the store and starts tools' processes in the background, so it must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`EmbedError`]: the first setting that is wrong, or a store that cannot be opened.
    pub fn build(self) -> Result<EmbeddedAgent, EmbedError> {
        crate::tls::install();
        let config = match (&self.text, &self.environment) {
            (None, None) => Config::load(&self.flags)?,
            (None, Some(environment)) => Config::from(&self.flags, environment)?,
            (Some(text), environment) => Config::from_text(text, environment.as_ref())?,
        };
        let service = assemble_with(&config, Host::Embedded, self.own)?;
        Ok(EmbeddedAgent { service, drain: config.http.drain })
    }
}

/// An agent that lives in this process.
pub struct EmbeddedAgent {
    service: Service,
    drain: Duration,
}

impl EmbeddedAgent {
    /// Begins to describe an agent.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The HTTP API and the page. Can be asked for more than once; all routers share the agent.
    pub fn router(&self) -> Router {
        app::router(self.service.state.clone())
    }

    /// Takes no new messages from now on, lets running answers finish for `drain_seconds`, leaves the rest so that
    /// another process continues them, and ends the tools. Call it when the server is asked to stop and before it waits
    /// for its connections: whoever reads an answer keeps one open until it is finished, or until this lets it go.
    pub async fn shutdown(self) {
        self.service.state.engine.wind_down(self.drain).await;
        self.service.toolbox.shutdown().await;
    }
}
