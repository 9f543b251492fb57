//! One run as its readers see it: a log that grows until its terminal event.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use loquat_agent::event::{Event, Usage};
use loquat_agent::message::Message;
use loquat_agent::model::Params;
use loquat_agent::tool::ToolSpec;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::journal::Stored;
use super::log::{Entry, Log};
use crate::auth::Owner;
use crate::ids::{RunId, SessionId};
use crate::runs::engine::Wants;
use crate::telemetry::cost;

/// What is known about a run from its start. The first line of its stored log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The run.
    pub id: RunId,
    /// Its session.
    pub session_id: SessionId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// How many messages were stored before this turn.
    pub history_length: usize,
    /// The dialect of the request that started it, and its form.
    #[serde(default)]
    pub form: Form,
    /// The run this one goes on from, after a decision of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<RunId>,
    /// The names of the tools that the client brought along and runs itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_tools: Vec<String>,
    /// What was asked for beside the message.
    #[serde(default, skip_serializing_if = "Terms::is_plain")]
    pub terms: Terms,
}

impl RunInfo {
    /// Of the first run of a session, asked for in the usual form and with nothing beside the message.
    #[must_use]
    pub fn new(id: RunId, session_id: SessionId, created_at: Timestamp) -> Self {
        Self {
            id,
            session_id,
            created_at,
            history_length: 0,
            form: Form::default(),
            continues: None,
            client_tools: Vec::new(),
            terms: Terms::default(),
        }
    }
}

/// What a request asked for beside its message. It is in the log so that another process can go on with the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Who asked, as tools are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Tools that run in the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_tools: Vec<ToolSpec>,
    /// Overrides of the model's parameters.
    #[serde(default)]
    pub params: Params,
    /// What else it wants of the agent.
    #[serde(default)]
    pub wants: Wants,
}

impl Terms {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// In which words a run's events are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// The dialect.
    #[serde(default)]
    pub dialect: DialectName,
    /// `chat`: every event, or the answer's text alone. `ai_sdk`: also the chunks that older clients do not know.
    /// `openai`: also the frame with the usage.
    #[serde(default)]
    pub all: bool,
    /// What else the dialect needs to know of the request, in words of its own.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub options: serde_json::Value,
}

impl Form {
    /// A dialect without options.
    #[must_use]
    pub fn of(dialect: DialectName) -> Self {
        Self { dialect, all: true, options: serde_json::Value::Null }
    }
}

/// The dialects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialectName {
    /// The reference's own.
    #[default]
    Chat,
    /// AG-UI 1.0.
    AgUi,
    /// AI SDK UI message stream v1.
    AiSdk,
    /// OpenAI chat completions.
    Openai,
    /// OpenAI responses.
    OpenaiResponses,
    /// Bedrock AgentCore Runtime.
    Agentcore,
    /// A2A 1.0.
    A2a,
    /// The Model Context Protocol.
    Mcp,
}

impl DialectName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Chat,
        Self::AgUi,
        Self::AiSdk,
        Self::Openai,
        Self::OpenaiResponses,
        Self::Agentcore,
        Self::A2a,
        Self::Mcp,
    ];
}

/// One run. Shared by the task that drives it and by its readers.
#[derive(Debug)]
pub struct Run {
    /// What is known from its start.
    pub info: RunInfo,
    /// Whose it is.
    pub owner: Owner,
    /// Stops it.
    pub cancel: CancellationToken,
    /// Asks it to pause before its next step.
    pub pause: CancellationToken,
    state: Mutex<State>,
    /// The number of events readers may see.
    shown: watch::Sender<u64>,
    started: Instant,
    before: OnceLock<Vec<Message>>,
}

#[derive(Debug, Default)]
struct State {
    log: Log,
    ended: bool,
    /// What the session held after the turn was committed.
    message_count: Option<usize>,
    /// The number of the writer's last event, if another process gave the log its end.
    sealed_after: Option<u64>,
    /// The number of events when somebody first asked to stop.
    stop_asked: Option<u64>,
    usage: Usage,
    cost_usd: Option<f64>,
    /// Bytes given to readers.
    sent: u64,
    text_chars: usize,
    /// When a run that was asked to pause does so in the middle of a step.
    pause_by: Option<tokio::time::Instant>,
    /// It was paused: its log goes on in another process, or in this one under another object.
    handed_over: bool,
    /// This process does its work (it does not follow another's).
    driven: bool,
    /// The user's message is stored.
    held: bool,
}

impl Run {
    /// A run without events yet.
    #[must_use]
    pub fn new(info: RunInfo, owner: Owner) -> Arc<Self> {
        Arc::new(Self {
            info,
            owner,
            cancel: CancellationToken::new(),
            pause: CancellationToken::new(),
            state: Mutex::default(),
            shown: watch::Sender::new(0),
            started: Instant::now(),
            before: OnceLock::new(),
        })
    }

    /// The conversation up to the run, the user's message included, if somebody has noted it.
    #[must_use]
    pub fn before(&self) -> Option<&[Message]> {
        self.before.get().map(Vec::as_slice)
    }

    /// Notes the conversation up to the run, for dialects that tell it.
    pub fn set_before(&self, messages: Vec<Message>) {
        // Whoever was first noted the same.
        let _ = self.before.set(messages);
    }

    /// A run that another process drives or drove. Its user's message is stored.
    #[must_use]
    pub(crate) fn elsewhere(info: RunInfo, owner: Owner) -> Arc<Self> {
        let run = Self::new(info, owner);
        run.set_held();
        run
    }

