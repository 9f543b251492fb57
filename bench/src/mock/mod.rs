//! A model server that does what it is told: it speaks Bedrock's, Anthropic's and OpenAI's protocols, from words in the
//! message or a scenario file, and misbehaves in every way providers do. See `bench/README.md`.

mod anthropic;
mod bedrock;
mod call;
mod check;
mod fault;
mod http;
mod openai;
mod plan;
mod scenario;
mod state;
mod words;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

pub use fault::Fault;
pub use scenario::{Reply, Scenario};
pub use state::{Recorded, Stats};
pub use words::Words;

use state::{State, lock};

/// Whose protocol a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `/v1/chat/completions`.
    OpenAi,
    /// `/v1/messages`.
    Anthropic,
    /// `/model/{id}/converse-stream`.
    Bedrock,
}

/// Arguments of `loquat-bench mock`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port on 127.0.0.1; 0 chooses a free one.
    #[arg(long, default_value_t = 8099)]
    port: u16,
    /// A scenario file (TOML).
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// How many requests to keep for GET /_mock/requests.
    #[arg(long, default_value_t = 200)]
    record: usize,
    /// Refuse calls without this key.
    #[arg(long)]
    key: Option<String>,
}

/// Runs until the process is ended.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let scenario = args.scenario.as_deref().map(Scenario::read).transpose()?.unwrap_or_default();
    let listener = listen(args.port).context("the port cannot be opened")?;
    announce(listener.local_addr()?);
    accept(listener, Arc::new(State::new(scenario, args.key, args.record))).await;
    Ok(())
}

/// A listener whose queue holds the thousands of clients that a measurement starts at once.
fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    socket.listen(8192)
}

/// The one line that programs wait for.
#[allow(clippy::print_stdout)]
fn announce(addr: SocketAddr) {
    println!("mock model server at http://{addr}");
}

/// A mock inside this process, for tests. It ends, with all its streams, when it is dropped.
#[derive(Debug)]
pub struct MockServer {
    addr: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl MockServer {
    /// Starts on a free port.
    pub async fn start(scenario: Scenario) -> io::Result<Self> {
        Self::start_with_key(scenario, None).await
    }

    /// Starts on a free port and refuses calls without a key.
    pub async fn start_with_key(scenario: Scenario, key: Option<String>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::new(scenario, key, 1000));
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { addr, state, task })
    }

    /// `http://127.0.0.1:PORT`: the endpoint of Bedrock, the base URL of Anthropic; OpenAI's has `/v1` after it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Replaces the scenario.
    pub fn set_scenario(&self, scenario: Scenario) {
        *lock(&self.state.scenario) = scenario;
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.recorded()
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error here is a client that left at once, or a limit of the system that will pass.
                let Ok((socket, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                state.counters.connections.fetch_add(1, Ordering::Relaxed);
                let state = Arc::clone(&state);
                connections.spawn(async move {
                    // An error is a client that left: counted where it happens.
                    let _ = connection(socket, &state).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut socket: TcpStream, state: &State) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = http::read(&mut socket, &mut buffer).await? {
        let path = request.path.split('?').next().unwrap_or_default().to_owned();
        let model = path.strip_prefix("/model/").and_then(|rest| rest.strip_suffix("/converse-stream"));
        let again = match (request.method.as_str(), path.as_str()) {
            ("POST", "/v1/chat/completions") => {
                call::answer(&mut socket, state, Provider::OpenAi, "", request).await?
            }
            ("POST", "/v1/messages") => {
                call::answer(&mut socket, state, Provider::Anthropic, "", request).await?
            }
            ("POST", _) if model.is_some() => {
                let model = decode(model.unwrap_or_default());
                call::answer(&mut socket, state, Provider::Bedrock, &model, request).await?
            }
            (method, path) => {
                let (status, body) = admin(method, path, &request.body, state);
                http::respond(&mut socket, status, "application/json", &[], body.to_string().as_bytes())
                    .await?;
                true
            }
        };
        if !again {
            break;
        }
    }
    Ok(())
}

/// What is not a call of a model.
fn admin(method: &str, path: &str, body: &[u8], state: &State) -> (u16, serde_json::Value) {
    match (method, path) {
        ("GET", "/_mock/stats") => (200, json!(state.stats())),
        ("GET", "/_mock/requests") => (200, json!(state.recorded())),
        ("POST", "/_mock/reset") => {
            state.reset();
            (200, json!({}))
        }
        // The body is the words for messages that have none of their own.
        ("PUT", "/_mock/scenario") => {
            let words = String::from_utf8_lossy(body).into_owned();
            match Words::parse(&words) {
                Ok(_) => {
                    *lock(&state.scenario) = Scenario::words(words);
                    (200, json!({}))
                }
                Err(message) => (400, json!({"error": {"message": message}})),
            }
        }
        ("GET", "/v1/models") => {
            (200, json!({"object": "list", "data": [{"id": "mock", "object": "model"}]}))
        }
        ("GET", "/") => (200, json!({"mock": true})),
        _ => (404, json!({"error": {"message": format!("mock: no route {method} {path}")}})),
    }
}

/// Undoes percent-encoding: ids of models hold colons and slashes.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
