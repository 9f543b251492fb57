//! The AI SDK's UI message stream, version 1.
//!
//! One message of the assistant tells a whole turn: steps, each with the model's words, its calls, and the tools'
//! answers. A run that goes on with an interrupted turn goes on with the same message.

mod chunks;
pub(crate) mod input;
pub(crate) mod told;

use base64::Engine as _;
use loquat_agent::event::{Event, Outcome, Progress, Usage};
use loquat_agent::message::{Image, Source, ToolContent};
use serde_json::Value;

use self::chunks::{Begun, Chunk, Data, Ended, Failure, Spent, Tokens};
use super::chat::output;
use super::frames::Frames;
use super::{Encoder, Facts, Flow};
use crate::runs::log::Entry;
use crate::runs::run::Form;
use crate::telemetry::cost;

/// What is open in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Reasoning,
}

/// Encodes the UI message stream.
#[derive(Debug)]
pub(super) struct AiSdk {
    /// Whether the client knows the chunks that came after the stream's first version.
    new_chunks: bool,
    /// Calls whose answers the client gave itself.
    answered: Vec<String>,
    /// Calls that the user did not allow.
    denied: Vec<String>,
    /// The client goes on with the message that it has.
    goes_on: bool,
    open: Open,
    /// The id of the open part.
    part: String,
    parts: usize,
    step_open: bool,
    /// Its model call is over; its tools may still run.
    step_over: bool,
    /// Calls that the model is writing, or has written and that have not begun to run.
    writing: Vec<(String, String)>,
    /// The tokens of all model calls so far.
    usage: Usage,
    /// What the tokens so far cost, where that is known.
    cost_usd: Option<f64>,
}

impl AiSdk {
    pub(super) fn new(form: &Form) -> Self {
        let ids = |name: &str| {
            let ids = form.options[name].as_array().into_iter().flatten();
            ids.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            new_chunks: form.all,
            answered: ids("answered"),
            denied: ids("denied"),
            goes_on: form.options["goes_on"] == true,
            open: Open::Nothing,
            part: String::new(),
            parts: 0,
            step_open: false,
            step_over: false,
            writing: Vec::new(),
            usage: Usage::default(),
            cost_usd: None,
        }
    }

