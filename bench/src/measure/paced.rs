//! The most streams at 50 tokens a second whose readers do not notice each other, and the memory of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::{checked, no_failures, reference};
use crate::client::{Answer, Connection, Target};
use crate::process::Running;
use crate::stats::{ms, percentile};

/// 50 tokens a second for three seconds.
const WORDS: &str = "tokens=150 delay=20ms";
/// The longest gap that 99 of 100 tokens may have.
const MOST_GAP_MS: f64 = 100.0;
/// How much longer than the model alone 99 of 100 answers may take. Without it a system passes that makes every stream
/// wait a little, again and again: no gap is long then, and nobody gets 50 tokens a second.
const MOST_SLOWDOWN: f64 = 1.1;
/// How long 99 of 100 answers may wait for their first token: a stream that stands in a queue is not one of those that
/// are carried at once.
const MOST_WAIT_MS: f64 = 1000.0;

/// What a number of streams did.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// Streams at once.
    pub streams: usize,
    /// 99th percentile of the gaps between tokens, milliseconds.
    pub gap_p99_ms: f64,
    /// From the first token to the end, 99th percentile, as a multiple of what it takes the model alone.
    pub slowdown: f64,
    /// To the first token, 99th percentile.
    pub first_p99_ms: f64,
    /// CPUs that the system used.
    pub cpus: f64,
}

impl Trial {
    fn keeps_the_pace(self) -> bool {
        self.gap_p99_ms < MOST_GAP_MS && self.slowdown <= MOST_SLOWDOWN && self.first_p99_ms < MOST_WAIT_MS
    }
}

/// The most streams found, and every trial on the way.
#[derive(Clone, Debug)]
pub struct Paced {
    /// The best trial that kept the limit; `None`: not even the first did.
    pub most: Option<Trial>,
    /// All of them.
    pub trials: Vec<Trial>,
}

/// Doubles the streams until readers notice, then halves the interval. Prints why a number of streams failed as a whole.
#[allow(clippy::print_stdout)]
pub async fn most(running: &Running, target: Target, direct: Target, first: usize, ceiling: usize) -> Paced {
    let (mut trials, mut good, mut bad) = (Vec::new(), 0, None);
    let mut next = first;
    loop {
        // More streams than a system can open is an answer as well: too many. It is said, because it may be another.
        let trial = trial(running, target, direct, next)
            .await
            .inspect_err(|error| println!("  {next} streams: {error:#}"))
            .ok();
        let fits = trial.is_some_and(Trial::keeps_the_pace);
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
    Paced { most, trials }
}

/// So many paced streams at once.
///
/// # Errors
/// An answer fails.
pub async fn trial(running: &Running, target: Target, direct: Target, streams: usize) -> Result<Trial> {
    let alone = Connection::new(direct).chat(None, WORDS).await?;
    let (cpu, began) = (running.cpu(), Instant::now());
    let answers = open(target, streams, &alone.text.as_str().into()).join_all().await;
    let seconds = began.elapsed().as_secs_f64();
    let cpus = (running.cpu() - cpu) / seconds;
    let (mut gaps, mut slowdowns, mut firsts, mut failures) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for result in answers {
        match result {
            Ok(answer) => {
                slowdowns.push(spoken(&answer) / spoken(&alone));
                firsts.push(ms(answer.first));
                gaps.extend(answer.gaps.into_iter().map(ms));
            }
            Err(why) => failures.push(why),
        }
    }
    no_failures(&failures)?;
    Ok(Trial {
        streams,
        gap_p99_ms: percentile(&gaps, 0.99),
        slowdown: percentile(&slowdowns, 0.99),
        first_p99_ms: percentile(&firsts, 0.99),
        cpus,
    })
}

/// Resident memory of a live stream in KiB: what so many streams add to a process that has answered once.
///
/// # Errors
/// An answer fails.
pub async fn memory(running: &Running, target: Target, direct: Target, streams: usize) -> Result<f64> {
    let expected = reference(direct, WORDS).await?;
    checked(&mut Connection::new(target), "tokens=20", &reference(direct, "tokens=20").await?).await?;
    let before = running.resident_kib();
    let answers = open(target, streams, &expected);
    // In the middle, when every stream is open.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let during = running.resident_kib();
    let failures: Vec<String> = answers.join_all().await.into_iter().filter_map(Result::err).collect();
    no_failures(&failures)?;
    Ok((during - before).max(0.0) / streams as f64)
}

/// Seconds from the first token to the end.
fn spoken(answer: &Answer) -> f64 {
    answer.whole.saturating_sub(answer.first).as_secs_f64()
}

fn open(target: Target, streams: usize, expected: &Arc<str>) -> JoinSet<Result<Answer, String>> {
    let mut tasks = JoinSet::new();
    for number in 0..streams {
        let expected = Arc::clone(expected);
        tasks.spawn(async move {
            // Not all in the same instant: people do not begin together.
            tokio::time::sleep(Duration::from_secs_f64(number as f64 / streams as f64)).await;
            let answer = checked(&mut Connection::new(target), WORDS, &expected).await;
            answer.map_err(|error| format!("{error:#}"))
        });
    }
    tasks
}
