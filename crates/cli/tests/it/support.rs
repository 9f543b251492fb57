//! A server process, a gated model server, and a reader of event streams.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::routing::post;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Longer than anything takes; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A model server with the OpenAI-compatible protocol. Each call waits for the test to say what to answer.
pub(crate) struct ModelServer {
    pub(crate) url: String,
    calls: mpsc::UnboundedReceiver<Call>,
}

/// One call of the model.
pub(crate) struct Call {
    /// The request's body.
    pub(crate) request: Value,
    pieces: mpsc::UnboundedSender<Bytes>,
}

impl ModelServer {
    pub(crate) async fn start() -> Self {
        let (sender, calls) = mpsc::unbounded_channel();
        let app = axum::Router::new().route("/v1/chat/completions", post(answer)).with_state(sender);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, calls }
    }

    /// The next call.
    pub(crate) async fn call(&mut self) -> Call {
        tokio::time::timeout(PATIENCE, self.calls.recv()).await.expect("the model is called").unwrap()
    }

    /// The next call, however long it takes.
    pub(crate) async fn next_call(&mut self) -> Option<Call> {
        self.calls.recv().await
    }

    /// Answers the next call with a whole text; gives its request.
    pub(crate) async fn answers(&mut self, pieces: &[&str]) -> Value {
        let call = self.call().await;
        for piece in pieces {
            call.say(piece);
        }
        call.end()
    }

    /// Whether a call is waiting.
    pub(crate) fn is_called(&mut self) -> bool {
        !self.calls.is_empty()
    }
}

async fn answer(
    State(calls): State<mpsc::UnboundedSender<Call>>,
    axum::Json(request): axum::Json<Value>,
) -> axum::response::Response {
    let (pieces, receiver) = mpsc::unbounded_channel();
    calls.send(Call { request, pieces }).unwrap();
    let body = stream::unfold(receiver, |mut receiver| async move {
        let piece: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), receiver))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

impl Call {
    fn send(&self, data: &Value) {
        // The server may have hung up, which some tests want.
        let _ = self.pieces.send(format!("data: {data}\n\n").into());
    }

    /// Says a piece.
    pub(crate) fn say(&self, text: &str) {
        self.send(&json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}));
    }

    /// Asks for one tool and ends; gives the request.
    pub(crate) fn ask(self, id: &str, tool: &str, input: &Value) -> Value {
        self.call_tool(0, id, tool, input);
        self.end_with("tool_calls")
    }

    /// Asks for a tool, one of several; [`Self::end_with`] `tool_calls` comes after them.
    pub(crate) fn call_tool(&self, index: usize, id: &str, tool: &str, input: &Value) {
        let function = json!({"name": tool, "arguments": input.to_string()});
        let call = json!({"index": index, "id": id, "type": "function", "function": function});
        self.send(
            &json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]}),
        );
    }

    /// Thinks a piece.
    pub(crate) fn think(&self, text: &str) {
        let delta = json!({"reasoning_content": text});
        self.send(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}));
    }

    /// Ends the answer well; gives the request.
    pub(crate) fn end(self) -> Value {
        self.end_with("stop")
    }

    /// Ends the answer for a reason; gives the request.
    pub(crate) fn end_with(self, reason: &str) -> Value {
        self.send(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}));
        self.send(&json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}));
        let _ = self.pieces.send("data: [DONE]\n\n".into());
        self.request
    }

    /// Waits until the server has hung up.
    pub(crate) async fn hung_up(&self) {
        tokio::time::timeout(PATIENCE, self.pieces.closed()).await.expect("the server hangs up");
    }
}

/// The real binary, serving. Killed when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    /// What it printed before it was ready.
    pub(crate) told: Vec<String>,
    child: Child,
    data: Arc<tempfile::TempDir>,
    env: BTreeMap<String, String>,
}

