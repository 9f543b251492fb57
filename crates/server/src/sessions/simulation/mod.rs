//! A deterministic simulation of the whole way of a turn: clients, processes that share a store, and everything that can
//! go wrong between them.
//!
//! Time is tokio's paused clock, so the order of everything follows from the delays that a seed draws: of every request
//! to the store, of every piece of the model's answer, of every client. Processes die before or after any request (a dead
//! process is one whose requests never come back and whose model says nothing more), freeze for longer than a lease and
//! thaw, and lose the answers to writes that went through. Clients retry, ask twice at the same moment, stop, and resume
//! elsewhere. Afterwards the store is looked at from a fresh process.
//!
//! A failure names its seed: `check_seed(seed)` plays it again.

mod client;
mod disk;
mod judge;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use self::client::Seen;
use self::disk::Disk;
use self::process::Process;
use crate::clock::Clock;

/// How many schedules a test run plays. `.ci/run` sets CI and plays all of them, in about four minutes of one core; at a
/// developer's desk some seconds have to be enough.
const SCHEDULES: u64 = if option_env!("CI").is_some() { 20_000 } else { 1_500 };

/// A small random source; equal seeds give equal numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.below(most))
    }
}

/// Everything in a schedule.
struct World {
    disk: Arc<Disk>,
    clock: Clock,
    random: Mutex<Random>,
    /// The processes that clients can reach.
    processes: Mutex<Vec<Arc<Process>>>,
    /// What clients saw.
    seen: Mutex<Vec<Seen>>,
}

impl World {
    fn any_process(&self) -> Arc<Process> {
        let processes = self.processes.lock();
        let at = self.random.lock().below(processes.len() as u64);
        Arc::clone(&processes[usize::try_from(at).unwrap_or(0)])
    }
}

/// Plays one schedule.
async fn play(seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    let disk = Arc::new(Disk::default());
    let clock = Clock::tokio();
    let count = 1 + random.below(3);
    let processes = (0..count).map(|_| Process::start(&disk, clock, &mut random, true)).collect();
    let (clients, sessions) = (1 + random.below(3), 1 + random.below(2));
    let world = Arc::new(World {
        disk: Arc::clone(&disk),
        clock,
        random: Mutex::new(random.clone()),
        processes: Mutex::new(processes),
        seen: Mutex::default(),
    });
    let watch = tokio::spawn(replace_the_dead(Arc::clone(&world)));
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        tasks.spawn(client::converse(Arc::clone(&world), client, sessions));
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| error.to_string())?;
    }
    watch.abort();
    judge::check(&world, sessions).await
}

/// Puts a fresh process in the place of each one that died.
async fn replace_the_dead(world: Arc<World>) {
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut processes = world.processes.lock();
        for place in processes.iter_mut().filter(|process| process.is_dead()) {
            *place = Process::start(&world.disk, world.clock, &mut world.random.lock(), true);
        }
    }
}

/// Plays a seed; a schedule that does not end within a day of its own time hangs.
pub(super) fn check_seed(seed: u64) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(24 * 60 * 60), play(seed))
            .await
            .unwrap_or_else(|_| Err("it hangs".to_owned()))
    })
}

#[test]
fn nothing_is_lost_in_any_schedule() {
    println!("seeds 0 to {}", SCHEDULES - 1);
    let next = AtomicU64::new(0);
    let failures: Mutex<Vec<String>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SCHEDULES || failures.lock().len() >= 5 {
                        return;
                    }
                    if let Err(what) = check_seed(seed) {
                        eprintln!("seed {seed}: {what}");
                        failures.lock().push(format!("seed {seed}: {what}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
