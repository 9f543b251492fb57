//! CPU per token and tokens per second without pacing, and the split into the cost of a request and that of a token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{Effort, checked, no_failures, reference};
use crate::client::{Connection, Target};
use crate::process::Running;
use crate::stats::median;

/// One level of load.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// CPU seconds of the system for 1 000 tokens, median.
    pub cpu_per_1000: f64,
    /// Tokens a second over all streams, median.
    pub tokens_per_second: f64,
    /// Rounds of which these are medians.
    pub rounds: usize,
}

/// What a request and what one more token cost, in CPU microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// A run of one token.
    pub request_us: f64,
    /// One more token, between runs of 20 and of 1 000.
    pub token_us: f64,
}

/// Keeps so many streams busy with answers of so many tokens.
///
/// # Errors
/// An answer fails.
pub async fn measure(
    running: &Running,
    target: Target,
    direct: Target,
    streams: usize,
    tokens: usize,
    effort: Effort,
) -> Result<Throughput> {
    let words: Arc<str> = format!("tokens={tokens}").into();
    let expected = reference(direct, &words).await?;
    // Warm-up: connections, allocator, branch predictors, Python's caches.
    load(target, 2, &words, &expected, Duration::from_millis(200)).await?;
    let (mut cpu, mut rate) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let (before, began) = (running.cpu(), Instant::now());
        let answers =
            load(target, streams, &words, &expected, Duration::from_secs_f64(effort.seconds)).await?;
        let seconds = began.elapsed().as_secs_f64();
        let total = (answers * tokens) as f64;
        cpu.push((running.cpu() - before) * 1000.0 / total);
        rate.push(total / seconds);
        // A system that needs much longer than a round for one answer a stream would take the whole evening.
        if seconds > effort.seconds * 4.0 {
            break;
        }
    }
    Ok(Throughput { cpu_per_1000: median(&cpu), tokens_per_second: median(&rate), rounds: cpu.len() })
}

/// Runs of 1, 20 and 1 000 tokens on ten streams.
///
/// # Errors
/// An answer fails.
pub async fn split(running: &Running, target: Target, direct: Target, effort: Effort) -> Result<Split> {
    let mut run = Vec::new();
    for tokens in [1, 20, 1000] {
        let level = measure(running, target, direct, 10, tokens, effort).await?;
        run.push(level.cpu_per_1000 * tokens as f64 * 1000.0);
    }
    Ok(Split { request_us: run[0], token_us: (run[2] - run[1]) / 980.0 })
}

/// Answers read to their end; new ones are begun until the time is over, at least one a stream.
pub(crate) async fn load(
    target: Target,
    streams: usize,
    words: &Arc<str>,
    expected: &Arc<str>,
    time: Duration,
) -> Result<usize> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (words, expected) = (Arc::clone(words), Arc::clone(expected));
        tasks.spawn(async move {
            let mut connection = Connection::new(target);
            let mut answers = 0;
            loop {
                checked(&mut connection, &words, &expected).await.map_err(|error| format!("{error:#}"))?;
                answers += 1;
                if Instant::now() >= until {
                    return Ok::<usize, String>(answers);
                }
            }
        });
    }
    let (mut answers, mut failures) = (0, Vec::new());
    for result in tasks.join_all().await {
        match result {
            Ok(count) => answers += count,
            Err(why) => failures.push(why),
        }
    }
    no_failures(&failures)?;
    Ok(answers)
}