    /// Shows events to the readers. What follows a terminal event is dropped: there is exactly one, and it is last.
    pub fn show(&self, events: impl IntoIterator<Item = Event>) {
        let mut state = self.state.lock();
        for event in events {
            if state.ended {
                break;
            }
            state.ended = event.is_terminal();
            match &event {
                Event::Usage { usage, cost_usd, .. } => {
                    state.usage += *usage;
                    state.cost_usd = cost::sum(state.cost_usd, *cost_usd);
                }
                Event::Text { text } => state.text_chars += text.chars().count(),
                _ => {}
            }
            state.log.push(event);
        }
        let len = state.log.len();
        drop(state);
        self.shown.send_replace(len);
    }

    /// Shows what is new in a stored log.
    pub(crate) fn show_stored(&self, stored: Stored) {
        let known = {
            let mut state = self.state.lock();
            state.message_count = stored.message_count.or(state.message_count);
            state.sealed_after = stored.sealed_after;
            usize::try_from(state.log.len()).unwrap_or(usize::MAX)
        };
        self.show(stored.events.into_iter().skip(known));
    }

    /// Notes how many messages the session holds now; readers of the terminal event are told.
    pub fn set_message_count(&self, count: usize) {
        self.state.lock().message_count = Some(count);
    }

    /// Asks it to stop. Repeated asking changes nothing.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        let len = state.log.len();
        state.stop_asked.get_or_insert(len);
        drop(state);
        self.cancel.cancel();
    }

    /// Asks it to pause, because this process can do no more for it: at the end of its step, or in the middle of it
    /// when `patience` is over. Where nothing outlives the process the run ends instead.
    pub fn hand_over(&self, patience: Duration) {
        let by = tokio::time::Instant::now() + patience;
        self.state.lock().pause_by.get_or_insert(by);
        self.pause.cancel();
    }

    /// When it pauses in the middle of a step, if it was asked to.
    #[must_use]
    pub fn pause_by(&self) -> Option<tokio::time::Instant> {
        self.state.lock().pause_by
    }

    /// Says that it was paused, and whoever is asked for it next may go on with it.
    pub fn set_handed_over(&self) {
        self.state.lock().handed_over = true;
        self.shown.send_modify(|_| {});
    }

    /// Whether it was paused.
    #[must_use]
    pub fn handed_over(&self) -> bool {
        self.state.lock().handed_over
    }

    /// Says that this process does its work from now on.
    pub fn set_driven(&self) {
        self.state.lock().driven = true;
    }

    /// Whether this process does its work.
    #[must_use]
    pub fn driven(&self) -> bool {
        self.state.lock().driven
    }

    /// Looks at the log. The look blocks the writer: keep it short.
    pub fn look(&self) -> Look<'_> {
        Look(self.state.lock())
    }

    /// Whether the terminal event has been shown.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Milliseconds since the run object was made.
    #[must_use]
    pub fn age_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells when there are more events.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shown.subscribe()
    }

    /// How many readers it has.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.shown.receiver_count()
    }

    /// Says that the user's message is stored.
    pub fn set_held(&self) {
        self.state.lock().held = true;
        self.shown.send_modify(|_| {});
    }

    /// Whether the user's message is stored.
    #[must_use]
    pub fn held(&self) -> bool {
        self.state.lock().held
    }

    /// Waits until the user's message is stored; no if the run could not begin.
    pub async fn begun(&self) -> bool {
        let mut shown = self.watch();
        loop {
            {
                let state = self.state.lock();
                if state.held || state.ended {
                    return state.held;
                }
            }
            // The sender lives as long as `self`.
            let _ = shown.changed().await;
        }
    }

    /// Waits until the terminal event has been shown, or the run was handed over.
    pub async fn finished(&self) {
        let mut shown = self.watch();
        while !self.ended() && !self.handed_over() {
            // The sender lives as long as `self`.
            let _ = shown.changed().await;
        }
    }
}

/// A locked look at a run's log.
pub struct Look<'a>(MutexGuard<'a, State>);

impl Look<'_> {
    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// The terminal event, if it has come.
    #[must_use]
    pub fn terminal(&self) -> Option<Event> {
        match (self.0.ended, self.0.log.last()) {
            (true, Some(Entry::Other(event))) => Some(event.clone()),
            _ => None,
        }
    }

    /// Whether a client's cursor stands behind the last event that the run's own process wrote to the log, in one that
    /// another process ended: what it saw there need not be what the log says.
    #[must_use]
    pub(crate) fn diverges_at(&self, cursor: u64) -> bool {
        self.0.ended && self.0.sealed_after.is_some_and(|last| cursor > last)
    }

    /// Whether the process that ended this log added more than the end.
    #[must_use]
    pub(crate) fn is_completed(&self) -> bool {
        self.0.sealed_after.is_some_and(|last| self.0.log.len() > last + 1)
    }

    /// What the session held after the turn.
    #[must_use]
    pub fn message_count(&self) -> Option<usize> {
        self.0.message_count
    }

    /// The tokens of all its model calls.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.usage
    }

    /// What they cost in US dollars, where the prices are known.
    #[must_use]
    pub fn cost_usd(&self) -> Option<f64> {
        self.0.cost_usd
    }

    /// How many bytes readers were given.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.sent
    }

    /// Counts bytes that a reader is given.
    pub fn add_sent(&mut self, bytes: usize) {
        self.0.sent += bytes as u64;
    }

    /// How many characters of text it has shown.
    #[must_use]
    pub fn text_chars(&self) -> usize {
        self.0.text_chars
    }

    /// How many events came after somebody asked to stop, the terminal one not counted.
    #[must_use]
    pub fn events_after_stop(&self) -> u64 {
        let all = self.0.log.len().saturating_sub(u64::from(self.0.ended));
        self.0.stop_asked.map_or(0, |asked| all.saturating_sub(asked))
    }
}
