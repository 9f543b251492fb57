//! One call of a model: checked, planned, and written at its pace.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::fault::Fault;
use super::http::{self, Request};
use super::plan::{self, Ending, Wire};
use super::state::{Recorded, State, lock};
use super::words::Words;
use super::{Provider, anthropic, bedrock, check, openai};

/// Answers a call. `Ok(true)` means that the connection can be used again.
pub(super) async fn answer(
    socket: &mut TcpStream,
    state: &State,
    provider: Provider,
    path_model: &str,
    request: Request,
) -> io::Result<bool> {
    state.counters.requests.fetch_add(1, Ordering::Relaxed);
    if let Some(key) = &state.key {
        let given =
            request.header("x-api-key").or_else(|| request.header("authorization")?.strip_prefix("Bearer "));
        if given != Some(key) {
            return refuse(socket, provider, Fault::Credentials, None).await;
        }
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = match provider {
        Provider::Bedrock => path_model.to_owned(),
        _ => body["model"].as_str().unwrap_or_default().to_owned(),
    };
    let message = last_message(&body);
    let outcome = check::check(provider, &body).and_then(|()| lock(&state.scenario).choose(&message));
    // Bytes of the request are the measure of its tokens: about four each.
    let input_tokens = request.body.len() as u64 / 4;
    let step = steps_taken(&body);
    let usage = body["stream_options"]["include_usage"] == true;
    state.record(Recorded {
        provider,
        model: model.clone(),
        headers: request.headers,
        body,
        refused: outcome.as_ref().err().cloned(),
    });
    drop(request.body);
    let mut words = match outcome {
        Ok(words) => words,
        Err(message) => {
            state.counters.refused.fetch_add(1, Ordering::Relaxed);
            let (body, headers) = match provider {
                Provider::OpenAi => (openai::refusal(&message), Vec::new()),
                Provider::Anthropic => (anthropic::refusal(&message), Vec::new()),
                Provider::Bedrock => {
                    (bedrock::refusal(&message), vec![("x-amzn-errortype", "ValidationException".to_owned())])
                }
            };
            http::respond(socket, 400, "application/json", &headers, body.to_string().as_bytes()).await?;
            return Ok(true);
        }
    };
    if words.fails() {
        let over = words
            .times
            .is_some_and(|times| words.step.is_none_or(|at| at == step) && state.seen(&message) >= times);
        if over || words.step.is_some_and(|at| at != step) {
            words = words.clean();
        }
    }
    if !words.headers_delay.is_zero() {
        tokio::select! {
            () = http::left(socket) => {
                state.counters.left.fetch_add(1, Ordering::Relaxed);
                return Ok(false);
            }
            () = sleep(words.headers_delay) => {}
        }
    }
    if let Some(fault) = words.error.filter(|_| words.after.is_none() && words.at.is_none()) {
        return refuse(socket, provider, fault, words.retry_after).await;
    }
    let make = |words: &Words, serial: u64, input_tokens: u64| {
        let plan = plan::plan(words, step, serial, input_tokens);
        let (frames, fault) = match provider {
            Provider::OpenAi => (openai::frames(&plan, &model, usage), words.error.map(openai::fault)),
            Provider::Anthropic => (anthropic::frames(&plan, &model), words.error.map(anthropic::fault)),
            Provider::Bedrock => (bedrock::frames(&plan), words.error.map(bedrock::fault)),
        };
        plan::wire(frames, fault, words)
    };
    let wire = if words.tools.is_empty() {
        // The same words make the same stream; the number of input tokens is rounded so that it stays so under load.
        let input_tokens = input_tokens.next_power_of_two();
        let key = format!("{provider:?} {model} {usage} {input_tokens} {words:?}");
        state.cached(key, || make(&words, 0, input_tokens))
    } else {
        Arc::new(make(&words, state.serial.fetch_add(1, Ordering::Relaxed), input_tokens))
    };
    drop((words, message, model));
    play(socket, state, provider, &wire).await
}

/// Writes an error before the stream.
async fn refuse(
    socket: &mut TcpStream,
    provider: Provider,
    fault: Fault,
    retry_after: Option<u64>,
) -> io::Result<bool> {
    let (face, body) = match provider {
        Provider::OpenAi => (fault.openai(), openai::error(fault)),
        Provider::Anthropic => (fault.anthropic(), anthropic::error(fault)),
        Provider::Bedrock => (fault.bedrock(), bedrock::error(fault)),
    };
    let mut headers = Vec::new();
    if let Some(seconds) = retry_after {
        headers.push(("retry-after", seconds.to_string()));
    }
    if face.kind.is_empty() {
        // A proxy in between knows nothing of the provider's format.
        let body = format!("<html><body><h1>{}</h1></body></html>", face.message);
        http::respond(socket, face.status, "text/html", &headers, body.as_bytes()).await?;
        return Ok(true);
    }
    if provider == Provider::Bedrock {
        headers.push(("x-amzn-errortype", face.kind.to_owned()));
        headers.push(("x-amzn-requestid", "00000000-0000-0000-0000-000000000000".to_owned()));
    }
    http::respond(socket, face.status, "application/json", &headers, body.to_string().as_bytes()).await?;
    Ok(true)
}

/// Counts an open stream for as long as it lives, however its task ends.
struct Open<'a>(&'a State);

