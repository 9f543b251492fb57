//! `loquat serve`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use loquat_server::assemble::{Service, assemble};
use loquat_server::config::{Config, Flags};
use loquat_server::host::connections::ConnectionLimits;
use loquat_server::host::{self, listener};
use loquat_server::{app, telemetry};

/// Serve the agent and its web page.
///
/// Settings come from loquat.toml (beside you, or named by --config), the environment, and these flags, each winning
/// over the ones before. Without any, the agent answers with the built-in demonstration model and keeps conversations
/// in a SQLite file in your data folder.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Address to listen on [default: 127.0.0.1; environment: HOST]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,
    /// Port to listen on, 0 for any free one [default: 8080; environment: PORT]
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Settings file [default: loquat.toml, if there is one; environment: LOQUAT_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen beyond this machine although nobody signs in
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl Args {
    pub(crate) fn flags(&self) -> Flags {
        Flags { config: self.config.clone(), host: self.host, port: self.port, insecure: self.insecure }
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&args.flags())?;
    telemetry::logs::init(&config.log)?;
    host::raise_file_limit();
    tokio::runtime::Runtime::new().context("cannot start the runtime")?.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let service = assemble(&config)?;
    let address = SocketAddr::new(config.http.host, config.http.port);
    let signs_in = service.sign_in != "none";
    let socket = listener::listen(address, signs_in, config.http.insecure).await?;
    let address = socket.local_addr()?;
    tell(&service, address);
    let router = app::router(service.state.clone());
    let (stop, stop_now) = signals()?;
    let limits = ConnectionLimits::from(&config.limits);
    let engine = service.state.engine.clone();
    listener::serve(socket, router, engine, limits, config.http.drain, stop, stop_now).await;
    service.toolbox.shutdown().await;
    service.state.telemetry.flush().await;
    Ok(())
}

/// What a person wants to know: four lines, and a fifth where the model needs a word.
#[allow(clippy::print_stdout)]
fn tell(service: &Service, address: SocketAddr) {
    println!("Address   http://{address}");
    println!("Model     {}", service.model);
    println!("Sessions  {}", service.store);
    println!("Sign-in   {}", service.sign_in);
    if let Some(note) = &service.model_note {
        println!("\n{note}");
    }
}

/// The first and the second request to stop (Ctrl-C or SIGTERM).
fn signals() -> anyhow::Result<(impl Future<Output = ()> + Send, impl Future<Output = ()> + Send)> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?;
    let (first, second) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let told = std::sync::Arc::new((first, second));
    let teller = std::sync::Arc::clone(&told);
    tokio::spawn(async move {
        for count in 0u32.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if count == 0 { teller.0.notify_one() } else { teller.1.notify_one() }
        }
    });
    let again = std::sync::Arc::clone(&told);
    Ok((async move { told.0.notified().await }, async move { again.1.notified().await }))
}
