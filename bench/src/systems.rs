//! What is measured side by side, and how each is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::client::Target;
use crate::process::{Running, free_port};
use crate::wire::Form;

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The `loquat` binary.
    pub loquat: PathBuf,
    /// The interpreter of the peer's environment.
    pub python: Option<PathBuf>,
    /// The folder `bench`.
    pub bench: PathBuf,
    /// A folder for data that is thrown away.
    pub scratch: PathBuf,
}

/// Something that stands between a client and the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Nothing: the client asks the model.
    Direct,
    /// hyper, copying bytes.
    Copy,
    /// hyper, translating ConverseStream to the chat dialect.
    Translate,
    /// Loquat without a store.
    Loquat,
    /// Loquat as it comes: SQLite, every turn durable.
    LoquatSqlite,
    /// FastAPI and Strands as the document has them.
    Peer,
    /// The same with the model client built once, uvloop and httptools.
    PeerImproved,
    /// The same with two workers.
    PeerImprovedTwo,
}

impl System {
    /// Everything that is started, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::Copy,
        Self::Translate,
        Self::Loquat,
        Self::LoquatSqlite,
        Self::Peer,
        Self::PeerImproved,
        Self::PeerImprovedTwo,
    ];

    /// The name in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "the model itself",
            Self::Copy => "limit: copy",
            Self::Translate => "limit: translate",
            Self::Loquat => "Loquat",
            Self::LoquatSqlite => "Loquat, SQLite",
            Self::Peer => "document's peer",
            Self::PeerImproved => "improved peer",
            Self::PeerImprovedTwo => "improved peer, 2 workers",
        }
    }

    /// Whether it is one of the Python peers.
    #[must_use]
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Peer | Self::PeerImproved | Self::PeerImprovedTwo)
    }

    /// How to talk to it.
    #[must_use]
    pub fn target(self, addr: SocketAddr) -> Target {
        let form = if matches!(self, Self::Direct | Self::Copy) { Form::Converse } else { Form::Sse };
        Target { addr, form, direct: self == Self::Direct }
    }

    /// Starts it in front of a mock model server and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn start(self, places: &Places, mock: SocketAddr) -> Result<Running> {
        let port = free_port()?;
        let command = match self {
            Self::Direct => mock_command(port)?,
            Self::Copy | Self::Translate => limit_command(port, mock, self == Self::Translate)?,
            Self::Loquat => loquat_command(places, port, mock, "none"),
            Self::LoquatSqlite => loquat_command(places, port, mock, "sqlite"),
            Self::Peer => peer_command(places, port, mock, false, 1)?,
            Self::PeerImproved => peer_command(places, port, mock, true, 1)?,
            Self::PeerImprovedTwo => peer_command(places, port, mock, true, 2)?,
        };
        let health = if self == Self::Direct { "/" } else { "/health" };
        Running::start(command, port, health).await.with_context(|| self.name().to_owned())
    }
}

fn own(subcommand: &str, port: u16) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([subcommand, "--port", &port.to_string()]).stdout(Stdio::null());
    Ok(command)
}

fn mock_command(port: u16) -> Result<Command> {
    let mut command = own("mock", port)?;
    command.args(["--record", "0"]);
    Ok(command)
}

fn limit_command(port: u16, mock: SocketAddr, translate: bool) -> Result<Command> {
    let mut command = own("limit", port)?;
    command.args(["--upstream", &mock.to_string()]);
    if translate {
        command.arg("--translate");
    }
    Ok(command)
}

/// The variables that lead Bedrock's clients, ours and boto3, to the mock, and no others: what is set where the
/// measurement runs is not what is measured.
pub(crate) fn bedrock(command: &mut Command, mock: SocketAddr) {
    command
        .env_clear()
        .env("MODEL_ID", "mock")
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("http://{mock}"))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        // Signed requests, as with a role. A bearer token would be refused by boto3: it goes over TLS only.
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env("AWS_EC2_METADATA_DISABLED", "true");
}

/// `loquat serve` in a folder of its own.
#[must_use]
pub fn loquat_command(places: &Places, port: u16, mock: SocketAddr, store: &str) -> Command {
    let data = places.scratch.join(format!("loquat-{store}-{port}"));
    let mut command = Command::new(&places.loquat);
    bedrock(&mut command, mock);
    command
        .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(&places.scratch)
        .env("LOQUAT_DATA_DIR", data)
        .env("LOQUAT_STORE", store)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn peer_command(
    places: &Places,
    port: u16,
    mock: SocketAddr,
    improved: bool,
    workers: u32,
) -> Result<Command> {
    let python: &Path = places.python.as_deref().context("there is no Python environment for the peer")?;
    let mut command = Command::new(python);
    bedrock(&mut command, mock);
    command
        .args(["-m", "uvicorn", "--host", "127.0.0.1", "--port", &port.to_string(), "--no-access-log"])
        .args(["--log-level", "error"])
        .current_dir(places.bench.join("peer"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if improved {
        command.args(["--loop", "uvloop", "--http", "httptools", "--workers", &workers.to_string()]);
    }
    command.arg(if improved { "improved:app" } else { "document:app" });
    Ok(command)
}
