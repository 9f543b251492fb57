//! The mock model server under very many streams: it must not be what is measured.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{checked, no_failures, reference};
use crate::client::{Connection, Target};
use crate::process::Running;
use crate::stats::{ms, percentile};

/// A token a second for eight seconds.
const WORDS: &str = "tokens=8 delay=1s";

/// What a crowd did.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Streams at once.
    pub streams: usize,
    /// How much later than a second after the last a token came, 99th percentile, milliseconds.
    pub late_p99_ms: f64,
    /// CPUs the mock used.
    pub cpus: f64,
}

/// So many slow streams at once, every byte of text verified.
///
/// # Errors
/// An answer fails.
pub async fn measure(mock: &Running, direct: Target, streams: usize) -> Result<Crowd> {
    let expected = reference(direct, WORDS).await?;
    let (cpu, began) = (mock.cpu(), Instant::now());
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let expected = expected.clone();
        tasks.spawn(async move {
            // All are open after four seconds; the first ends after seven.
            tokio::time::sleep(Duration::from_secs_f64(4.0 * number as f64 / streams as f64)).await;
            let answer = checked(&mut Connection::new(direct), WORDS, &expected).await;
            answer.map(|answer| answer.gaps).map_err(|error| format!("{error:#}"))
        });
    }
    let (mut late, mut failures) = (Vec::new(), Vec::new());
    for result in tasks.join_all().await {
        match result {
            Ok(gaps) => late.extend(gaps.into_iter().map(|gap| (ms(gap) - 1000.0).max(0.0))),
            Err(why) => failures.push(why),
        }
    }
    no_failures(&failures)?;
    let cpus = (mock.cpu() - cpu) / began.elapsed().as_secs_f64();
    Ok(Crowd { streams, late_p99_ms: percentile(&late, 0.99), cpus })
}
