//! The providers against the mock: one suite for all of them.

mod breaks;
mod calls;
mod conformance;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use loquat_agent::message::Message;
use loquat_agent::model::{Model, ModelError, ModelEvent, ModelRequest};
use loquat_agent::tool::ToolSpec;
use loquat_bench::mock::MockServer;
use loquat_server::models::{BedrockOptions, BuildContext, ModelConfig, Retry, Timeouts, build};
use loquat_server::secret::Secret;
use serde_json::json;

pub(crate) const PROVIDERS: [&str; 3] =
    ["openai/mock", "anthropic/claude-mock", "bedrock/eu.anthropic.claude-sonnet-4-v1:0"];

/// A model of `id` at a base URL (without `/v1`), with retries that do not take long.
pub(crate) fn config(id: &str, url: &str) -> ModelConfig {
    let suffix = if id.starts_with("openai/") { "/v1" } else { "" };
    ModelConfig {
        id: id.to_owned(),
        base_url: Some(format!("{url}{suffix}")),
        api_key: Some(Secret::new("key-of-the-tests")),
        retry: Retry { base: Duration::from_millis(1), ..Retry::default() },
        timeouts: Timeouts { between_bytes: Duration::from_secs(20), ..Timeouts::default() },
        bedrock: BedrockOptions { region: Some("eu-west-1".into()), ..BedrockOptions::default() },
        ..ModelConfig::default()
    }
}

/// The same without retries.
pub(crate) fn once(config: ModelConfig) -> ModelConfig {
    ModelConfig { retry: Retry { attempts: 1, ..config.retry }, ..config }
}

pub(crate) fn model(config: ModelConfig) -> Arc<dyn Model> {
    build(&[config], &BuildContext::default()).unwrap()
}

pub(crate) fn mock_model(id: &str, mock: &MockServer) -> Arc<dyn Model> {
    model(config(id, &mock.url()))
}

/// A user's message, with two tools at hand.
pub(crate) fn ask(text: &str) -> ModelRequest {
    let schema = json!({"type": "object"});
    ModelRequest {
        messages: vec![Message::user(text)],
        tools: Arc::from([
            ToolSpec::new("add", "Adds", schema.clone()),
            ToolSpec::new("now", "The time", schema),
        ]),
        ..ModelRequest::default()
    }
}

pub(crate) async fn run(
    model: &Arc<dyn Model>,
    request: ModelRequest,
) -> Vec<Result<ModelEvent, ModelError>> {
    tokio::time::timeout(Duration::from_secs(60), model.stream(request).collect()).await.expect("it hangs")
}

/// What a person and the loop keep of a call: what was said since the last reset, and how it ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Transcript {
    pub(crate) said: Vec<ModelEvent>,
    pub(crate) failure: Option<Kind>,
    /// Whether text was said and taken back.
    pub(crate) text_taken_back: bool,
}

/// A failure, comparable.
pub(crate) type Kind = loquat_agent::model::ModelErrorKind;

impl Transcript {
    /// Checks the contract of the stream on the way: one end, and nothing after it. Pieces are joined: how a text is cut
    /// is no part of it. Usage is left out: each protocol's request has another size.
    pub(crate) fn of(events: Vec<Result<ModelEvent, ModelError>>) -> Self {
        let mut transcript = Self { said: Vec::new(), failure: None, text_taken_back: false };
        let mut ended = false;
        for event in events {
            assert!(!ended, "{event:?} after the end");
            match event {
                Err(error) => {
                    ended = true;
                    transcript.failure = Some(error.kind);
                }
                Ok(ModelEvent::Reset { .. }) => {
                    transcript.text_taken_back |= transcript.has_text();
                    transcript.said.clear();
                }
                Ok(ModelEvent::Usage { .. }) => {}
                Ok(event) => {
                    ended = matches!(event, ModelEvent::Stop(_));
                    transcript.add(event);
                }
            }
        }
        assert!(ended, "no end: {transcript:?}");
        transcript
    }

    fn add(&mut self, event: ModelEvent) {
        match (self.said.last_mut(), &event) {
            (Some(ModelEvent::Text(text)), ModelEvent::Text(more))
            | (Some(ModelEvent::Reasoning(text)), ModelEvent::Reasoning(more)) => text.push_str(more),
            (Some(ModelEvent::ToolInput { id, delta }), ModelEvent::ToolInput { id: same, delta: more })
                if id == same =>
            {
                delta.push_str(more);
            }
            _ => self.said.push(event),
        }
    }

    /// Whether text had been said.
    pub(crate) fn has_text(&self) -> bool {
        self.said.iter().any(|event| matches!(event, ModelEvent::Text(_)))
    }
}

/// Ids of calls are the provider's: they are numbered anew, so that answers can be compared.
pub(crate) fn renumbered(mut said: Vec<ModelEvent>) -> Vec<ModelEvent> {
    let mut seen: Vec<String> = Vec::new();
    for event in &mut said {
        if let ModelEvent::ToolStart { id, .. } | ModelEvent::ToolInput { id, .. } = event {
            let at = seen.iter().position(|known| known == id).unwrap_or_else(|| {
                seen.push(id.clone());
                seen.len() - 1
            });
            *id = at.to_string();
        }
    }
    said
}
