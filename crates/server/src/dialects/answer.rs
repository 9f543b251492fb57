//! What a run has said so far, folded: for answers that are sent whole, in any dialect.

use loquat_agent::event::{Event, Outcome, Usage};
use serde::Serialize;
use serde_json::Value;

use super::chat::output;
use crate::runs::log::Log;
use crate::runs::run::{Look, RunInfo};

/// A call of one of the agent's own tools.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ToolReport {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Unknown where the call was made in an earlier run and allowed for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) is_error: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<u64>,
}

/// A call that waits: for the client, whose tool it is, or for the user's consent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Waiting {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// It did not fail.
    Finished(Outcome),
    /// It failed.
    Failed { error: String, code: String, retryable: bool },
}

/// What a run has said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) model: String,
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// The agent's own tools.
    pub(crate) tools: Vec<ToolReport>,
    /// The client's tools that it called.
    pub(crate) calls: Vec<Waiting>,
    /// Calls that wait for consent.
    pub(crate) approvals: Vec<Waiting>,
    /// `None` while it goes on.
    pub(crate) end: Option<End>,
    pub(crate) usage: Usage,
    /// What it cost in US dollars, where the prices are known.
    pub(crate) cost_usd: Option<f64>,
    seam: Seam,
    /// What a reset goes back to.
    step: (usize, usize, Seam),
}

impl Answer {
    /// Folds the log of a run.
    pub(crate) fn of(info: &RunInfo, look: &Look<'_>) -> Self {
        Self::folded(info, look.usage(), look.cost_usd(), look.log())
    }

    /// Folds a log.
    pub(crate) fn folded(info: &RunInfo, usage: Usage, cost_usd: Option<f64>, log: &Log) -> Self {
        let mut answer = Self { usage, cost_usd, ..Self::default() };
        log.each(|event| answer.take(info, event));
        answer
    }

    /// Takes one event in.
    pub(crate) fn take(&mut self, info: &RunInfo, event: &Event) {
        match event {
            Event::Started { model } => self.model.clone_from(model),
            Event::Text { text } => {
                self.text.push_str(self.seam.before(text));
                self.text.push_str(text);
            }
            Event::Reasoning { text, .. } => self.reasoning.push_str(text),
            Event::Reset { .. } => {
                self.text.truncate(self.step.0);
                self.reasoning.truncate(self.step.1);
                self.seam = self.step.2;
            }
            Event::ToolCall { id, name, input, .. } => {
                if !info.client_tools.contains(name) {
                    self.tools.push(ToolReport {
                        id: id.clone(),
                        name: name.clone(),
                        input: Some(input.clone()),
                        output: None,
                        is_error: None,
                        duration_ms: None,
                    });
                }
            }
            Event::ToolResult { id, name, content, is_error, duration_ms, .. } => {
                self.seam.cut();
                self.mark();
                if info.client_tools.contains(name) {
                    return;
                }
                if !self.tools.iter().any(|tool| tool.id == *id) {
                    self.tools.push(ToolReport {
                        id: id.clone(),
                        name: name.clone(),
                        input: None,
                        output: None,
                        is_error: None,
                        duration_ms: None,
                    });
                }
                if let Some(tool) = self.tools.iter_mut().find(|tool| tool.id == *id) {
                    tool.output = Some(output(content));
                    tool.is_error = Some(*is_error);
                    tool.duration_ms = Some(*duration_ms);
                }
            }
            Event::ApprovalRequested { id, name, input, reason, expires_at } => {
                self.tools.retain(|tool| tool.id != *id);
                self.approvals.push(Waiting {
                    id: id.clone(),
                    name: name.clone(),
                    input: input.clone(),
                    reason: reason.clone(),
                    expires_at: expires_at.clone(),
                });
            }
            Event::ClientCall { id, name, input } => {
                let (id, name, input) = (id.clone(), name.clone(), input.clone());
                self.calls.push(Waiting { id, name, input, reason: None, expires_at: None });
            }
            Event::Usage { .. } => self.mark(),
            Event::Finished { outcome } => self.end = Some(End::Finished(*outcome)),
            Event::Failed { error, code, retryable } => {
                self.end =
                    Some(End::Failed { error: error.clone(), code: code.clone(), retryable: *retryable });
            }
            Event::ToolStart { .. }
            | Event::ToolInput { .. }
            | Event::ToolProgress { .. }
            | Event::Custom { .. } => {}
        }
    }

    fn mark(&mut self) {
        self.step = (self.text.len(), self.reasoning.len(), self.seam);
    }
}

/// Where text that was said before a tool ran meets text that was said after it: in dialects that have one text for
/// both, a paragraph begins there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seam {
    said: bool,
    open: bool,
}

impl Seam {
    /// A tool answered.
    pub(crate) fn cut(&mut self) {
        self.open = self.said;
    }

    /// What stands before this piece.
    pub(crate) fn before(&mut self, piece: &str) -> &'static str {
        self.said = true;
        match std::mem::take(&mut self.open) {
            true if !piece.starts_with('\n') => "\n\n",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialects::tests::{info, run};
    use loquat_agent::event::StopReason;
    use loquat_agent::message::ToolContent;

    fn text(text: &str) -> Event {
        Event::Text { text: text.into() }
    }
    fn usage() -> Event {
        Event::Usage {
            step: 1,
            model: "m".into(),
            usage: Usage::default(),
            stop_reason: StopReason::EndTurn,
            cost_usd: None,
            totals_usd: None,
        }
    }
    fn call(id: &str, name: &str) -> Event {
        Event::ToolCall { id: id.into(), name: name.into(), input: json!({}), effects: false }
    }
    fn result(id: &str, name: &str) -> Event {
        let content = vec![ToolContent::Text("r".into())];
        Event::ToolResult {
            id: id.into(),
            name: name.into(),
            content,
            is_error: false,
            duration_ms: 1,
            rest: None,
        }
    }

    #[test]
    fn a_reset_takes_back_one_call_of_the_model() {
        let reset = || Event::Reset { reason: "cut".into() };
        let events = [
            text("a"),
            usage(),
            call("1", "own"),
            result("1", "own"),
            text("x"),
            reset(),
            text("b"),
            text("c"),
        ];
        let run = run(info(&[]), events);
        let answer = Answer::of(&run.info, &run.look());
        assert_eq!(answer.text, "a\n\nbc");
        assert_eq!(answer.tools.len(), 1);
        assert_eq!(answer.end, None);
    }

    #[test]
    fn the_clients_calls_are_told_once_they_wait() {
        let waits = Event::ClientCall { id: "2".into(), name: "theirs".into(), input: json!({"a": 1}) };
        // The first was answered here, since its input was wrong.
        let events = [
            call("1", "theirs"),
            result("1", "theirs"),
            call("2", "theirs"),
            waits,
            Event::Finished { outcome: Outcome::Interrupted },
        ];
        let run = run(info(&["theirs"]), events);
        let answer = Answer::of(&run.info, &run.look());
        assert_eq!(answer.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["2"]);
        assert!(answer.tools.is_empty());
    }

    #[test]
    fn paragraphs_begin_where_tools_ran() {
        let mut seam = Seam::default();
        seam.cut();
        assert_eq!(seam.before("a"), "", "nothing was said before");
        seam.cut();
        assert_eq!(seam.before("b"), "\n\n");
        assert_eq!(seam.before("c"), "");
        seam.cut();
        assert_eq!(seam.before("\nd"), "", "the model began one itself");
    }
}
