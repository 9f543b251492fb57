//! What is asked of the engine, and why it says no.

use loquat_agent::message::Message;
use loquat_agent::model::Params;
use loquat_agent::tool::ToolSpec;
use loquat_agent::tool_set::ToolSet;
use loquat_agent::{Agent, Decision};
use serde::{Deserialize, Serialize};

use crate::auth::Principal;
use crate::ids::{RunId, SessionId};
use crate::limits::Limited;
use crate::runs::journal::JournalError;
use crate::runs::run::Form;
use crate::sessions::service::SessionError;

/// What happens to a message that finds its session busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// It is refused.
    #[default]
    Reject,
    /// It waits for its turn.
    Queue,
    /// The live run is stopped first.
    Interrupt,
}

/// What happens to a run whose last reader leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// It goes on and is saved.
    #[default]
    Finish,
    /// It is stopped.
    Cancel,
}

/// A request for a run.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// Who asks.
    pub principal: Principal,
    /// The session; without one a new one is begun.
    pub session_id: Option<SessionId>,
    /// The run's id, if the client chose it: the same id again attaches to the same run.
    pub run_id: Option<RunId>,
    /// What is asked.
    pub ask: Ask,
    /// In which words it is answered.
    pub form: Form,
    /// What to do if the session is busy.
    pub on_busy: OnBusy,
    /// Tools that run in the client.
    pub client_tools: Vec<ToolSpec>,
    /// Overrides of the model's parameters.
    pub params: Params,
    /// What else the request wants of the agent.
    pub wants: Wants,
}

/// What a request wants of the agent in this run alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wants {
    /// Instructions of the client, added after the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// No tool is to be called.
    #[serde(default)]
    pub no_tools: bool,
}

impl Wants {
    pub(super) fn apply(&self, agent: &mut Agent) {
        if let Some(more) = &self.instructions {
            agent.system = Some(match &agent.system {
                Some(own) => format!("{own}\n\n{more}").into(),
                None => more.as_str().into(),
            });
        }
        if self.no_tools {
            agent.tools = ToolSet::default();
        }
    }
}

/// What a run is about.
#[derive(Clone, Debug)]
pub enum Ask {
    /// A user's message.
    Message {
        /// The message.
        message: Message,
        /// Go on from the first so many messages.
        history_length: Option<usize>,
    },
    /// A message with everything that was said before it: the client keeps the conversation.
    Whole {
        /// What was said before, oldest first.
        history: Vec<Message>,
        /// The message.
        message: Message,
        /// Whether a new session is made of it. If not, nothing is stored: the run is known while it is in memory.
        stored: bool,
    },
    /// Decisions on the open calls of an interrupted run.
    Resume {
        /// The run that asked.
        asked_by: RunId,
        /// The decisions.
        decisions: Vec<Decision>,
    },
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The session is busy.
    #[error("the session is busy with run {0}")]
    Busy(RunId),
    /// The id belongs to a run of another session.
    #[error("the run id was used for another session")]
    RunConflict,
    /// The server is about to stop.
    #[error("the server is about to stop")]
    Draining,
    /// The caller, or everybody together, has too many runs or used too much.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The session could not be read or written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The run log could not be begun.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no store, so there is nothing to go on from.
    #[error("this service keeps no sessions")]
    Stateless,
    /// The run's task died before it began.
    #[error("the run could not be started")]
    Lost,
}
