//! From spawn to ready, from spawn to the first text, and the memory of an idle process.

use std::net::SocketAddr;

use anyhow::Result;

use super::Effort;
use crate::client::Connection;
use crate::stats::{median, ms};
use crate::systems::{Places, System};

/// Medians over some starts.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Milliseconds from spawn to the first 200 of `/health`.
    pub ready_ms: f64,
    /// CPU milliseconds used until then.
    pub ready_cpu_ms: f64,
    /// Milliseconds from spawn to the first text of an answer, asked for as soon as it is ready.
    pub first_text_ms: f64,
    /// Resident memory when ready, in MiB.
    pub ready_mib: f64,
    /// Resident memory after that first answer, in MiB.
    pub answered_mib: f64,
}

/// Starts a system several times.
///
/// # Errors
/// A start or an answer fails.
pub async fn measure(places: &Places, mock: SocketAddr, system: System, effort: Effort) -> Result<Start> {
    let (mut ready, mut cpu, mut first) = (Vec::new(), Vec::new(), Vec::new());
    let (mut idle, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let running = system.start(places, mock).await?;
        ready.push(ms(running.ready_after));
        cpu.push(running.cpu() * 1000.0);
        idle.push(running.resident_kib() / 1024.0);
        let asked = running.spawned.elapsed();
        let answer = Connection::new(system.target(running.addr)).chat(None, "tokens=1").await?;
        first.push(ms(asked + answer.first));
        answered.push(running.resident_kib() / 1024.0);
    }
    Ok(Start {
        ready_ms: median(&ready),
        ready_cpu_ms: median(&cpu),
        first_text_ms: median(&first),
        ready_mib: median(&idle),
        answered_mib: median(&answered),
    })
}
