//! One attempt of a model call, as an operator sees it: a `chat` span, its time, its tokens, how it ended.

use std::sync::Arc;
use std::time::Instant;

use loquat_agent::context::estimate;
use loquat_agent::event::Usage;
use loquat_agent::message::{Content, Message, Role};
use loquat_agent::model::{ModelEvent, ModelRequest};
use serde_json::{Value, json};

use super::names::Metric;
use super::scope::{self, Scope};
use super::trace::{Kind, Span, conventions as names};

/// Watches one attempt. Tells what it saw when it is dropped.
pub(crate) struct ModelCall {
    /// What the attempt's own calls work for; `None` where nobody watches.
    scope: Option<Arc<Scope>>,
    model: String,
    began: Instant,
    heard: bool,
    /// What it was asked, in tokens: an estimate, until it tells.
    asked: u64,
    /// What it said, in bytes.
    said_bytes: usize,
    /// What it told of its tokens so far.
    told: Usage,
    span: Option<Span>,
    result: &'static str,
    /// What it said, where content may be told.
    said: Option<String>,
}

impl ModelCall {
    /// Begins to watch attempt number `attempt` of a call of `model` at `server` (host and port).
    pub(crate) fn begin(
        model: &str,
        server: Option<&(String, u16)>,
        attempt: u32,
        request: &ModelRequest,
    ) -> Self {
        let outer = scope::current();
        let mut call = Self {
            scope: None,
            model: model.to_owned(),
            began: Instant::now(),
            heard: false,
            asked: 0,
            said_bytes: 0,
            told: Usage::default(),
            span: None,
            result: "stopped",
            said: None,
        };
        let Some(outer) = outer else { return call };
        if outer.run.is_some() {
            let system = request.system.as_ref().map_or(0, |system| system.len() as u64 / 4);
            call.asked = estimate(&request.messages) + system;
        }
        if let Some(tracer) = outer.telemetry.as_ref().and_then(|telemetry| telemetry.tracer.as_ref()) {
            let (provider, name) = names::provider_and_model(model);
            let mut span = tracer.span(outer.trace.as_ref(), format!("chat {name}"), Kind::Client);
            if span.is_recorded() {
                span.set(names::OPERATION, "chat");
                span.set(names::PROVIDER, provider);
                span.set(names::REQUEST_MODEL, name);
                span.set(names::REQUEST_STREAM, true);
                span.set(names::ATTEMPT, attempt);
                if let Some(run) = &outer.run {
                    span.set(names::CONVERSATION, &*run.session_id);
                }
                if let Some((host, port)) = server {
                    span.set(names::SERVER_ADDRESS, host.as_str());
                    span.set(names::SERVER_PORT, u32::from(*port));
                }
                parameters(&mut span, request);
                if tracer.content() {
                    content(&mut span, request);
                    call.said = Some(String::new());
                }
            }
            let trace = Some(span.context().clone());
            call.span = Some(span);
            call.scope = Some(Arc::new(Scope { trace, ..Scope::clone(&outer) }));
        } else {
            call.scope = Some(outer);
        }
        call
    }

    /// What the attempt's own calls work for.
    pub(crate) fn scope(&self) -> Option<Arc<Scope>> {
        self.scope.clone()
    }

    /// Takes note of what the model says.
    pub(crate) fn hears(&mut self, event: &ModelEvent) {
        if !std::mem::replace(&mut self.heard, true)
            && let Some(span) = &mut self.span
        {
            span.set(names::FIRST_CHUNK, self.began.elapsed().as_secs_f64());
        }
        match event {
            ModelEvent::Reasoning(text) | ModelEvent::ToolInput { delta: text, .. } => {
                self.said_bytes += text.len();
            }
            ModelEvent::Text(text) => {
                self.said_bytes += text.len();
                if let Some(said) = &mut self.said {
                    said.push_str(text);
                }
            }
            ModelEvent::Stop(reason) => {
                self.result = "ok";
                let reason = serde_json::to_value(reason).ok();
                let reason = reason.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
                if let Some(span) = &mut self.span {
                    span.set(names::FINISH_REASONS, vec![reason]);
                }
            }
            ModelEvent::Usage { usage, .. } => {
                self.told = *usage;
                let model = names::provider_and_model(&self.model).1;
                if let Some(span) = &mut self.span {
                    span.set(names::RESPONSE_MODEL, model);
                    let all = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
                    span.set(names::INPUT_TOKENS, all);
                    span.set(names::OUTPUT_TOKENS, usage.output_tokens);
                    if usage.cache_read_tokens > 0 {
                        span.set(names::CACHE_READ, usage.cache_read_tokens);
                    }
                    if usage.cache_write_tokens > 0 {
                        span.set(names::CACHE_CREATION, usage.cache_write_tokens);
                    }
                }
            }
            _ => {}
        }
    }

