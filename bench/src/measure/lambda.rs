//! The Lambda function: a cold start behind the emulator of API Gateway and the Runtime API, and its package.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Effort;
use crate::client::{Connection, Target};
use crate::lambda_emulator::{Emulator, EventKind, Options};
use crate::process::{cpu_of, resident_of};
use crate::stats::{median, ms};
use crate::systems::{Places, bedrock};
use crate::wire::Form;

/// Longer than any start takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Medians over some starts.
#[derive(Clone, Copy, Debug)]
pub struct ColdStart {
    /// Milliseconds from the spawn until it asks for its first event.
    pub ready_ms: f64,
    /// CPU milliseconds used until then.
    pub ready_cpu_ms: f64,
    /// Resident memory then, in MiB.
    pub ready_mib: f64,
    /// Milliseconds from the spawn to the first text at the client, whose request was waiting for the instance.
    pub first_text_ms: f64,
    /// The same of the next request, which finds the instance running.
    pub warm_first_text_ms: f64,
}

/// Starts `bootstrap` several times as Lambda would.
///
/// # Errors
/// A start or an answer fails.
pub async fn cold_start(bootstrap: &Path, mock: SocketAddr, effort: Effort) -> Result<ColdStart> {
    let environment = environment(mock);
    let (mut ready, mut cpu, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        // Once without a request, to see what a start alone costs.
        let mut emulator = emulator().await?;
        let spawned = Instant::now();
        let pid = emulator.spawn(&bootstrap.to_path_buf(), &[], &environment)?;
        while emulator.polls() == 0 {
            if spawned.elapsed() > PATIENCE || !emulator.init_errors().is_empty() {
                bail!("the function does not start: {:?}", emulator.init_errors());
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        ready.push(ms(spawned.elapsed()));
        cpu.push(cpu_of(pid) * 1000.0);
        idle.push(resident_of(pid) / 1024.0);
        emulator.kill_functions().await;

        let mut emulator = self::emulator().await?;
        let mut connection =
            Connection::new(Target { addr: emulator.gateway, form: Form::Sse, direct: false });
        let spawned = Instant::now();
        emulator.spawn(&bootstrap.to_path_buf(), &[], &environment)?;
        let asked = spawned.elapsed();
        let answer = tokio::time::timeout(PATIENCE, connection.chat(None, "tokens=1"));
        first.push(ms(asked + answer.await.context("no answer of a cold start")??.first));
        warm.push(ms(connection.chat(None, "tokens=1").await?.first));
        emulator.kill_functions().await;
    }
    Ok(ColdStart {
        ready_ms: median(&ready),
        ready_cpu_ms: median(&cpu),
        ready_mib: median(&idle),
        first_text_ms: median(&first),
        warm_first_text_ms: median(&warm),
    })
}

/// Function URLs and REST APIs give the function the same stream; only the address differs.
async fn emulator() -> Result<Emulator> {
    Emulator::start(Options { event: EventKind::FunctionUrl, ..Options::default() }).await
}

fn environment(mock: SocketAddr) -> Vec<(String, String)> {
    let mut command = Command::new("");
    bedrock(&mut command, mock);
    let mut all: Vec<(String, String)> = [
        ("LOQUAT_STORE", "none"),
        ("LOQUAT_INSECURE", "true"),
        ("LOQUAT_EMF", "false"),
        ("RUST_LOG", "error"),
    ]
    .iter()
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            all.push((name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        }
    }
    all
}

/// Makes the package of an agent by the command that users run; its size in bytes.
///
/// # Errors
/// It cannot be made; the command says why.
pub fn package(places: &Places, bootstrap: &Path) -> Result<u64> {
    let folder = places.scratch.join("agent");
    std::fs::create_dir_all(&folder)?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    let config = format!("model = \"bedrock/mock\"\n[deploy]\narchitecture = \"{architecture}\"\n");
    std::fs::write(folder.join("loquat.toml"), config)?;
    let out: PathBuf = places.scratch.join("agent.zip");
    let mut command = Command::new(&places.loquat);
    command.arg("package").arg(&folder).arg("--out").arg(&out).arg("--bootstrap").arg(bootstrap);
    let status = command.stdout(Stdio::null()).status().context("`loquat package`")?;
    if !status.success() {
        bail!("`loquat package` failed ({status})");
    }
    Ok(out.metadata()?.len())
}
