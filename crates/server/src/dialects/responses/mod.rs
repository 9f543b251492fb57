//! OpenAI responses: named events, each with a `sequence_number`, and the response as a whole.
//!
//! The agent's own tools are told as `mcp_call` items, OpenAI's form for tools that a server runs, and calls that wait for
//! consent as `mcp_approval_request`; the client's tools are `function_call` items. There is no `id:` line, see
//! [`super::openai`].
//!
//! The last frame of event `n` has the number `n * 1000`, and those of the same event before it the numbers below. So a
//! number is a cursor of the log too: `sequence_number / 1000`, rounded down, is the last event that is known whole.

mod items;

use std::io::Write as _;

use loquat_agent::event::{Event, Outcome, Usage};
use serde_json::{Map, Value, json};

use self::items::{Items, Place};
use super::{Encoder, Facts, Flow};
use crate::runs::log::{Entry, Log, Pace};
use crate::runs::run::{Form, Look, RunInfo};

/// How many frames one event may have.
const STEP: u64 = 1000;

/// The number of the last event that a client with this `sequence_number` knows whole.
#[must_use]
pub(crate) fn event_of(sequence_number: u64) -> u64 {
    sequence_number / STEP
}

/// A frame without its number.
pub(super) struct Frame {
    kind: &'static str,
    fields: Map<String, Value>,
}

impl Frame {
    fn new(kind: &'static str, fields: Value) -> Self {
        let Value::Object(fields) = fields else { return Self { kind, fields: Map::new() } };
        Self { kind, fields }
    }

    fn write(self, number: u64, out: &mut Vec<u8>) {
        let mut data = Map::new();
        data.insert("type".into(), self.kind.into());
        data.insert("sequence_number".into(), number.into());
        data.extend(self.fields);
        let _ = write!(out, "event: {}\ndata: {}\n\n", self.kind, Value::Object(data));
    }
}

/// Encodes responses.
#[derive(Debug)]
pub(super) struct Responses {
    /// Frames up to this number are known to the client.
    after: u64,
    /// The last event that was told.
    told: u64,
    model: String,
    items: Items,
}

impl Responses {
    pub(super) fn new(form: &Form) -> Self {
        Self {
            after: form.options["after"].as_u64().unwrap_or_default(),
            told: 0,
            model: String::new(),
            items: Items::default(),
        }
    }

    fn number(&mut self, n: u64, frames: Vec<Frame>, out: &mut Vec<u8>) {
        let first = (n * STEP + 1).saturating_sub(frames.len() as u64);
        for (number, frame) in (first..).zip(frames) {
            if number > self.after {
                frame.write(number, out);
            }
        }
    }

    fn frames(&mut self, event: &Event, facts: &Facts<'_>) -> (Vec<Frame>, Flow) {
        let mut frames = Vec::new();
        let place = Place { info: facts.info, log: facts.log, after: self.told };
        match event {
            Event::Started { model } => {
                self.model.clone_from(model);
                let response = self.response(place.info, place.log, "in_progress", None, None);
                frames.push(Frame::new("response.created", json!({"response": response})));
                frames.push(Frame::new("response.in_progress", json!({"response": response})));
            }
            // Said already, and a client cannot take it back.
            Event::Reset { .. } => {
                self.items.close(place, false, &mut frames);
                let error = "The answer broke off and is being written again.";
                let response = self.last(facts, "failed", Some(error_of(error, "answer_restarted")));
                frames.push(Frame::new("response.failed", json!({"response": response})));
                return (frames, Flow::End);
            }
            Event::Failed { error, code, .. } => {
                self.items.close(place, false, &mut frames);
                let response = self.last(facts, "failed", Some(error_of(error, code)));
                frames.push(Frame::new("response.failed", json!({"response": response})));
                return (frames, Flow::End);
            }
            Event::Finished { outcome } => {
                self.items.close(place, false, &mut frames);
                let (status, kind, why) = ended(*outcome);
                let mut response = self.last(facts, status, None);
                if let Some(why) = why {
                    response["incomplete_details"] = json!({"reason": why});
                }
                response["loquat"]["outcome"] = outcome.as_str().into();
                frames.push(Frame::new(kind, json!({"response": response})));
                return (frames, Flow::End);
            }
            event => self.items.take(place, event, &mut frames),
        }
        (frames, Flow::Continue)
    }

    /// The response as it is when the run is over.
    fn last(&self, facts: &Facts<'_>, status: &str, error: Option<Value>) -> Value {
        let mut response = self.response(facts.info, facts.log, status, Some(facts.usage), error);
        if let Some(cost) = facts.cost_usd {
            response["loquat"]["cost_usd"] = cost.into();
        }
        response
    }

