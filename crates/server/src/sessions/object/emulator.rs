//! An S3 emulator for tests (MiniStack, from `.venv`), and a proxy that makes it fail.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running emulator; its process group ends with it.
pub(crate) struct Emulator {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Emulator {
    /// Starts an emulator on a free port, with an empty bucket.
    pub(crate) async fn start(bucket: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let program = root.join(".venv/bin/ministack");
        assert!(program.is_file(), "the S3 emulator is not installed: run the tests with `cargo xtask test`");
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let child = Command::new(program)
            .current_dir(folder.path())
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("LAMBDA_EXECUTOR", "local")
            .env("COGNITO_EMAIL_ENABLED", "false")
            .env("IOT_MTLS_ENABLED", "0")
            .env("S3_PERSIST", "0")
            .env("PERSIST_STATE", "0")
            .env("STATE_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let emulator = Self { child, address, _folder: folder };
        emulator.wait_and_make(bucket).await;
        emulator
    }

    async fn wait_and_make(&self, bucket: &str) {
        // The first start after an installation compiles its Python files, on a busy machine for long.
        let deadline = Instant::now() + Duration::from_secs(120);
        let client = reqwest::Client::new();
        loop {
            let health = client.get(format!("http://{}/_ministack/health", self.address)).send().await;
            if health.is_ok_and(|answer| answer.status().is_success()) {
                break;
            }
            assert!(Instant::now() < deadline, "the S3 emulator did not come up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let made = client.put(format!("http://{}/{bucket}", self.address)).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
    }

    /// Its address as an endpoint of S3.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The whole group: it has children, and does not end at a SIGTERM while one of them lives.
        let _ = Command::new("kill").arg("-9").arg("--").arg(format!("-{}", self.child.id())).status();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What the proxy does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Passes it on.
    None,
    /// Answers in the store's place; the store never sees it.
    Answer(u16, &'static str),
    /// Passes it on and closes the connection instead of answering.
    LoseAnswer,
    /// Closes the connection; the store never sees it.
    Refuse,
    /// Passes it on after a while.
    Delay(Duration),
}

/// A proxy before the emulator.
pub(crate) struct FaultyProxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<ProxyState>,
    task: tokio::task::JoinHandle<()>,
}

struct ProxyState {
    upstream: SocketAddr,
    /// Faults for the next requests, in order; when it is empty all pass.
    faults: Mutex<VecDeque<Fault>>,
    /// The heads of the requests, as they came.
    heads: Mutex<Vec<String>>,
}

impl FaultyProxy {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(ProxyState { upstream, faults: Mutex::default(), heads: Mutex::default() });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // A connection that breaks is what this is for.
                tokio::spawn(async move { drop(serve(stream, &state).await) });
            }
        });
        Self { address, state, task }
    }

    /// Faults for the next requests, one each.
    pub(crate) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.state.faults.lock() = faults.into_iter().collect();
    }

    /// The heads of all requests since the last call.
    pub(crate) fn take_heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.heads.lock())
    }

    /// Its address as an endpoint of S3.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection: the answer says so.
async fn serve(mut client: TcpStream, state: &ProxyState) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client).await?;
    state.heads.lock().push(head.clone());
    let fault = state.faults.lock().pop_front().unwrap_or(Fault::None);
    match &fault {
        Fault::Refuse => return Ok(()),
        Fault::Answer(status, code) => {
            let body = format!("<Error><Code>{code}</Code><Message>made by the test</Message></Error>");
            let head = format!(
                "HTTP/1.1 {status} Fault\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            client.write_all(head.as_bytes()).await?;
            return client.write_all(body.as_bytes()).await;
        }
        Fault::Delay(time) => tokio::time::sleep(*time).await,
        Fault::None | Fault::LoseAnswer => {}
    }
    let mut upstream = TcpStream::connect(state.upstream).await?;
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    upstream.write_all(head.as_bytes()).await?;
    upstream.write_all(&body).await?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).await?;
    if matches!(fault, Fault::LoseAnswer) {
        return Ok(());
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}

async fn read_request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
        .unwrap_or(0);
    let mut body = body;
    while body.len() < length {
        if client.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}
