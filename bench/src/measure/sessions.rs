//! What a turn costs when the session is long.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::client::Connection;
use crate::stats::{median, ms};
use crate::systems::{Places, System};

/// A turn at one length of the session.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Messages in the session.
    pub messages: usize,
    /// From question to `done`, milliseconds, median.
    pub turn_ms: f64,
    /// CPU of the server, milliseconds, mean.
    pub cpu_ms: f64,
}

/// Grows one session and measures turns on the way. Every turn is durable (SQLite).
///
/// # Errors
/// A turn fails.
pub async fn measure(places: &Places, mock: SocketAddr, lengths: &[usize]) -> Result<Vec<Turn>> {
    const SAMPLE: usize = 21;
    let running = System::LoquatSqlite.start(places, mock).await?;
    let mut connection = Connection::new(System::LoquatSqlite.target(running.addr));
    let mut turns = Vec::new();
    let mut messages = 0;
    for length in lengths {
        ensure!(*length >= messages, "the lengths must grow");
        while messages < *length {
            connection.chat(Some("bench"), "tokens=20").await?;
            messages += 2;
        }
        let (mut times, cpu) = (Vec::new(), running.cpu());
        for _ in 0..SAMPLE {
            times.push(ms(connection.chat(Some("bench"), "tokens=20").await?.whole));
            messages += 2;
        }
        let cpu_ms = (running.cpu() - cpu) * 1000.0 / SAMPLE as f64;
        turns.push(Turn { messages: *length, turn_ms: median(&times), cpu_ms });
    }
    Ok(turns)
}