    /// The response as it is now.
    fn response(
        &self,
        info: &RunInfo,
        log: &Log,
        status: &str,
        usage: Option<Usage>,
        error: Option<Value>,
    ) -> Value {
        let mut response = json!({
            "id": id(info),
            "object": "response",
            "created_at": info.created_at.as_second(),
            "status": status,
            "background": false,
            "error": error,
            "incomplete_details": null,
            "instructions": null,
            "max_output_tokens": null,
            "metadata": {},
            "model": self.model,
            "output": self.items.list(log),
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "store": true,
            "temperature": null,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "truncation": "disabled",
            "usage": usage.map(usage_of),
            "loquat": {"run_id": info.id, "session_id": info.session_id},
        });
        if let (Value::Object(response), Value::Object(echo)) = (&mut response, &info.form.options["echo"]) {
            response.extend(echo.clone());
        }
        response
    }
}

impl Encoder for Responses {
    fn encode(&mut self, n: u64, entry: Entry<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) -> Flow {
        let event;
        let (frames, flow) = match entry {
            Entry::Text(text) => {
                // The common case: another piece of an open text.
                if n * STEP > self.after && self.items.piece(text, n * STEP, out) {
                    self.told = n;
                    return Flow::Continue;
                }
                event = Event::Text { text: text.to_owned() };
                self.frames(&event, facts)
            }
            Entry::Reasoning(text) => {
                event = Event::Reasoning { text: text.to_owned(), signature: None, redacted: None };
                self.frames(&event, facts)
            }
            Entry::Other(event) => self.frames(event, facts),
        };
        self.told = n;
        self.number(n, frames, out);
        flow
    }

    fn failure(&mut self, error: &str, code: &str, _: bool, out: &mut Vec<u8>) {
        Frame::new("error", json!({"code": code, "message": error, "param": null})).write(0, out);
    }

    fn stateful(&self) -> bool {
        true
    }
}

fn id(info: &RunInfo) -> String {
    format!("resp_{}", info.id)
}

/// The status, the event, and why it is not whole.
fn ended(outcome: Outcome) -> (&'static str, &'static str, Option<&'static str>) {
    match outcome {
        Outcome::Complete | Outcome::StopSequence | Outcome::Interrupted => {
            ("completed", "response.completed", None)
        }
        Outcome::MaxTokens | Outcome::MaxSteps | Outcome::MaxSeconds => {
            ("incomplete", "response.incomplete", Some("max_output_tokens"))
        }
        Outcome::Refusal | Outcome::Guardrail => {
            ("incomplete", "response.incomplete", Some("content_filter"))
        }
        Outcome::Cancelled => ("cancelled", "response.incomplete", None),
    }
}

/// OpenAI's clients know a closed list of codes.
fn error_of(error: &str, code: &str) -> Value {
    let known = match code {
        "model_throttled" => "rate_limit_exceeded",
        "context_too_long" | "model_refused_request" => "invalid_prompt",
        _ => "server_error",
    };
    json!({"code": known, "message": error, "type": code})
}

fn usage_of(usage: Usage) -> Value {
    let read = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    json!({
        "input_tokens": read,
        "input_tokens_details":
            {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        // Not every provider tells them apart.
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + usage.output_tokens,
    })
}

/// The response of a run as it is now, and what it failed with: words for people, and the stable code.
pub(crate) fn whole(info: &RunInfo, look: &Look<'_>) -> (Value, Option<(String, String)>) {
    let mut encoder = Responses::new(&Form::default());
    let facts = Facts {
        info,
        usage: look.usage(),
        message_count: None,
        cost_usd: look.cost_usd(),
        log: look.log(),
        before: None,
    };
    let mut last = None;
    let mut failed = None;
    facts.log.read(0, Pace::EachPiece, |n, entry| {
        match &entry.to_event() {
            // An answer that is made whole has nothing to take back.
            Event::Reset { .. } => encoder.items.reset(),
            event => {
                if let Event::Failed { error, code, .. } = event {
                    failed = Some((error.clone(), code.clone()));
                }
                let (mut frames, flow) = encoder.frames(event, &facts);
                if flow == Flow::End {
                    last = frames.pop().and_then(|mut frame| frame.fields.remove("response"));
                }
            }
        }
        encoder.told = n;
        true
    });
    (last.unwrap_or_else(|| encoder.response(info, facts.log, "in_progress", None, None)), failed)
}
