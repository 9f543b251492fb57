//! API Gateway REST with response streaming (and a function URL, and a load balancer) in front of the Lambda
//! Runtime API, in one process: what no public emulator streams.
//!
//! The function is any program that speaks the Runtime API: `bootstrap` itself, or the Lambda Web Adapter in front
//! of it.

mod event;
mod gateway;
mod identity;
mod runtime_api;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::mpsc,
};

pub use event::EventKind;
pub use identity::Issuer;

/// `loquat-bench lambda …`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8900")]
    listen: SocketAddr,
    /// Where the Runtime API listens.
    #[arg(long, default_value = "127.0.0.1:8901")]
    runtime_listen: SocketAddr,
    /// The event the function gets.
    #[arg(long, value_enum, default_value_t = EventKind::Rest)]
    event: EventKind,
    /// The stage of the REST API.
    #[arg(long, default_value = "prod")]
    stage: String,
    /// The token issuer; without it nobody has to sign in.
    #[arg(long, requires = "jwks")]
    issuer: Option<String>,
    /// Where the issuer's keys are.
    #[arg(long)]
    jwks: Option<String>,
    /// Seconds without a byte after which API Gateway cuts the stream.
    #[arg(long, default_value_t = 300.0)]
    idle_seconds: f64,
    /// Seconds after which Lambda stops the function and API Gateway cuts the stream.
    #[arg(long, default_value_t = 900.0)]
    total_seconds: f64,
    /// Function processes.
    #[arg(long, default_value_t = 1)]
    instances: usize,
    /// A variable of the function, which gets nothing of this program's environment.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// The function and its arguments.
    #[arg(last = true)]
    command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// How the emulator behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The event the function gets.
    pub event: EventKind,
    /// The stage of the REST API.
    pub stage: String,
    /// Who signs the tokens; `None` lets everybody in.
    pub issuer: Option<Issuer>,
    /// The origin in the gateway's own answers.
    pub cors_origin: String,
    /// Time without a byte after which API Gateway cuts the stream.
    pub idle: Duration,
    /// Time after which the invocation is over, whatever it is doing.
    pub total: Duration,
    /// Requests being answered at once beyond which the gateway says 429.
    pub throttle: usize,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where the Runtime API listens.
    pub runtime: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            event: EventKind::Rest,
            stage: "prod".into(),
            issuer: None,
            cors_origin: "*".into(),
            idle: Duration::from_secs(300),
            total: Duration::from_secs(900),
            throttle: 1_000,
            gateway: any,
            runtime: any,
        }
    }
}

/// A running emulator; dropping it ends its listeners and its functions.
#[derive(Debug)]
pub struct Emulator {
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// Where the Runtime API listens.
    pub runtime: SocketAddr,
    stage: String,
    shared: Arc<Shared>,
    functions: Vec<Child>,
    listeners: tokio::task::JoinSet<()>,
}

/// What the Runtime API tells the gateway about one invocation.
enum Part {
    /// The function began to answer; `false` when it reports a failure instead.
    Head {
        answer: bool,
    },
    Data(Bytes),
    End,
    Broken,
}

struct Waiting {
    id: String,
    event: Bytes,
    deadline_ms: u64,
}

