//! Wire formats: projections of one run log. The only place in the server that knows wire names.

pub(crate) mod a2a;
pub(crate) mod ag_ui;
pub(crate) mod agentcore;
pub(crate) mod ai_sdk;
pub(crate) mod answer;
mod chat;
pub mod config;
mod frames;
pub(crate) mod mcp;
pub(crate) mod openai;
pub(crate) mod responses;
pub(crate) mod told;

use loquat_agent::event::Usage;
use loquat_agent::message::Message;

use crate::runs::log::{Entry, Log};
use crate::runs::run::{DialectName, Form, Run, RunInfo};

/// Whether a stream goes on after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// This was its last frame.
    End,
}

/// What an encoder may say beside the event itself.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What is known of the run from its start.
    pub info: &'a RunInfo,
    /// The tokens of the run so far.
    pub usage: Usage,
    /// What they cost in US dollars, where the prices are known.
    pub cost_usd: Option<f64>,
    /// What the session holds after the turn, once that is known.
    pub message_count: Option<usize>,
    /// The events of the run.
    pub log: &'a Log,
    /// The conversation up to the run, the user's message included, where the dialect needs it and it is known.
    pub before: Option<&'a [Message]>,
}

/// Turns events into frames of one wire format.
pub trait Encoder: Send {
    /// Adds the frames of event number `n` to `out`.
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow;

    /// Adds something that keeps the connection open and that clients pass over.
    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": ping\n\n");
    }

    /// Adds the frames of a failure that has no run (it could not be started after the answer had begun).
    fn failure(&mut self, error: &str, code: &str, retryable: bool, out: &mut Vec<u8>);

    /// Adds the frame that sends a client on to another answer, after event number `after`; `false` in dialects that
    /// have no such frame. Their answers are cut by the host when its time is up, and resumed by those that can.
    fn hand_over(&mut self, _info: &RunInfo, _after: u64, _out: &mut Vec<u8>) -> bool {
        false
    }

    /// Whether frames depend on what was said before: then the events before a cursor are encoded too, and dropped.
    fn stateful(&self) -> bool {
        false
    }

    /// Whether [`Self::resume`] tells all that was said: what such a client had before does not matter, and it is told the
    /// end even if it had it.
    fn begins_anew(&self) -> bool {
        false
    }

    /// Adds what a client needs that comes back after event number `after`, before the events after it.
    fn resume(&mut self, _after: u64, _facts: &Facts<'_>, _out: &mut Vec<u8>) {}

    /// Headers beside the common ones.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// The encoder of a form.
#[must_use]
pub fn encoder(form: &Form) -> Box<dyn Encoder> {
    match form.dialect {
        DialectName::Chat => Box::new(chat::Chat::new(form.all)),
        DialectName::Openai => Box::new(openai::Openai::new(form)),
        DialectName::OpenaiResponses => Box::new(responses::Responses::new(form)),
        DialectName::Agentcore => Box::new(agentcore::Agentcore::default()),
        DialectName::A2a => Box::new(a2a::A2a::default()),
        DialectName::Mcp => Box::new(mcp::Mcp::new(form)),
        DialectName::AgUi => Box::new(ag_ui::AgUi::new(&form.options)),
        DialectName::AiSdk => Box::new(ai_sdk::AiSdk::new(form)),
    }
}

/// Whether a run can be read in a dialect at `GET /runs/{id}/events`.
#[must_use]
pub fn readable(dialect: DialectName) -> bool {
    match dialect {
        DialectName::Chat
        | DialectName::AgUi
        | DialectName::AiSdk
        | DialectName::Openai
        | DialectName::OpenaiResponses
        | DialectName::Agentcore
        | DialectName::A2a => true,
        // The answer to a call of MCP needs the call.
        DialectName::Mcp => false,
    }
}

/// Whether clients of a form can take back what they have shown. The others get an error instead of a second copy.
#[must_use]
pub fn takes_back(form: &Form) -> bool {
    match form.dialect {
        DialectName::Chat | DialectName::AiSdk => form.all,
        // The answer to a call of MCP is sent when it is complete.
        DialectName::AgUi | DialectName::Mcp => true,
        // Their streams only ever add. An answer that is sent whole is made when it is complete.
        DialectName::Openai | DialectName::OpenaiResponses | DialectName::Agentcore | DialectName::A2a => {
            form.options["whole"] == true
        }
    }
}

/// What an encoder may say of a run at this moment.
pub(crate) fn facts<'a>(run: &'a Run, look: &'a crate::runs::run::Look<'_>) -> Facts<'a> {
    Facts {
        info: &run.info,
        usage: look.usage(),
        cost_usd: look.cost_usd(),
        message_count: look.message_count(),
        log: look.log(),
        before: run.before(),
    }
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
