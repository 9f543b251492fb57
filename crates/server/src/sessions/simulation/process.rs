//! A process: an engine over its own way to the store, with a model and a tool of the simulation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use loquat_agent::Agent;
use loquat_agent::context::SlidingWindow;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::message::Message;
use loquat_agent::model::{Model, ModelError, ModelErrorKind, ModelEvent, ModelRequest};
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use loquat_agent::tool_set::ToolSet;
use serde_json::{Value, json};

use super::Random;
use super::disk::{Disk, Fate, Port};
use crate::clock::Clock;
use crate::limits::{LimitsConfig, MemoryUsage, RunLimits};
use crate::runs::engine::{Engine, OnDisconnect};
use crate::runs::segments::SegmentJournals;
use crate::sessions::blob::BlobStore;
use crate::sessions::blob_index::BlobIndex;
use crate::sessions::service::{Listing, Sessions, Times};

/// A process.
pub(super) struct Process {
    port: Arc<Port>,
    pub(super) engine: Arc<Engine>,
    pub(super) sessions: Sessions,
}

impl Process {
    /// Starts a process, which meets a fate if it may.
    pub(super) fn start(disk: &Arc<Disk>, clock: Clock, random: &mut Random, mortal: bool) -> Arc<Self> {
        let at = 1 + random.below(60);
        let fate = match random.below(10) {
            _ if !mortal => Fate::None,
            0..=1 => Fate::DiesBefore(at),
            2..=3 => Fate::DiesAfter(at),
            4..=5 => Fate::Freezes(at, Duration::from_secs(5) + random.millis(60_000)),
            _ => Fate::None,
        };
        let faults = if mortal { [0, 0, 3, 12][usize::try_from(random.below(4)).unwrap_or(0)] } else { 0 };
        let port = Port::new(disk, Random::new(random.next()), fate, faults);
        let store: Arc<dyn BlobStore> = Arc::clone(&port) as _;
        let times = Times::default();
        let journals = SegmentJournals::new(Arc::clone(&store), clock, times.lease, times.patience);
        let sessions = Sessions {
            index: Arc::new(BlobIndex::new(Arc::clone(&store), None)),
            store,
            journals: Arc::new(journals),
            clock,
            times,
            listing: Listing::End,
        };
        let agent = Agent {
            model: Arc::new(SimulatedModel { port: Arc::clone(&port), disk: Arc::clone(disk) }),
            system: None,
            tools: ToolSet::new([Arc::new(Probe::new(Arc::clone(&port), Arc::clone(disk))) as Arc<dyn Tool>]),
            context: Arc::new(SlidingWindow::new(SlidingWindow::DEFAULT_SIZE)),
            limits: loquat_agent::Limits::default(),
        };
        let agents = Arc::new(move || {
            let agent = agent.clone();
            async move { agent }.boxed()
        });
        let limits = RunLimits::new(&LimitsConfig::default(), false, Arc::new(MemoryUsage::default()));
        let engine = Engine::new(Some(sessions.clone()), agents, clock, OnDisconnect::Finish, limits);
        Arc::new(Self { port, engine, sessions })
    }

    pub(super) fn is_dead(&self) -> bool {
        self.port.is_dead()
    }
}

/// The pieces of the answer to a question, which end in a number of their own.
pub(super) fn answer(question: &str) -> Vec<String> {
    let number: usize = question.trim_start_matches('q').parse().unwrap_or(0);
    (0..1 + number % 7).map(|piece| format!("[{number}.{piece}]")).collect()
}

/// Whether a question is answered with the help of the tool.
pub(super) fn needs_tool(question: &str) -> bool {
    question.trim_start_matches('q').parse::<usize>().unwrap_or(0).is_multiple_of(3)
}

/// Answers the last question, slowly.
struct SimulatedModel {
    port: Arc<Port>,
    disk: Arc<Disk>,
}

impl Model for SimulatedModel {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        if let Err(violation) = loquat_agent::invariants::check(&request.messages) {
            self.disk.violation(format!("a provider would refuse the request: {violation}"));
        }
        // Messages without an answer are joined: the last one is the question.
        let asked = request.messages.iter().rev().find(|message| message.starts_turn() || has_text(message));
        let question = asked.map(|message| message.text().lines().last().unwrap_or_default().to_owned());
        let Some(question) = question else {
            let error = ModelError::new(ModelErrorKind::BadRequest, "nothing is asked");
            return stream::iter([Err(error)]).boxed();
        };
        let answered = request.messages.last().is_some_and(|last| last.tool_results().next().is_some());
        let mut events = Vec::new();
        if needs_tool(&question) && !answered {
            let id = format!("call-{question}");
            events.push(ModelEvent::ToolStart { id: id.clone(), name: "probe".into() });
            events.push(ModelEvent::ToolInput { id, delta: "{}".into() });
            events.push(ModelEvent::Stop(StopReason::ToolUse));
        } else {
            events.extend(answer(&question).into_iter().map(ModelEvent::Text));
            let usage = Usage { input_tokens: 1, output_tokens: 1, ..Usage::default() };
            events.push(ModelEvent::Usage { usage, model: None });
            events.push(ModelEvent::Stop(StopReason::EndTurn));
        }
        let port = Arc::clone(&self.port);
        stream::iter(events)
            .then(move |event| {
                let port = Arc::clone(&port);
                async move {
                    let pause = port.draw(1_500);
                    tokio::time::sleep(pause).await;
                    port.alive().await;
                    Ok(event)
                }
            })
            .boxed()
    }
}

fn has_text(message: &Message) -> bool {
    message.role == loquat_agent::message::Role::User && !message.text().is_empty()
}

/// A tool with an effect: it counts.
struct Probe {
    spec: ToolSpec,
    port: Arc<Port>,
    disk: Arc<Disk>,
}

impl Probe {
    fn new(port: Arc<Port>, disk: Arc<Disk>) -> Self {
        let spec = ToolSpec::new("probe", "Counts", json!({"type": "object"}));
        Self { spec, port, disk }
    }
}

#[async_trait]
impl Tool for Probe {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _: Value, cx: ToolContext) -> ToolOutput {
        self.port.alive().await;
        *self.disk.tool_calls.lock().entry((cx.run_id.to_string(), cx.call_id.to_string())).or_default() += 1;
        let time = self.port.draw(3_000);
        tokio::time::sleep(time).await;
        self.port.alive().await;
        ToolOutput::text("counted")
    }
}
