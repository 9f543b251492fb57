//! The most streams at 50 tokens a second whose readers do not notice each other, and the memory of one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use super::{checked, no_failures, reference};
use crate::client::{Connection, Target};
use crate::process::Running;
use crate::stats::{ms, percentile};

/// 50 tokens a second for three seconds.
const WORDS: &str = "tokens=150 delay=20ms";
/// The longest gap that 99 of 100 tokens may have.
const MOST_GAP_MS: f64 = 100.0;

/// What a number of streams did.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Streams at once.
    pub streams: usize,
    /// 99th percentile of the gaps between tokens, milliseconds.
    pub gap_p99_ms: f64,
    /// Resident memory above that before the trial, in KiB a stream.
    pub kib_per_stream: f64,
    /// The system's share of one CPU.
    pub cpu: f64,
}

/// The most streams found, and every trial on the way.
#[derive(Clone, Debug)]
pub struct Paced {
    /// The best trial that kept the limit; `None`: not even the first did.
    pub most: Option<Trial>,
    /// All of them.
    pub trials: Vec<Trial>,
}

/// Doubles the streams until readers notice, then halves the interval.
///
/// # Errors
/// An answer fails below the limit that was found.
pub async fn most(
    running: &Running,
    target: Target,
    direct: Target,
    first: usize,
    ceiling: usize,
) -> Result<Paced> {
    let (mut trials, mut good, mut bad) = (Vec::new(), 0, None);
    let mut next = first;
    loop {
        // More streams than a system can open is an answer as well: too many.
        let trial = trial(running, target, direct, next).await.ok();
        let fits = trial.is_some_and(|trial| trial.gap_p99_ms < MOST_GAP_MS);
        trials.extend(trial);
        if fits {
            good = next;
        } else {
            bad = Some(next);
        }
        next = match bad {
            None => (next * 2).min(ceiling),
            Some(bad) => good.midpoint(bad),
        };
        let narrow = bad.is_some_and(|bad| bad - good <= (good / 8).max(1));
        if narrow || good >= ceiling {
            break;
        }
    }
    let most = trials.iter().copied().rfind(|trial| trial.streams == good);
    Ok(Paced { most, trials })
}

/// So many paced streams at once.
///
/// # Errors
/// An answer fails.
pub async fn trial(running: &Running, target: Target, direct: Target, streams: usize) -> Result<Trial> {
    let expected = reference(direct, WORDS).await?;
    let (memory, cpu) = (running.resident_kib(), running.cpu());
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let expected = Arc::clone(&expected);
        tasks.spawn(async move {
            // Not all in the same instant: people do not begin together.
            tokio::time::sleep(Duration::from_secs_f64(number as f64 / streams as f64)).await;
            let answer = checked(&mut Connection::new(target), WORDS, &expected).await;
            answer.map(|answer| answer.gaps).map_err(|error| format!("{error:#}"))
        });
    }
    // In the middle, when every stream is open.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let during = running.resident_kib();
    let (mut gaps, mut failures) = (Vec::new(), Vec::new());
    for result in tasks.join_all().await {
        match result {
            Ok(of_stream) => gaps.extend(of_stream.into_iter().map(ms)),
            Err(why) => failures.push(why),
        }
    }
    no_failures(&failures)?;
    Ok(Trial {
        streams,
        gap_p99_ms: percentile(&gaps, 0.99),
        kib_per_stream: (during - memory).max(0.0) / streams as f64,
        cpu: (running.cpu() - cpu) / 4.0,
    })
}