    /// About how many tokens it used without anybody being told: providers bill what was read and written before a call
    /// was stopped or broke off. One that was refused used nothing.
    fn untold(&self) -> u64 {
        if self.result == "ok" || (self.result == "error" && !self.heard) {
            return 0;
        }
        let told = self.told;
        let read = told.input_tokens + told.cache_read_tokens + told.cache_write_tokens;
        // Of what was told, the limit counts what was read anew.
        let read = if read > 0 { told.input_tokens } else { self.asked };
        read + told.output_tokens.max((self.said_bytes as u64).div_ceil(4))
    }

    /// It failed, for this reason.
    pub(crate) fn failed(&mut self, code: &str) {
        self.result = "error";
        if let Some(span) = &mut self.span {
            span.fail(code);
        }
    }
}

impl Drop for ModelCall {
    fn drop(&mut self) {
        if let (Some(span), Some(said)) = (&mut self.span, &self.said) {
            let said = json!([{"role": "assistant", "parts": [{"type": "text", "content": said}]}]);
            span.set(names::OUTPUT_MESSAGES, said.to_string());
        }
        if let Some(run) = self.scope.as_ref().and_then(|scope| scope.run.as_ref()) {
            run.add_untold(self.untold());
        }
        if let Some(telemetry) = self.scope.as_ref().and_then(|scope| scope.telemetry.as_ref()) {
            let took = self.began.elapsed().as_secs_f64();
            telemetry.metrics.observe(Metric::ModelTime, &[&self.model, self.result], took);
        }
    }
}

fn parameters(span: &mut Span, request: &ModelRequest) {
    let params = &request.params;
    if let Some(temperature) = params.temperature {
        span.set(names::TEMPERATURE, f64::from(temperature));
    }
    if let Some(top_p) = params.top_p {
        span.set(names::TOP_P, f64::from(top_p));
    }
    if let Some(most) = params.max_output_tokens {
        span.set(names::MAX_TOKENS, most);
    }
    if !params.stop_sequences.is_empty() {
        span.set(names::STOP_SEQUENCES, params.stop_sequences.clone());
    }
}

/// What was asked, in the form of the conventions.
fn content(span: &mut Span, request: &ModelRequest) {
    if let Some(system) = &request.system {
        let parts = json!([{"type": "text", "content": system}]);
        span.set(names::SYSTEM_INSTRUCTIONS, parts.to_string());
    }
    let messages: Vec<Value> = request.messages.iter().map(message).collect();
    span.set(names::INPUT_MESSAGES, Value::from(messages).to_string());
}

fn message(message: &Message) -> Value {
    let role = if message.role == Role::User { "user" } else { "assistant" };
    let parts: Vec<Value> = message
        .content
        .iter()
        .map(|block| match block {
            Content::Text(text) => json!({"type": "text", "content": text}),
            Content::ToolUse(call) => {
                json!({"type": "tool_call", "id": call.tool_use_id, "name": call.name, "arguments": call.input})
            }
            Content::ToolResult(result) => {
                json!({"type": "tool_call_response", "id": result.tool_use_id, "response": result.content})
            }
            Content::Reasoning(thought) => {
                let text = thought.reasoning_text.as_ref().map_or("", |thought| thought.text.as_str());
                json!({"type": "reasoning", "content": text})
            }
            // Bytes are no use in a trace.
            Content::Image(_) => json!({"type": "image"}),
            Content::Document(_) => json!({"type": "document"}),
            Content::Other(_) => json!({"type": "other"}),
        })
        .collect();
    json!({"role": role, "parts": parts})
}
