//! A client that asks and never reads: memory must not grow with what it does not read.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncWriteExt as _;

use crate::client;
use crate::systems::{Places, System};

/// What clients that never read cost.
#[derive(Clone, Copy, Debug)]
pub struct Stalled {
    /// Clients.
    pub clients: usize,
    /// Tokens of each answer.
    pub tokens: usize,
    /// Resident memory above that before, in KiB a client, after a quarter of the time.
    pub early_kib: f64,
    /// The same at the end.
    pub late_kib: f64,
}

/// Opens streams and reads nothing.
///
/// # Errors
/// The system cannot be started or reached.
pub async fn measure(places: &Places, mock: SocketAddr, system: System) -> Result<Stalled> {
    let (clients, tokens) = (20_u32, 200_000);
    let running = system.start(places, mock).await?;
    let target = system.target(running.addr);
    // One ordinary answer first: what a first request costs for good is not what is asked here.
    client::Connection::new(target).chat(None, "tokens=20").await?;
    let before = running.resident_kib();
    let mut sockets = Vec::new();
    for _ in 0..clients {
        let mut socket = client::connect(running.addr).await?;
        socket.write_all(&client::request(&target, None, &format!("tokens={tokens}"))).await?;
        sockets.push(socket);
    }
    let per_client = |now: f64| (now - before).max(0.0) / f64::from(clients);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let early_kib = per_client(running.resident_kib());
    tokio::time::sleep(Duration::from_secs(6)).await;
    let late_kib = per_client(running.resident_kib());
    drop(sockets);
    Ok(Stalled { clients: clients as usize, tokens, early_kib, late_kib })
}
