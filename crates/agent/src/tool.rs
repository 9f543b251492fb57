//! The seam to a tool.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{Event, Progress};
use crate::message::ToolContent;

/// Something the model can ask for.
#[async_trait]
pub trait Tool: Send + Sync {
    /// What the model and the loop need to know. Constant for the tool's life.
    fn spec(&self) -> &ToolSpec;

    /// Runs it. Whatever goes wrong is an output with [`ToolOutput::is_error`], which the model can read; a panic is
    /// caught and becomes one. `input` has passed the schema.
    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput;
}

/// What is known about a tool before it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`, unique in an agent.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the input; its type is `object`.
    pub input_schema: Value,
    /// Whether the user must consent to each call.
    pub needs_approval: bool,
    /// It changes nothing outside: a call may be repeated after a crash.
    pub read_only: bool,
    /// It changes something, but a repetition with the same call id changes nothing more.
    pub idempotent: bool,
    /// How long one call may take.
    pub timeout: Duration,
    /// It runs in the client (AG-UI, OpenAI): the run ends as interrupted and goes on with the client's answer.
    pub client_side: bool,
}

impl ToolSpec {
    /// A tool with a time limit of 60 s that has effects and needs no approval.
    pub fn new(name: impl Into<String>, description: impl Into<String>, input_schema: Value) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema,
            needs_approval: false,
            read_only: false,
            idempotent: false,
            timeout: Duration::from_secs(60),
            client_side: false,
        }
    }

    /// Marks it as changing nothing outside.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Marks each call as needing the user's consent.
    #[must_use]
    pub fn needs_approval(mut self) -> Self {
        self.needs_approval = true;
        self
    }

    /// Whether running the same call twice could do harm.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        !self.read_only && !self.idempotent
    }
}

/// What a tool knows about the call it answers. Identity comes from here, never from the environment or the input.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// The session.
    pub session_id: Arc<str>,
    /// The run.
    pub run_id: Arc<str>,
    /// Who is asking; `None` where nobody signs in.
    pub user: Option<Arc<str>>,
    /// The call's id: an idempotency key.
    pub call_id: Arc<str>,
    /// Cancelled when the run is stopped or the time is up.
    pub cancel: CancellationToken,
    /// When the call must be over.
    pub deadline: Instant,
    /// Where to report progress.
    pub progress: ProgressSink,
}

/// Where a tool reports progress. Reports are dropped, not queued, when the run cannot keep up.
#[derive(Clone, Debug)]
pub struct ProgressSink {
    call_id: Arc<str>,
    sender: mpsc::Sender<Event>,
}

impl ProgressSink {
    pub(crate) fn new(call_id: Arc<str>, sender: mpsc::Sender<Event>) -> Self {
        Self { call_id, sender }
    }

    /// A sink for tests of a tool, and the receiving end.
    #[must_use]
    pub fn channel(call_id: &str) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self::new(call_id.into(), sender), receiver)
    }

    /// Reports progress to the clients that show it.
    pub fn report(&self, progress: Progress) {
        // A full channel means that reports come faster than they can be shown: the next one replaces this.
        let _ = self.sender.try_send(Event::ToolProgress { id: self.call_id.to_string(), progress });
    }

    /// Sends a message of the tool's own kind to the clients; the model does not read it. Waits for its place.
    pub async fn custom(&self, name: impl Into<String>, data: Value) {
        // The receiver is gone when the run is over: nobody is left to read it.
        let _ = self.sender.send(Event::Custom { name: name.into(), data }).await;
    }
}

/// What a tool answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolOutput {
    /// The blocks for the model.
    pub content: Vec<ToolContent>,
    /// Whether it failed.
    pub is_error: bool,
}

impl ToolOutput {
    /// A text answer.
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![ToolContent::Text(text.into())], is_error: false }
    }

    /// A JSON answer.
    #[must_use]
    pub fn json(value: Value) -> Self {
        Self { content: vec![ToolContent::Json(value)], is_error: false }
    }

    /// A failure, in words that help the model.
    pub fn error(text: impl Into<String>) -> Self {
        Self { content: vec![ToolContent::Text(text.into())], is_error: true }
    }
}
