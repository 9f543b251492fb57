//! What the tests of tools share.

use std::time::Duration;

use loquat_agent::event::Event;
use loquat_agent::tool::{ProgressSink, ToolContext};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The context of a call, and where its reports arrive.
pub(crate) fn context(call_id: &str) -> (ToolContext, mpsc::Receiver<Event>) {
    let (progress, events) = ProgressSink::channel(call_id);
    let context = ToolContext {
        session_id: "session".into(),
        run_id: "run".into(),
        user: None,
        call_id: call_id.into(),
        cancel: CancellationToken::new(),
        deadline: Instant::now() + Duration::from_secs(60),
        progress,
    };
    (context, events)
}
