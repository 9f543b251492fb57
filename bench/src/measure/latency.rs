//! What a system adds to the first token, and to the time between two, on one connection.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Effort, checked, reference};
use crate::client::{Connection, Target};
use crate::stats::{median, ms, percentile};

/// Milliseconds, medians over the rounds.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// To the first text, median.
    pub first_ms: f64,
    /// To the first text, 99th percentile.
    pub first_p99_ms: f64,
    /// Between two pieces sent 10 ms apart, median.
    pub gap_ms: f64,
    /// Between two pieces sent 10 ms apart, 99th percentile.
    pub gap_p99_ms: f64,
}

/// Asks one question after another.
///
/// # Errors
/// An answer fails.
pub async fn measure(target: Target, direct: Target, effort: Effort) -> Result<Latency> {
    let (short, paced) = ("tokens=20", "tokens=30 delay=10ms");
    let expected = reference(direct, short).await?;
    let expected_paced = reference(direct, paced).await?;
    let mut connection = Connection::new(target);
    for _ in 0..20 {
        checked(&mut connection, short, &expected).await?;
    }
    let (mut firsts, mut firsts_p99, mut gaps, mut gaps_p99) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let began = Instant::now();
        let mut round = Vec::new();
        while round.len() < 10
            || (began.elapsed() < Duration::from_secs_f64(effort.seconds) && round.len() < 500)
        {
            round.push(ms(checked(&mut connection, short, &expected).await?.first));
        }
        firsts.push(median(&round));
        firsts_p99.push(percentile(&round, 0.99));
        let mut round = Vec::new();
        for _ in 0..3 {
            round.extend(checked(&mut connection, paced, &expected_paced).await?.gaps.into_iter().map(ms));
        }
        gaps.push(median(&round));
        gaps_p99.push(percentile(&round, 0.99));
    }
    Ok(Latency {
        first_ms: median(&firsts),
        first_p99_ms: median(&firsts_p99),
        gap_ms: median(&gaps),
        gap_p99_ms: median(&gaps_p99),
    })
}
