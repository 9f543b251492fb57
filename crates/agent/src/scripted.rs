//! A model that says what a script says, for tests and for replaying a recorded run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::event::{StopReason, Usage};
use crate::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest};

/// One thing a scripted call does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Says this.
    Say(ModelEvent),
    /// Waits.
    Wait(Duration),
    /// Waits until the gate is opened once more.
    Gate(Arc<Semaphore>),
    /// Fails.
    Fail(ModelError),
}

/// Plays one script a call, in order; a call beyond the last script fails.
#[derive(Debug)]
pub struct ScriptedModel {
    name: String,
    scripts: Mutex<VecDeque<Vec<Step>>>,
    requests: Mutex<Vec<ModelRequest>>,
}

impl ScriptedModel {
    /// A model that answers its calls with these scripts.
    #[must_use]
    pub fn new(scripts: impl IntoIterator<Item = Vec<Step>>) -> Arc<Self> {
        Arc::new(Self {
            name: "scripted".into(),
            scripts: Mutex::new(scripts.into_iter().collect()),
            requests: Mutex::default(),
        })
    }

    /// The same under another name.
    #[must_use]
    pub fn named(name: &str, scripts: impl IntoIterator<Item = Vec<Step>>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            scripts: Mutex::new(scripts.into_iter().collect()),
            requests: Mutex::default(),
        })
    }

    /// The requests seen so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ModelRequest> {
        self.requests.lock().clone()
    }
}

impl Model for ScriptedModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        self.requests.lock().push(request);
        let script = self.scripts.lock().pop_front().unwrap_or_else(|| {
            vec![Step::Fail(ModelError::new(ModelErrorKind::Internal, "the script has no more calls"))]
        });
        stream::iter(script)
            .filter_map(|step| async move {
                match step {
                    Step::Say(event) => Some(Ok(event)),
                    Step::Fail(error) => Some(Err(error)),
                    Step::Wait(time) => {
                        tokio::time::sleep(time).await;
                        None
                    }
                    Step::Gate(gate) => {
                        // A closed gate lets everything through.
                        if let Ok(permit) = gate.acquire().await {
                            permit.forget();
                        }
                        None
                    }
                }
            })
            .boxed()
    }
}

/// A script that says a text, piece by piece, and ends its turn.
#[must_use]
pub fn says(pieces: &[&str]) -> Vec<Step> {
    let mut script: Vec<Step> =
        pieces.iter().map(|piece| Step::Say(ModelEvent::Text((*piece).to_owned()))).collect();
    script.extend(ends(StopReason::EndTurn));
    script
}

/// A script that asks for tools: `(id, name, input as JSON text)`.
#[must_use]
pub fn asks(calls: &[(&str, &str, &str)]) -> Vec<Step> {
    let mut script = Vec::new();
    for (id, name, input) in calls {
        script.push(Step::Say(ModelEvent::ToolStart { id: (*id).to_owned(), name: (*name).to_owned() }));
        script.push(Step::Say(ModelEvent::ToolInput { id: (*id).to_owned(), delta: (*input).to_owned() }));
    }
    script.extend(ends(StopReason::ToolUse));
    script
}

/// The proper end of a call, with its usage.
#[must_use]
pub fn ends(reason: StopReason) -> Vec<Step> {
    let usage = Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() };
    vec![Step::Say(ModelEvent::Usage { usage, model: None }), Step::Say(ModelEvent::Stop(reason))]
}