impl<'a> Open<'a> {
    fn new(state: &'a State) -> Self {
        let open = state.counters.open.fetch_add(1, Ordering::Relaxed) + 1;
        state.counters.peak.fetch_max(open, Ordering::Relaxed);
        Self(state)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes a stream at its pace.
async fn play(socket: &mut TcpStream, state: &State, provider: Provider, wire: &Wire) -> io::Result<bool> {
    let open = Open::new(state);
    let content_type = match provider {
        Provider::Bedrock => "application/vnd.amazon.eventstream",
        _ => "text/event-stream; charset=utf-8",
    };
    let head = http::head(200, content_type, &[], "transfer-encoding: chunked\r\ncache-control: no-cache");
    socket.write_all(&head).await?;
    let left = |bytes: usize| {
        state.counters.left.fetch_add(1, Ordering::Relaxed);
        state.counters.bytes_after_left.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(false)
    };
    let mut from = 0;
    let mut pieces = 0;
    // Deadlines, not pauses: what a write costs does not add up.
    let start = Instant::now() + wire.first;
    for (at, (end, paced)) in wire.writes.iter().enumerate() {
        if *paced {
            let due = start + wire.delay.saturating_mul(pieces);
            pieces += 1;
            if due > Instant::now() {
                tokio::select! {
                    biased;
                    () = http::left(socket) => return left(0),
                    () = sleep_until(due) => {}
                }
            }
        }
        // Without a pause in between, several frames go out at once.
        let next_waits =
            wire.delay > Duration::ZERO && wire.writes.get(at + 1).is_some_and(|(_, paced)| *paced);
        if next_waits || at + 1 == wire.writes.len() || (*paced && wire.split) {
            let bytes = &wire.bytes[from..*end];
            if socket.write_all(bytes).await.is_err() {
                return left(bytes.len());
            }
            state.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if at + 1 < wire.writes.len() && http::left(socket).now_or_never().is_some() {
                return left(bytes.len());
            }
            from = *end;
        }
    }
    match wire.ending {
        Ending::Clean => {
            state.counters.finished.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
        Ending::Cut => {
            state.counters.broken.fetch_add(1, Ordering::Relaxed);
            drop(open);
            Ok(false)
        }
        Ending::Stall => {
            http::left(socket).await;
            left(0)
        }
    }
}

/// The last text a user wrote.
fn last_message(body: &Value) -> String {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |message: &Value| match &message["content"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            (!texts.is_empty()).then(|| texts.join(" "))
        }
        _ => None,
    };
    messages.iter().rev().filter(|message| message["role"] == "user").find_map(text).unwrap_or_default()
}

/// How many model calls of this turn came before: assistant messages since the user's last text.
fn steps_taken(body: &Value) -> usize {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_turn = |message: &Value| {
        message["role"] == "user"
            && match &message["content"] {
                Value::Array(blocks) => blocks.iter().any(|block| block.get("text").is_some()),
                other => other.is_string(),
            }
    };
    messages
        .iter()
        .rev()
        .take_while(|message| !is_turn(message))
        .filter(|message| message["role"] == "assistant")
        .count()
}
