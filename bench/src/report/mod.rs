//! `loquat-bench report`: measures every system side by side in one run and writes RESULTS.md with its plots.

mod plot;
mod sizes;
mod write;

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::measure::{Effort, crowd, lambda, latency, paced, page, sessions, stalled, start, throughput};
use crate::process::load;
use crate::systems::{Places, System};

/// Arguments of `loquat-bench report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The `loquat` binary (release).
    #[arg(long)]
    loquat: PathBuf,
    /// The `bootstrap` binary as it goes to Lambda (release, without the embedded model); without it Lambda is left out.
    #[arg(long)]
    bootstrap: Option<PathBuf>,
    /// The interpreter with bench/peer/requirements.txt installed; without it the peers are left out.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The script that looks at the page in a browser (`web/measure.mjs`); without it that is left out.
    #[arg(long)]
    page: Option<PathBuf>,
    /// The folder `bench`, which gets RESULTS.md and the plots.
    #[arg(long)]
    out: PathBuf,
    /// Short rounds: to see that everything works, not for figures.
    #[arg(long)]
    quick: bool,
}

/// Levels of the throughput measurement.
const STREAMS: [usize; 4] = [1, 10, 50, 200];

/// Everything measured of one system.
#[derive(Debug)]
pub(crate) struct Figures {
    system: System,
    /// The machine's load average when its measurements began (this run's own load included).
    load: f64,
    start: start::Start,
    latency: latency::Latency,
    levels: Vec<(usize, throughput::Throughput)>,
    split: throughput::Split,
    paced: paced::Paced,
    /// Memory of a live stream in KiB, and of how many it was measured.
    memory: (f64, usize),
    stalled: Option<stalled::Stalled>,
}

/// Everything measured.
#[derive(Debug)]
pub(crate) struct Measured {
    quick: bool,
    direct: latency::Latency,
    crowd: crowd::Crowd,
    systems: Vec<Figures>,
    sessions: sessions::Sessions,
    sizes: sizes::Sizes,
    page: Option<page::Page>,
    lambda: Option<Lambda>,
    minutes: f64,
}

/// What is measured of the Lambda function.
#[derive(Debug)]
pub(crate) struct Lambda {
    cold: lambda::ColdStart,
    /// The package's size in bytes.
    package: u64,
}

/// Measures and writes.
#[allow(clippy::print_stdout)]
pub async fn run(args: Args) -> Result<()> {
    let began = std::time::Instant::now();
    let scratch = std::env::temp_dir().join(format!("loquat-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    // Each is started in a folder of its own.
    let absolute = |path: PathBuf| std::path::absolute(path).context("the current folder");
    let places = Places {
        loquat: absolute(args.loquat)?,
        python: args.python.map(absolute).transpose()?,
        bench: absolute(args.out)?,
        scratch,
    };
    let effort =
        if args.quick { Effort { rounds: 1, seconds: 0.3 } } else { Effort { rounds: 5, seconds: 1.2 } };
    let mock = System::Direct.start(&places, ([127, 0, 0, 1], 0).into()).await?;
    let direct = System::Direct.target(mock.addr);
    println!("the model itself");
    let baseline = latency::measure(direct, direct, effort).await?;
    // Where fewer files may be open, as many as may.
    let files = usize::try_from(rlimit::Resource::NOFILE.get()?.0)?.saturating_sub(500);
    let crowd = crowd::measure(&mock, direct, files.min(if args.quick { 100 } else { 10_000 })).await?;
    // First what is short: a fault shows before the long part.
    println!("sessions");
    let lengths: &[usize] = if args.quick { &[10, 100] } else { &[10, 100, 1000, 10_000] };
    let sessions = sessions::measure(&places, mock.addr, lengths).await?;
    let sizes = sizes::measure(&places)?;
    let mut in_browser = None;
    if let Some(script) = &args.page {
        println!("the page");
        in_browser = Some(page::measure(&places, mock.addr, script).await.context("the page")?);
    }
    let mut function = None;
    if let Some(bootstrap) = &args.bootstrap {
        println!("Lambda");
        let cold = lambda::cold_start(bootstrap, mock.addr, effort).await.context("Lambda")?;
        let package = lambda::package(&places, bootstrap)?;
        println!(
            "  zip {:.1} MB; cold start: {:.1} ms to ready ({:.1} ms of CPU), {:.1} ms to the first text",
            megabytes(package),
            cold.ready_ms,
            cold.ready_cpu_ms,
            cold.first_text_ms
        );
        function = Some(Lambda { cold, package });
    }
    let mut systems = Vec::new();
    for system in System::ALL {
        if system.is_peer() && places.python.is_none() {
            continue;
        }
        println!("{} (after {:.1} minutes)", system.name(), began.elapsed().as_secs_f64() / 60.0);
        let figures = measure(&places, mock.addr, system, effort, args.quick).await;
        systems.push(figures.with_context(|| system.name().to_owned())?);
    }
    let measured = Measured {
        quick: args.quick,
        direct: baseline,
        crowd,
        systems,
        sessions,
        sizes,
        page: in_browser,
        lambda: function,
        minutes: began.elapsed().as_secs_f64() / 60.0,
    };
    drop(mock);
    std::fs::remove_dir_all(&places.scratch)?;
    write::results(&places.bench, &measured)?;
    println!("{}", places.bench.join("RESULTS.md").display());
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "a size for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

async fn measure(
    places: &Places,
    mock: std::net::SocketAddr,
    system: System,
    effort: Effort,
    quick: bool,
) -> Result<Figures> {
    let direct = System::Direct.target(mock);
    let load = load();
    let start = start::measure(places, mock, system, effort).await.context("start")?;
    let running = system.start(places, mock).await?;
    let target = system.target(running.addr);
    let latency = latency::measure(target, direct, effort).await.context("latency")?;
    let split = throughput::split(&running, target, direct, effort).await.context("split")?;
    let mut levels = Vec::new();
    for streams in STREAMS {
        let level = throughput::measure(&running, target, direct, streams, 200, effort).await;
        levels.push((streams, level.with_context(|| format!("{streams} streams"))?));
    }
    let (first, ceiling) = match (quick, system.is_peer()) {
        (true, _) => (2, 2),
        (false, true) => (1, 256),
        (false, false) => (128, 4096),
    };
    // A process of its own: what earlier loads left in memory is not a stream's.
    drop(running);
    let running = system.start(places, mock).await?;
    let target = system.target(running.addr);
    let paced = paced::most(&running, target, direct, first, ceiling).await;
    drop(running);
    // So many streams that the one-time costs of the first do not count, and no more than it can carry.
    let streams = paced.most.map_or(1, |most| most.streams.min(512));
    let running = system.start(places, mock).await?;
    let target = system.target(running.addr);
    let memory = (paced::memory(&running, target, direct, streams).await.context("memory")?, streams);
    drop(running);
    let stalled = match system {
        System::Loquat | System::LoquatSqlite => Some(stalled::measure(places, mock, system).await?),
        _ => None,
    };
    Ok(Figures { system, load, start, latency, levels, split, paced, memory, stalled })
}
