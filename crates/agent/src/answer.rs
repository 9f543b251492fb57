//! What one model call says, as it arrives.

use std::collections::HashSet;

use crate::agent_loop::Turn;
use crate::calls::Call;
use crate::event::{Event, Usage};
use crate::model::ModelEvent;

/// What one model call has said so far.
pub(crate) struct Answer {
    pub(crate) calls: Vec<Call>,
    pub(crate) usage: Usage,
    pub(crate) model: Option<String>,
    /// Ids in use before this call: a provider that repeats one gets it changed.
    taken: HashSet<String>,
    /// The provider's id of the call being written, where it had to be changed.
    renamed: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn new(turn: &Turn) -> Self {
        let taken = turn
            .view
            .iter()
            .chain(&turn.transcript.messages())
            .flat_map(|message| message.tool_uses().map(|t| t.tool_use_id.clone()).collect::<Vec<_>>())
            .collect();
        Self { calls: Vec::new(), usage: Usage::default(), model: None, taken, renamed: Vec::new() }
    }

    /// Notes what the model said and gives the event to show, if there is one.
    pub(crate) fn take(&mut self, event: ModelEvent) -> Option<Event> {
        let reasoning = |text, signature, redacted| Some(Event::Reasoning { text, signature, redacted });
        match event {
            ModelEvent::Text(text) if text.is_empty() => None,
            ModelEvent::Text(text) => Some(Event::Text { text }),
            ModelEvent::Reasoning(text) if text.is_empty() => None,
            ModelEvent::Reasoning(text) => reasoning(text, None, None),
            ModelEvent::ReasoningSignature(signature) => reasoning(String::new(), Some(signature), None),
            ModelEvent::RedactedReasoning(redacted) => reasoning(String::new(), None, Some(redacted)),
            ModelEvent::ToolStart { id, name } => {
                let own = self.own_id(&id);
                self.calls.push(Call::new(own.clone(), name.clone()));
                Some(Event::ToolStart { id: own, name })
            }
            ModelEvent::ToolInput { id, delta } => {
                let id = self
                    .renamed
                    .iter()
                    .rev()
                    .find(|(theirs, _)| *theirs == id)
                    .map_or(id, |(_, own)| own.clone());
                let call = self.calls.iter_mut().rev().find(|call| call.id == id)?;
                call.input_text.push_str(&delta);
                (!delta.is_empty()).then_some(Event::ToolInput { id, delta })
            }
            ModelEvent::Reset { reason } => {
                self.calls.clear();
                self.renamed.clear();
                Some(Event::Reset { reason })
            }
            ModelEvent::Usage { usage, model } => {
                self.usage = usage;
                self.model = model.or(self.model.take());
                None
            }
            ModelEvent::Stop(_) => None,
        }
    }

    /// The provider's id, unless it is empty or was used before.
    fn own_id(&mut self, theirs: &str) -> String {
        let mut own = theirs.to_owned();
        let mut n = self.taken.len();
        while own.is_empty() || self.taken.contains(&own) {
            n += 1;
            own = format!("{}-{n}", if theirs.is_empty() { "call" } else { theirs });
        }
        if own != theirs {
            self.renamed.push((theirs.to_owned(), own.clone()));
        }
        self.taken.insert(own.clone());
        own
    }
}