struct Shared {
    options: Options,
    queue: mpsc::UnboundedSender<Waiting>,
    next: tokio::sync::Mutex<mpsc::UnboundedReceiver<Waiting>>,
    running: Mutex<HashMap<String, mpsc::UnboundedSender<Part>>>,
    init_errors: Mutex<Vec<String>>,
    invocations: AtomicU64,
    polls: AtomicU64,
    live: AtomicUsize,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Shared {
    /// Hands an event to the function; its answer comes through the channel.
    fn invoke(&self, id: &str, event: Bytes, deadline_ms: u64) -> mpsc::UnboundedReceiver<Part> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.running().insert(id.to_owned(), sender);
        let _ = self.queue.send(Waiting { id: id.to_owned(), event, deadline_ms });
        receiver
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<Part>>> {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Emulator {
    /// Opens both listeners.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let gateway = TcpListener::bind(options.gateway).await.context("the gateway's address")?;
        let runtime = TcpListener::bind(options.runtime).await.context("the Runtime API's address")?;
        let addresses = (gateway.local_addr()?, runtime.local_addr()?);
        let (queue, next) = mpsc::unbounded_channel();
        let stage = options.stage.clone();
        let shared = Arc::new(Shared {
            options,
            queue,
            next: tokio::sync::Mutex::new(next),
            running: Mutex::default(),
            init_errors: Mutex::default(),
            invocations: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            live: AtomicUsize::new(0),
        });
        let mut listeners = tokio::task::JoinSet::new();
        for (listener, router) in [
            (gateway, gateway::router(Arc::clone(&shared))),
            (runtime, runtime_api::router(Arc::clone(&shared))),
        ] {
            listeners.spawn(async move {
                // Otherwise a frame waits here for the client to acknowledge the one before, up to 40 ms.
                let listener = listener.tap_io(|socket| {
                    let _ = socket.set_nodelay(true);
                });
                let _ = axum::serve(listener, router).await;
            });
        }
        Ok(Self {
            gateway: addresses.0,
            runtime: addresses.1,
            stage,
            shared,
            functions: Vec::new(),
            listeners,
        })
    }

    /// The API's address, with its stage where it has one.
    pub fn url(&self) -> String {
        match self.shared.options.event {
            EventKind::Rest => format!("http://{}/{}", self.gateway, self.stage),
            EventKind::FunctionUrl | EventKind::Alb => format!("http://{}", self.gateway),
        }
    }

    /// Starts a function with the environment Lambda gives it and `environment` over it.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(
        &mut self,
        program: &PathBuf,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<u32> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            // What Lambda sets and nothing else; a home folder is not among it.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin")
            .env("LANG", "en_US.UTF-8")
            .env("TZ", ":UTC")
            .env("AWS_LAMBDA_RUNTIME_API", self.runtime.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/loquat/function")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("_HANDLER", "bootstrap")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{}", program.display()))?;
        let id = child.id().unwrap_or_default();
        self.functions.push(child);
        Ok(id)
    }

    /// Ends every function at once, as Lambda does with an instance it no longer wants.
    pub async fn kill_functions(&mut self) {
        for mut function in self.functions.drain(..) {
            let _ = function.kill().await;
        }
    }

    /// How many invocations there were.
    pub fn invocations(&self) -> u64 {
        self.shared.invocations.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// How often functions asked for an event.
    pub fn polls(&self) -> u64 {
        self.shared.polls.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What functions said when they could not start.
    pub fn init_errors(&self) -> Vec<String> {
        self.shared.init_errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// Runs the emulator until it is interrupted.
///
/// # Errors
/// When an address is taken or the function cannot be started.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let issuer = match (args.issuer, args.jwks) {
        (Some(issuer), Some(jwks)) => Some(Issuer { issuer, jwks }),
        _ => None,
    };
    let mut emulator = Emulator::start(Options {
        event: args.event,
        stage: args.stage,
        issuer,
        idle: Duration::from_secs_f64(args.idle_seconds),
        total: Duration::from_secs_f64(args.total_seconds),
        gateway: args.listen,
        runtime: args.runtime_listen,
        ..Options::default()
    })
    .await?;
    if let Some((program, arguments)) = args.command.split_first() {
        for _ in 0..args.instances {
            emulator.spawn(&PathBuf::from(program), arguments, &args.environment)?;
        }
    }
    announce(&emulator);
    tokio::signal::ctrl_c().await?;
    emulator.kill_functions().await;
    emulator.listeners.shutdown().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a command line tool says where it listens")]
fn announce(emulator: &Emulator) {
    println!("{}  (AWS_LAMBDA_RUNTIME_API={})", emulator.url(), emulator.runtime);
}
