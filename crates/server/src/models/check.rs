//! Whether the configured models answer: one tiny request to each.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use loquat_agent::message::Message;
use loquat_agent::model::{ModelEvent, ModelRequest, Params};
use tokio::time::Instant;

use super::build::{BuildContext, one};
use super::config::ModelConfig;

/// What came of one model.
#[derive(Debug)]
pub struct Checked {
    /// The configured id.
    pub id: String,
    /// Its answer, or what is wrong and what to do.
    pub result: Result<Latency, String>,
}

/// How fast a model answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// To the first token, reasoning included.
    pub first_token: Duration,
    /// To the end of the answer.
    pub total: Duration,
}

/// Asks each model once, all at the same time, without retries and fallbacks.
pub async fn check(configs: &[ModelConfig], cx: &BuildContext) -> Vec<Checked> {
    join_all(
        configs
            .iter()
            .map(|config| async move { Checked { id: config.id.clone(), result: ask(config, cx).await } }),
    )
    .await
}

async fn ask(config: &ModelConfig, cx: &BuildContext) -> Result<Latency, String> {
    let model = one(config, cx).map_err(|error| error.to_string())?;
    // A limit below the budget of reasoning would be refused.
    let limit = config.params.reasoning_budget.is_none().then_some(16);
    let request = ModelRequest {
        messages: vec![Message::user("Answer with the word: ok")],
        params: Params { max_output_tokens: limit, ..Params::default() },
        ..ModelRequest::default()
    };
    let began = Instant::now();
    let mut first_token = None;
    let mut answer = model.stream(request);
    while let Some(event) = answer.next().await {
        match event {
            Ok(ModelEvent::Stop(_)) => {
                let total = began.elapsed();
                return Ok(Latency { first_token: first_token.unwrap_or(total), total });
            }
            Ok(ModelEvent::Usage { .. } | ModelEvent::Reset { .. }) => {}
            Ok(_) => {
                first_token.get_or_insert_with(|| began.elapsed());
            }
            Err(error) => return Err(error.message),
        }
    }
    Err("the answer ended without its proper end".to_owned())
}
