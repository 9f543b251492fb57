//! `bootstrap`: the program Lambda starts. The server alone: no cloud side, no built-in model.
//!
//! Natively it answers invocations; behind the Lambda Web Adapter, or in a container, it listens. `bootstrap health` asks
//! one that listens how it is, for images that have no other program to do so.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use loquat_server::{
    app,
    assemble::assemble_on,
    auth::Host,
    config::{Config, Flags},
    host::{connections::ConnectionLimits, lambda, listener},
    telemetry,
};

// The one place that prints an error and picks the exit code.
#[allow(clippy::print_stderr)]
fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootstrap: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let config = Config::load(&Flags::default());
    if std::env::args().nth(1).is_some_and(|word| word == "health") {
        return health(&config?);
    }
    // A function of less than two gigabytes has one processor or a part of it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    runtime.block_on(async {
        match config {
            Ok(config) => serve(config).await,
            Err(error) => {
                // Without this Lambda would say no more than that the process ended.
                if let Some(runtime_api) = Config::lambda_runtime() {
                    lambda::report_init_error(&runtime_api, &error.to_string()).await?;
                }
                Err(error.into())
            }
        }
    })
}

/// How long the server may take to say how it is.
const HEALTH_PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server of the same settings for `GET /health`.
fn health(config: &Config) -> anyhow::Result<()> {
    let host = match config.http.host {
        host if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host,
    };
    let address = SocketAddr::new(host, config.http.port);
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_PATIENCE)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(HEALTH_PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).context("no answer")?;
    anyhow::ensure!(answer.ends_with(b" 200"), "the server says {}", String::from_utf8_lossy(&answer));
    Ok(())
}

async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::logs::init(&config.log)?;
    // Also behind the Web Adapter: what calls there by another name is API Gateway, and no page of this machine. What
    // an authorizer says is believed only where the native host brought it with the invocation.
    let service = assemble_on(&config, Host::Lambda)?;
    let router = app::router(service.state.clone());
    if let Some(host) = config.lambda {
        lambda::serve(router, host).await?;
        service.state.telemetry.flush().await;
        return Ok(());
    }
    let address = SocketAddr::new(config.http.host, config.http.port);
    let socket = listener::listen(address, service.sign_in != "none", config.http.insecure).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot wait for SIGTERM")?;
    let stop = async move {
        terminate.recv().await;
    };
    let engine = service.state.engine.clone();
    let limits = ConnectionLimits::from(&config.limits);
    listener::serve(socket, router, engine, limits, config.http.drain, stop, std::future::pending()).await;
    service.state.telemetry.flush().await;
    Ok(())
}
