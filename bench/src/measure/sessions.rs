//! What a turn costs when the session is long, and what a slow store costs those who wait for other words.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::no_failures;
use crate::client::Connection;
use crate::object_store::ObjectStore;
use crate::process::{Running, free_port};
use crate::stats::{median, ms, percentile};
use crate::systems::{Places, System, loquat_command};

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

/// What is measured of sessions.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// Every turn durable on the local disk.
    pub sqlite: Vec<Turn>,
    /// On object storage that answers at once.
    pub s3: Vec<Turn>,
    /// Streams of the measurement of gaps.
    pub streams: usize,
    /// 99th percentile of the gaps between tokens on object storage that answers at once, milliseconds.
    pub gap_ms: f64,
    /// The same where every answer of the store takes 50 ms.
    pub slow_gap_ms: f64,
}

const TURN: &str = "tokens=20";
const SAMPLE: usize = 21;

/// Measures all of it.
///
/// # Errors
/// A turn fails.
pub async fn measure(places: &Places, mock: SocketAddr, lengths: &[usize]) -> Result<Sessions> {
    let streams = 50;
    let (store, addr) = ObjectStore::start().await?;
    let running = on_objects(places, mock, addr).await?;
    let s3 = lengths_on_objects(&running, &store, lengths).await?;
    let gap_ms = gaps(&running, streams, "fast").await?;
    store.delay(Duration::from_millis(50));
    let slow_gap_ms = gaps(&running, streams, "slow").await?;
    drop(running);
    Ok(Sessions { sqlite: on_disk(places, mock, lengths).await?, s3, streams, gap_ms, slow_gap_ms })
}

/// Grows one session and measures turns on the way.
async fn on_disk(places: &Places, mock: SocketAddr, lengths: &[usize]) -> Result<Vec<Turn>> {
    let running = System::LoquatSqlite.start(places, mock).await?;
    let mut connection = Connection::new(System::LoquatSqlite.target(running.addr));
    let mut turns = Vec::new();
    let mut messages = 0;
    for length in lengths {
        ensure!(*length >= messages, "the lengths must grow");
        while messages < *length {
            connection.chat(Some("bench"), TURN).await?;
            messages += 2;
        }
        turns.push(turn(&running, &mut connection, "bench", *length).await?);
        messages += 2 * SAMPLE;
    }
    Ok(turns)
}

/// Puts sessions of each length there, as the reference wrote them, and goes on with them.
async fn lengths_on_objects(running: &Running, store: &ObjectStore, lengths: &[usize]) -> Result<Vec<Turn>> {
    let mut connection = Connection::new(System::Loquat.target(running.addr));
    let answer = connection.chat(Some("first"), TURN).await?.text;
    let mut turns = Vec::new();
    for length in lengths {
        let messages: Vec<_> = (0..*length)
            .map(|n| match n % 2 {
                0 => json!({"role": "user", "content": [{"text": TURN}]}),
                _ => json!({"role": "assistant", "content": [{"text": answer}]}),
            })
            .collect();
        let name = format!("long-{length}");
        // Of just now: an old session would have expired.
        let now = jiff::Timestamp::now();
        let file = json!({"session_id": name, "messages": messages, "updated_at": now});
        let (key, file) = (format!("bench/sessions/{name}.json"), file.to_string());
        let written = file.len();
        store.put(&key, file);
        // The first turn brings the file into our form.
        connection.chat(Some(&name), TURN).await?;
        ensure!(store.size(&key) > written, "the session was not continued");
        turns.push(turn(running, &mut connection, &name, *length).await?);
    }
    Ok(turns)
}

async fn turn(
    running: &Running,
    connection: &mut Connection,
    session: &str,
    messages: usize,
) -> Result<Turn> {
    let (mut times, cpu) = (Vec::new(), running.cpu());
    for _ in 0..SAMPLE {
        times.push(ms(connection.chat(Some(session), TURN).await?.whole));
    }
    let cpu_ms = (running.cpu() - cpu) * 1000.0 / SAMPLE as f64;
    Ok(Turn { messages, turn_ms: median(&times), cpu_ms })
}

async fn on_objects(places: &Places, mock: SocketAddr, store: SocketAddr) -> Result<Running> {
    let port = free_port()?;
    let mut command = loquat_command(places, port, mock, "s3://bench");
    command
        .env("AWS_ENDPOINT_URL_S3", format!("http://{store}"))
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any");
    Running::start(command, port, "/health").await
}

/// Everybody writes turns of 50 tokens a second into a session of their own; the store's answers are the others' business.
async fn gaps(running: &Running, streams: usize, name: &str) -> Result<f64> {
    let target = System::Loquat.target(running.addr);
    let name: Arc<str> = name.into();
    let mut tasks = JoinSet::new();
    for stream in 0..streams {
        let session = format!("{name}-{stream}");
        tasks.spawn(async move {
            let mut connection = Connection::new(target);
            let mut gaps = Vec::new();
            for _ in 0..3 {
                let answer = connection.chat(Some(&session), "tokens=50 delay=20ms").await;
                gaps.extend(answer.map_err(|error| format!("{error:#}"))?.gaps.into_iter().map(ms));
            }
            Ok::<_, String>(gaps)
        });
    }
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for outcome in tasks.join_all().await {
        match outcome {
            Ok(gaps) => all.extend(gaps),
            Err(error) => failures.push(error),
        }
    }
    no_failures(&failures)?;
    Ok(percentile(&all, 0.99))
}