/// The binary with a clean environment.
pub(crate) fn binary(env: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loquat"));
    command.env_clear().envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A variable of the tests' own environment.
#[expect(clippy::disallowed_methods, reason = "tests find programs and weights where the developer has them")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Server {
    /// Starts with a gated model and an empty data folder.
    pub(crate) async fn start(model: &ModelServer, settings: &[(&str, &str)]) -> Self {
        Self::start_with(&model.url, settings).await
    }

    /// The same with the model's address.
    pub(crate) async fn start_with(model: &str, settings: &[(&str, &str)]) -> Self {
        let data = Arc::new(tempfile::tempdir().unwrap());
        let mut env: BTreeMap<String, String> = [
            ("HOME", data.path().to_str().unwrap()),
            ("LOQUAT_DATA_DIR", data.path().to_str().unwrap()),
            ("PORT", "0"),
            ("MODEL_ID", "openai/test"),
            ("OPENAI_BASE_URL", model),
            ("OPENAI_API_KEY", "sk-canary-key"),
        ]
        .iter()
        .chain(settings)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        env.retain(|_, value| !value.is_empty());
        Self::spawn(env, data).await
    }

    async fn spawn(env: BTreeMap<String, String>, data: Arc<tempfile::TempDir>) -> Self {
        let mut child = binary(&env).arg("serve").stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        // The reading blocks, and the process may print nothing.
        let (told, url) = tokio::task::spawn_blocking(move || {
            let mut told = Vec::new();
            let mut url = None;
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("Address") {
                    url = Some(address.trim().to_owned());
                }
                let last = line.starts_with("Sign-in");
                told.push(line);
                if last {
                    break;
                }
            }
            (told, url)
        })
        .await
        .unwrap();
        let url = url.expect("the server prints its address");
        loquat_server::tls::install();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, http, told, child, data, env }
    }

    /// Ends the process as a power cut of the process would, and starts it anew on the same folder.
    pub(crate) async fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::spawn(self.env.clone(), Arc::clone(&self.data)).await
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), pid]).status().unwrap().success());
    }

    /// The memory that the process holds, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).json(body)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer_of(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    /// Sends a message and reads its stream.
    pub(crate) async fn chat(&self, body: &Value) -> Events {
        let response = self.post("/chat", body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        Events::new(response)
    }

    /// A whole turn: the message, the model's answer, the frames.
    pub(crate) async fn turn(
        &self,
        model: &mut ModelServer,
        body: &Value,
        pieces: &[&str],
    ) -> (Vec<Frame>, Value) {
        let (frames, request) =
            tokio::join!(async { self.chat(body).await.all().await }, async { model.answers(pieces).await });
        (frames, request)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and JSON body.
pub(crate) async fn answer_of(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// One frame of an event stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<u64>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// A reader of an event stream that is strict about its form: LF only, known fields, nothing between frames.
pub(crate) struct Events {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: String,
    /// Every byte so far.
    pub(crate) raw: String,
}

impl Events {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "text/event-stream");
        Self { body: response.bytes_stream().boxed(), buffer: String::new(), raw: String::new() }
    }

    /// The next frame; `None` at the end of the stream. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let frame = frame.to_owned();
                self.buffer = rest.to_owned();
                if let Some(frame) = parse(&frame) {
                    return Some(frame);
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.body.next()).await.expect("the stream goes on")?;
            // A killed server cuts the stream, which some tests want.
            let Ok(chunk) = chunk else { return None };
            let chunk = std::str::from_utf8(&chunk).expect("frames are whole characters");
            assert!(!chunk.contains('\r'), "LF only");
            self.raw.push_str(chunk);
            self.buffer.push_str(chunk);
        }
    }

    /// The text of the next frame, which has to be text.
    pub(crate) async fn text(&mut self) -> String {
        let frame = self.next().await.expect("a frame of text");
        frame.data["text"].as_str().unwrap_or_else(|| panic!("not text: {frame:?}")).to_owned()
    }

    /// The next frame; `None` at `[DONE]`, with which OpenAI ends its streams.
    pub(crate) async fn next_or_done(&mut self) -> Option<Frame> {
        loop {
            if self.buffer == "data: [DONE]\n\n" {
                return None;
            }
            if self.buffer.contains("\n\n") {
                return self.next().await;
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.body.next()).await.expect("the stream goes on")?;
            self.buffer.push_str(std::str::from_utf8(&chunk.ok()?).expect("frames are whole characters"));
        }
    }

    /// All frames to the end.
    pub(crate) async fn all(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

fn parse(text: &str) -> Option<Frame> {
    let mut frame = Frame { id: None, event: String::new(), data: Value::Null };
    let mut has_data = false;
    for line in text.lines() {
        if line.starts_with(':') {
            continue;
        }
        let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line:?}"));
        match field {
            "id" => frame.id = Some(value.parse().unwrap()),
            "event" => value.clone_into(&mut frame.event),
            "data" => {
                assert!(!has_data, "one data line a frame");
                has_data = true;
                frame.data = serde_json::from_str(value).unwrap();
            }
            other => panic!("unknown field {other}"),
        }
    }
    has_data.then_some(frame)
}

/// All the text of some frames.
pub(crate) fn text_of(frames: &[Frame]) -> String {
    frames.iter().filter(|f| f.event.is_empty()).filter_map(|f| f.data["text"].as_str()).collect()
}

/// The session's messages as `role: text`.
pub(crate) async fn history(server: &Server, session: &str) -> Vec<String> {
    let (status, body) = server.get(&format!("/sessions/{session}")).await;
    assert_eq!(status, 200, "{body}");
    body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| {
            let text: String =
                message["content"].as_array().unwrap().iter().filter_map(|c| c["text"].as_str()).collect();
            format!("{}: {text}", message["role"].as_str().unwrap())
        })
        .collect()
}
