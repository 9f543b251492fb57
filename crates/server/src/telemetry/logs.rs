//! Log lines: text for people in a terminal, one JSON object a line elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use super::json::JsonLayer;
use crate::config::LogConfig;

/// A filter that cannot be read, or logs that were set up before.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter.
    #[error("RUST_LOG = {value}: expected a level or a filter like info,loquat_server=debug ({error})")]
    Filter {
        /// What was written.
        value: String,
        /// What is wrong with it.
        error: tracing_subscriber::filter::ParseError,
    },
    /// Set up twice.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Sets up the process's log, on standard error.
///
/// # Errors
/// [`LogError`].
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    // The MCP client logs whole messages of servers, the AWS SDK's event streams log frames, hyper and h2 log headers:
    // what users wrote, what tools answered, and credentials.
    let quiet = if config.content {
        ""
    } else {
        ",rmcp=off,aws_smithy_http=info,aws_smithy_runtime=info,aws_smithy_eventstream=info,hyper=info,h2=info"
    };
    let filter = EnvFilter::try_new(format!("{}{quiet}", config.filter))
        .map_err(|error| LogError::Filter { value: config.filter.clone(), error })?;
    let terminal = std::io::stderr().is_terminal();
    let registry = tracing_subscriber::registry().with(filter);
    if config.json.unwrap_or(!terminal) {
        registry.with(JsonLayer::new(config.service.clone(), config.function.clone())).try_init()?;
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(terminal)
            .with_target(false)
            .with_writer(std::io::stderr);
        registry.with(layer).try_init()?;
    }
    Ok(())
}