    fn close(&mut self, frames: &mut Frames<'_>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Text => frames.add(&Chunk::TextEnd { id: &self.part }),
            Open::Reasoning => frames.add(&Chunk::ReasoningEnd { id: &self.part }),
        }
    }

    fn close_step(&mut self, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        self.close(frames);
        self.void(facts, frames);
        if std::mem::take(&mut self.step_open) {
            frames.add(&Chunk::FinishStep);
        }
    }

    /// The model says something: a step is open.
    fn speak(&mut self, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        if !self.step_open || self.step_over {
            self.close_step(facts, frames);
            self.step_over = false;
            self.step_open = true;
            frames.add(&Chunk::StartStep);
        }
    }

    /// Calls that were begun and that will not run.
    fn void(&mut self, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        for (id, name) in std::mem::take(&mut self.writing) {
            frames.add(&Chunk::ToolInputError {
                tool_call_id: &id,
                tool_name: &name,
                input: &Value::Object(serde_json::Map::new()),
                dynamic: is_dynamic(&name, facts),
                error_text: "This call was not completed.",
            });
        }
    }

    fn begin(&mut self, what: Open, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        self.close(frames);
        self.speak(facts, frames);
        self.open = what;
        self.parts += 1;
        // Unique in the message, which may be told by several runs.
        self.part = format!("{}-{}", facts.info.id, self.parts);
    }

    fn text(&mut self, delta: &str, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        if self.open != Open::Text {
            self.begin(Open::Text, facts, frames);
            frames.add(&Chunk::TextStart { id: &self.part });
        }
        frames.add(&Chunk::TextDelta { id: &self.part, delta });
    }

    fn think(&mut self, delta: &str, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        if self.open != Open::Reasoning {
            self.begin(Open::Reasoning, facts, frames);
            frames.add(&Chunk::ReasoningStart { id: &self.part });
        }
        frames.add(&Chunk::ReasoningDelta { id: &self.part, delta });
    }

    fn result(&self, id: &str, content: &[ToolContent], is_error: bool, frames: &mut Frames<'_>) {
        if self.answered.iter().any(|answered| answered == id) {
            return;
        }
        if self.denied.iter().any(|denied| denied == id) {
            frames.add(&Chunk::ToolOutputDenied { tool_call_id: id });
            return;
        }
        let pictures = |block: &ToolContent| matches!(block, ToolContent::Image(_));
        let told: Vec<ToolContent> = content.iter().filter(|block| !pictures(block)).cloned().collect();
        let output = output(&told);
        if is_error {
            let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
            frames.add(&Chunk::ToolOutputError { tool_call_id: id, error_text: &text });
        } else {
            frames.add(&Chunk::ToolOutputAvailable { tool_call_id: id, output: &output });
        }
        for block in content {
            if let ToolContent::Image(Image { format, source: Source::Bytes(bytes) }) = block {
                let data = base64::engine::general_purpose::STANDARD.encode(&bytes.0);
                let url = format!("data:image/{format};base64,{data}");
                frames.add(&Chunk::File { url: &url, media_type: &format!("image/{format}") });
            }
        }
    }

    fn end(&mut self, reason: &str, ended: Ended<'_>, facts: &Facts<'_>, frames: &mut Frames<'_>) {
        self.close_step(facts, frames);
        if ended.outcome == Outcome::Cancelled.as_str() {
            frames.add(&Chunk::Abort { reason: "stopped" });
        }
        frames.add(&Chunk::Finish { finish_reason: reason, message_metadata: ended });
        frames.word("[DONE]");
    }

    fn fail(
        &mut self,
        error: &str,
        code: &str,
        retryable: bool,
        facts: &Facts<'_>,
        frames: &mut Frames<'_>,
    ) -> Flow {
        self.close_step(facts, frames);
        frames.add(&Chunk::Error { error_text: error });
        let ended = Ended {
            outcome: "failed",
            message_count: facts.message_count,
            error: Some(Failure { code, retryable }),
            usage: Tokens::of(self.usage, self.cost_usd),
        };
        self.end("error", ended, facts, frames);
        Flow::End
    }

    fn other(&mut self, event: &Event, facts: &Facts<'_>, frames: &mut Frames<'_>) -> Flow {
        match event {
            Event::Started { model } => {
                let first = facts.info.continues.is_none() && !self.goes_on;
                frames.add(&Chunk::Start {
                    message_id: first.then_some(facts.info.id.as_str()),
                    message_metadata: Begun {
                        session_id: facts.info.session_id.as_str(),
                        run_id: facts.info.id.as_str(),
                        model,
                    },
                });
            }
            Event::Text { text } => self.text(text, facts, frames),
            Event::Reasoning { text, signature, redacted } => {
                if !text.is_empty() {
                    self.think(text, facts, frames);
                }
                // Signatures are for the model's provider alone; they end a block.
                if self.open == Open::Reasoning && (signature.is_some() || redacted.is_some()) {
                    self.close(frames);
                }
            }
            Event::ToolStart { id, name } => {
                if self.open == Open::Text {
                    self.close(frames);
                }
                self.speak(facts, frames);
                let dynamic = is_dynamic(name, facts);
                frames.add(&Chunk::ToolInputStart { tool_call_id: id, tool_name: name, dynamic });
                self.writing.push((id.clone(), name.clone()));
            }
            Event::ToolInput { id, delta } if self.writing.iter().any(|(known, _)| known == id) => {
                frames.add(&Chunk::ToolInputDelta { tool_call_id: id, input_text_delta: delta });
            }
            Event::ToolCall { id, name, input, .. } => {
                self.close(frames);
                self.writing.retain(|(known, _)| known != id);
                let dynamic = is_dynamic(name, facts);
                frames.add(&Chunk::ToolInputAvailable { tool_call_id: id, tool_name: name, input, dynamic });
            }
            Event::ToolProgress { id, progress } => {
                frames.add(&Data::<&Progress> {
                    r#type: "data-tool-progress",
                    id: Some(id),
                    data: progress,
                    transient: true,
                });
            }
            Event::ToolResult { id, content, is_error, .. } => self.result(id, content, *is_error, frames),
            Event::ApprovalRequested { id, reason, .. } => frames.add(&Chunk::ToolApprovalRequest {
                approval_id: id,
                tool_call_id: id,
                reason: reason.as_deref(),
            }),
            Event::Custom { name, data } => {
                let kind = format!("data-{name}");
                frames.add(&Data { r#type: &kind, id: None, data, transient: false });
            }
            // Nothing of this call has been said.
            Event::Reset { .. } if !self.step_open || self.step_over => {}
            Event::Reset { .. } if self.new_chunks => {
                self.open = Open::Nothing;
                self.writing.clear();
                frames.add(&Chunk::ResetStep);
            }
            Event::Reset { .. } => {
                let error =
                    "The answer broke off and is being written again. Load the conversation to see it.";
                return self.fail(error, "answer_restarted", true, facts, frames);
            }
            Event::Usage { model, usage, cost_usd, .. } => {
                self.usage += *usage;
                self.cost_usd = cost::sum(self.cost_usd, *cost_usd);
                self.close(frames);
                self.step_over = true;
                frames.add(&Chunk::MessageMetadata {
                    message_metadata: Spent { model, usage: Tokens::of(self.usage, self.cost_usd) },
                });
            }
            Event::Finished { outcome } => {
                let reason = match outcome {
                    Outcome::Complete | Outcome::StopSequence => "stop",
                    Outcome::MaxTokens => "length",
                    Outcome::Refusal | Outcome::Guardrail => "content-filter",
                    Outcome::Interrupted => "tool-calls",
                    Outcome::Cancelled | Outcome::MaxSteps | Outcome::MaxSeconds => "other",
                };
                let ended = Ended {
                    outcome: outcome.as_str(),
                    message_count: facts.message_count,
                    error: None,
                    usage: Tokens::of(self.usage, self.cost_usd),
                };
                self.end(reason, ended, facts, frames);
                return Flow::End;
            }
            Event::Failed { error, code, retryable } => {
                return self.fail(error, code, *retryable, facts, frames);
            }
            // The call itself has been told; its client knows its own tools.
            Event::ClientCall { .. } | Event::ToolInput { .. } => {}
        }
        Flow::Continue
    }
}

/// Whether the client did not know of a tool when it was compiled: true of all but its own.
fn is_dynamic(name: &str, facts: &Facts<'_>) -> bool {
    !facts.info.client_tools.iter().any(|own| own == name)
}

impl Encoder for AiSdk {
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        let mut frames = Frames::new(out);
        let flow = match entry {
            Entry::Text(text) => {
                self.text(text, facts, &mut frames);
                Flow::Continue
            }
            Entry::Reasoning(text) => {
                self.think(text, facts, &mut frames);
                Flow::Continue
            }
            Entry::Other(event) => self.other(event, facts, &mut frames),
        };
        frames.finish(n);
        flow
    }

    fn failure(&mut self, error: &str, _code: &str, _retryable: bool, out: &mut Vec<u8>) {
        let mut frames = Frames::new(out);
        frames.add(&Chunk::Error { error_text: error });
        frames.word("[DONE]");
    }

    fn stateful(&self) -> bool {
        true
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("x-vercel-ai-ui-message-stream", "v1")]
    }
}
