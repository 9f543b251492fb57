//! RESULTS.md: tables, plots, and the goals with what was reached.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::plot::{bars, short};
use super::{Figures, Measured};
use crate::systems::System;

/// Writes RESULTS.md and the plots into a folder.
pub(crate) fn results(folder: &Path, measured: &Measured) -> Result<()> {
    let plots = folder.join("plots");
    std::fs::create_dir_all(&plots)?;
    let chart = |file: &str, title: &str, unit: &str, value: &dyn Fn(&Figures) -> f64| {
        let values: Vec<_> = measured
            .systems
            .iter()
            .map(|figures| (figures.system.name().to_owned(), value(figures)))
            .collect();
        let path = plots.join(file);
        std::fs::write(&path, bars(title, unit, &values)).with_context(|| path.display().to_string())
    };
    chart("first-token.svg", "Added to the first token, median", "ms", &|figures| added(measured, figures))?;
    chart("cpu.svg", "CPU for 1 000 tokens, 50 streams of 200 tokens", "CPU-ms", &|figures| {
        cpu_at(figures, 50) * 1000.0
    })?;
    chart("streams.svg", "Most streams at 50 tokens a second", "streams", &most)?;
    chart("start.svg", "From spawn to ready", "ms", &|figures| figures.start.ready_ms)?;
    std::fs::write(folder.join("RESULTS.md"), text(measured)?).context("RESULTS.md")
}

fn text(measured: &Measured) -> Result<String> {
    let mut out = String::from(
        "# Results\n\nWritten by `cargo xtask bench`; what was measured is said in [README.md](README.md).\n",
    );
    if measured.quick {
        out.push_str(
            "\n**This was a quick run: it shows that everything works, its figures mean nothing.**\n",
        );
    }
    machine(&mut out, measured)?;
    goals(&mut out, measured)?;
    starts(&mut out, measured)?;
    latencies(&mut out, measured)?;
    throughputs(&mut out, measured)?;
    streams(&mut out, measured)?;
    long_sessions(&mut out, measured)?;
    sizes(&mut out, measured)?;
    page(&mut out, measured)?;
    function(&mut out, measured)?;
    Ok(out)
}

fn machine(out: &mut String, measured: &Measured) -> Result<()> {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let commit = output("git", &["log", "-1", "--format=%h of %cs"]);
    let (rustc, python) = (output("rustc", &["--version"]), output("python3", &["--version"]));
    writeln!(
        out,
        "\n{cpus} CPUs ({}), shared by the system, the mock model and the load generator. Commit {commit}, {rustc}, {python}.\n\
         It took {:.0} minutes. The load averages below include this run's own load.",
        model.trim_start_matches([':', ' ', '\t']),
        measured.minutes
    )?;
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn of(measured: &Measured, system: System) -> Option<&Figures> {
    measured.systems.iter().find(|figures| figures.system == system)
}

/// Milliseconds that a system adds to the first token, at least a microsecond (below that is noise).
fn added(measured: &Measured, figures: &Figures) -> f64 {
    (figures.latency.first_ms - measured.direct.first_ms).max(0.001)
}

fn added_p99(measured: &Measured, figures: &Figures) -> f64 {
    (figures.latency.first_p99_ms - measured.direct.first_p99_ms).max(0.001)
}

fn cpu_at(figures: &Figures, streams: usize) -> f64 {
    let level = figures.levels.iter().find(|(at, _)| *at == streams);
    level.map_or(0.0, |(_, level)| level.cpu_per_1000)
}

/// A value that should be at most so much.
fn bounded(value: f64, most: f64, unit: &str) -> String {
    let mark = if value <= most { "" } else { "**" };
    format!("{mark}{} {unit}{mark} (≤ {most})", short(value))
}

fn most(figures: &Figures) -> f64 {
    figures.paced.most.map_or(0.0, |trial| trial.streams as f64)
}

/// One line of the table of goals.
struct Goal {
    what: &'static str,
    value: fn(&Measured, &Figures) -> f64,
    /// Loquat divided by the limit: at most, or at least if `more_is_better`.
    limit: Option<f64>,
    document: Option<f64>,
    improved: Option<f64>,
    more_is_better: bool,
}

const GOALS: &[Goal] = &[
    Goal {
        what: "CPU per 1 000 tokens, 200-token answers, 10 streams",
        value: |_, figures| cpu_at(figures, 10),
        limit: Some(1.5),
        document: Some(80.0),
        improved: Some(12.0),
        more_is_better: false,
    },
    Goal {
        what: "the same, 200 streams",
        value: |_, figures| cpu_at(figures, 200),
        limit: Some(1.5),
        document: Some(80.0),
        improved: Some(12.0),
        more_is_better: false,
    },
    Goal {
        what: "CPU of one more token",
        value: |_, figures| figures.split.token_us,
        limit: Some(1.3),
        document: Some(10.0),
        improved: Some(10.0),
        more_is_better: false,
    },
    Goal {
        what: "first token added, median",
        value: added,
        limit: Some(3.0),
        document: Some(80.0),
        improved: Some(8.0),
        more_is_better: false,
    },
    Goal {
        what: "first token added, p99",
        value: added_p99,
        limit: Some(3.0),
        document: Some(80.0),
        improved: Some(8.0),
        more_is_better: false,
    },
    Goal {
        what: "most paced streams",
        value: |_, figures| most(figures),
        limit: Some(0.8),
        document: Some(200.0),
        improved: Some(30.0),
        more_is_better: true,
    },
    Goal {
        what: "spawn to ready",
        value: |_, figures| figures.start.ready_ms,
        limit: None,
        document: Some(100.0),
        improved: Some(100.0),
        more_is_better: false,
    },
    Goal {
        what: "resident memory idle",
        value: |_, figures| figures.start.ready_mib,
        limit: None,
        document: Some(8.0),
        improved: Some(8.0),
        more_is_better: false,
    },
];

fn goals(out: &mut String, measured: &Measured) -> Result<()> {
    let Some(loquat) = of(measured, System::Loquat) else { return Ok(()) };
    out.push_str(
        "\n## Goals\n\nRatios of one run, Loquat without a store (the limits and the peers store nothing either). One limit\n\
         translates ConverseStream as Loquat does, the other copies bytes. **Bold** falls short of its goal, which stands in brackets.\n\n\
         | | Loquat ÷ limit: translate | ÷ limit: copy | document's peer and Loquat | improved peer and Loquat |\n|---|---|---|---|---|\n",
    );
    for goal in GOALS {
        let own = (goal.value)(measured, loquat);
        let cell = |system: System, wanted: Option<f64>| {
            let (Some(other), Some(wanted)) = (of(measured, system), wanted) else { return "–".to_owned() };
            let other = (goal.value)(measured, other);
            let against_limit = !system.is_peer();
            let (ratio, fits) = match (against_limit, goal.more_is_better) {
                (true, false) => (own / other, own / other <= wanted),
                (true, true) => (own / other, own / other >= wanted),
                (false, false) => (other / own, other / own >= wanted),
                // A peer that holds no stream at all is counted as one that holds one.
                (false, true) => (own / other.max(1.0), own / other.max(1.0) >= wanted),
            };
            let sign = if against_limit && !goal.more_is_better { "≤" } else { "≥" };
            let mark = if fits { "" } else { "**" };
            format!("{mark}{} ×{mark} ({sign} {wanted})", short(ratio))
        };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            goal.what,
            cell(System::Translate, goal.limit),
            cell(System::Copy, goal.limit),
            cell(System::Peer, goal.document),
            cell(System::PeerImproved, goal.improved)
        )?;
    }
    let more = |system| of(measured, system).map(|limit| loquat.memory.0 - limit.memory.0);
    if let (Some(translate), Some(copy)) = (more(System::Translate), more(System::Copy)) {
        let cell = |kib| bounded(kib, 16.0, "KiB more");
        writeln!(out, "| memory of a live stream | {} | {} | – | – |", cell(translate), cell(copy))?;
    }
    if let (Some(function), Some(peer)) = (&measured.lambda, measured.sizes.peer_packed) {
        let ratio = peer as f64 / function.package as f64;
        let mark = if ratio >= 4.0 { "" } else { "**" };
        let ratio = format!("{mark}{} ×{mark} (≥ 4)", short(ratio));
        writeln!(out, "| Lambda zip | – | – | {ratio} | {ratio} |")?;
    }
    for (store, turns) in [("SQLite", &measured.sessions.sqlite), ("S3", &measured.sessions.s3)] {
        let turn = |messages| turns.iter().find(|turn| turn.messages == messages).map(|turn| turn.cpu_ms);
        if let (Some(short_one), Some(long_one)) = (turn(100), turn(10_000)) {
            let ratio = bounded(long_one / short_one, 3.0, "×");
            writeln!(out, "| CPU of a turn at 10 000 messages ÷ at 100, {store} | {ratio} | – | – | – |")?;
        }
    }
    out.push_str(
        "\nA peer's figures per token on short answers are mostly its fixed cost of a request; \"one more token\" is\n\
         without it. Why a goal was missed, and what would help, is in [NOTES.md](NOTES.md#where-it-falls-short-and-what-would-help).\n\n![first token](plots/first-token.svg)\n![CPU](plots/cpu.svg)\n![streams](plots/streams.svg)\n\
         ![start](plots/start.svg)\n",
    );
    Ok(())
}

fn starts(out: &mut String, measured: &Measured) -> Result<()> {
    out.push_str(
        "\n## Start and memory\n\n| | load | ready, ms | CPU until ready, ms | first text, ms | resident when ready, MiB | after one answer, MiB |\n|---|---|---|---|---|---|---|\n",
    );
    for figures in &measured.systems {
        let start = figures.start;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            figures.system.name(),
            short(figures.load),
            short(start.ready_ms),
            short(start.ready_cpu_ms),
            short(start.first_text_ms),
            short(start.ready_mib),
            short(start.answered_mib)
        )?;
    }
    Ok(())
}

fn latencies(out: &mut String, measured: &Measured) -> Result<()> {
    writeln!(
        out,
        "\n## Latency on one connection\n\nThe model itself answers the first text in {} ms (p99 {}); pieces sent 10 ms apart arrive {} ms apart (p99 {}).\n\
         \"Added\" is the difference; \"ratio\" is the time to the first text over the model's own.\n\n\
         | | first text, ms | p99 | added, ms | added at p99 | ratio | between tokens, ms | p99 |\n|---|---|---|---|---|---|---|---|",
        short(measured.direct.first_ms),
        short(measured.direct.first_p99_ms),
        short(measured.direct.gap_ms),
        short(measured.direct.gap_p99_ms)
    )?;
    for figures in &measured.systems {
        let latency = figures.latency;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            figures.system.name(),
            short(latency.first_ms),
            short(latency.first_p99_ms),
            short(added(measured, figures)),
            short(added_p99(measured, figures)),
            short(latency.first_ms / measured.direct.first_ms),
            short(latency.gap_ms),
            short(latency.gap_p99_ms)
        )?;
    }
    Ok(())
}

fn throughputs(out: &mut String, measured: &Measured) -> Result<()> {
    out.push_str("\n## CPU and throughput, answers of 200 tokens without pacing\n\nCPU-milliseconds for 1 000 tokens (tokens a second), medians; a number of rounds below 5 stands behind a slash.\n\n| |");
    for streams in super::STREAMS {
        write!(out, " {streams} streams |")?;
    }
    out.push_str(" a request, CPU-µs | one more token, CPU-µs |\n|---|---|---|---|---|---|---|\n");
    for figures in &measured.systems {
        write!(out, "| {} |", figures.system.name())?;
        for (_, level) in &figures.levels {
            let rounds = if level.rounds < 5 { format!(" /{}", level.rounds) } else { String::new() };
            write!(
                out,
                " {} ({}){rounds} |",
                short(level.cpu_per_1000 * 1000.0),
                short(level.tokens_per_second)
            )?;
        }
        writeln!(out, " {} | {} |", short(figures.split.request_us), short(figures.split.token_us))?;
    }
    Ok(())
}

fn streams(out: &mut String, measured: &Measured) -> Result<()> {
    out.push_str(
        "\n## Most streams at 50 tokens a second\n\nThe p99 of the gaps between tokens stays under 100 ms, and 99 of 100 answers begin within a second and take no\n\
         more than 1.1 × as long as from the model itself; the mock and the load generator share the CPUs. Memory is that of a process of its own.\n\n\
         | | most | p99 gap, ms | × as long | CPUs used | KiB a stream (of how many) | tried |\n|---|---|---|---|---|---|---|\n",
    );
    for figures in &measured.systems {
        let tried: Vec<_> = figures.paced.trials.iter().map(|trial| trial.streams.to_string()).collect();
        let tried = tried.join(", ");
        let (kib, of) = figures.memory;
        match figures.paced.most {
            Some(most) => writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} ({of}) | {tried} |",
                figures.system.name(),
                most.streams,
                short(most.gap_p99_ms),
                short(most.slowdown),
                short(most.cpus),
                short(kib)
            )?,
            None => writeln!(out, "| {} | none | – | – | – | – | {tried} |", figures.system.name())?,
        }
    }
    let crowd = measured.crowd;
    writeln!(
        out,
        "\nThe mock itself: {} streams at once of a token a second, the tokens of 99 of 100 less than {} ms late, with {} CPUs.",
        crowd.streams,
        short(crowd.late_p99_ms),
        short(crowd.cpus)
    )?;
    out.push_str("\n### Clients that never read\n\n| | clients × tokens | KiB a client after 2 s | after 8 s |\n|---|---|---|---|\n");
    for figures in &measured.systems {
        if let Some(stalled) = figures.stalled {
            writeln!(
                out,
                "| {} | {} × {} | {} | {} |",
                figures.system.name(),
                stalled.clients,
                stalled.tokens,
                short(stalled.early_kib),
                short(stalled.late_kib)
            )?;
        }
    }
    Ok(())
}

fn long_sessions(out: &mut String, measured: &Measured) -> Result<()> {
    let sessions = &measured.sessions;
    out.push_str(
        "\n## A turn in a long session (20 tokens)\n\nOn the local disk every turn is durable. The object store is one in memory \
         beside it, which answers at once; what the whole session costs to sign and send is in the figure.\n\n\
         | messages | SQLite: turn, ms | CPU, ms | S3: turn, ms | CPU, ms |\n|---|---|---|---|---|\n",
    );
    for (disk, objects) in sessions.sqlite.iter().zip(&sessions.s3) {
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            disk.messages,
            short(disk.turn_ms),
            short(disk.cpu_ms),
            short(objects.turn_ms),
            short(objects.cpu_ms)
        )?;
    }
    writeln!(
        out,
        "\nA slow store: {} streams of 50 tokens a second, each in a session of its own on object storage. The 99th percentile \
         of the gaps between tokens is {} ms where the store answers at once, {} ms where each of its answers takes 50 ms.",
        sessions.streams,
        short(sessions.gap_ms),
        short(sessions.slow_gap_ms)
    )?;
    Ok(())
}

/// The Lambda function: its package and its start.
fn function(out: &mut String, measured: &Measured) -> Result<()> {
    let Some(function) = &measured.lambda else { return Ok(()) };
    let (cold, zip) = (function.cold, super::megabytes(function.package));
    let marked = |value: f64, goal: f64| {
        let mark = if value <= goal { "" } else { "**" };
        format!("{mark}{}{mark} (goal: {goal})", short(value))
    };
    writeln!(
        out,
        "\n## Lambda\n\n`bootstrap` behind the emulator of API Gateway and the Runtime API: from the spawn, without Lambda's own time for an\n\
         instance. **Bold** falls short of its goal.\n\n\
         | | |\n|---|---|\n| zip, MB | {} |\n| CPU until ready, ms | {} |\n| ready, ms | {} |\n| spawn to first text, ms | {} |\n\
         | first text of a running instance, ms | {} |\n| resident when ready, MiB | {} |",
        marked(zip, 12.0),
        marked(cold.ready_cpu_ms, 25.0),
        short(cold.ready_ms),
        short(cold.first_text_ms),
        short(cold.warm_first_text_ms),
        short(cold.ready_mib)
    )?;
    let Some(loquat) = of(measured, System::Loquat) else { return Ok(()) };
    let chat_ms = (loquat.split.request_us + 500.0 * loquat.split.token_us) / 1_000.0;
    out.push_str(
        "\nWhat a chat of 500 tokens takes of a function's processor, from the CPU of a request and of one more token above. A\n\
         function has one processor at 1 769 MB and a part of it in proportion below; at 50 tokens a second the chat lasts\n\
         10 000 ms.\n\n| MB | ms |\n|---|---|\n",
    );
    for megabytes in [128.0, 256.0, 512.0, 1_024.0] {
        writeln!(out, "| {megabytes} | {} |", short(chat_ms * 1_769.0 / megabytes))?;
    }
    Ok(())
}

fn sizes(out: &mut String, measured: &Measured) -> Result<()> {
    let mib = |bytes: u64| short(bytes as f64 / 1024.0 / 1024.0);
    let sizes = measured.sizes;
    writeln!(
        out,
        "\n## Sizes, MiB\n\n| | as it is | packed (gzip -9) |\n|---|---|---|\n| the binary with page and local model's runtime | {} | {} |\n| scripts and styles of the page | – | {} |",
        mib(sizes.binary),
        mib(sizes.binary_packed),
        mib(sizes.page)
    )?;
    if let (Some(peer), Some(packed)) = (sizes.peer, sizes.peer_packed) {
        writeln!(out, "| the peer's Python packages (without Python) | {} | {} |", mib(peer), mib(packed))?;
    }
    Ok(())
}

/// The page, as a browser sees it.
fn page(out: &mut String, measured: &Measured) -> Result<()> {
    let Some(page) = measured.page else { return Ok(()) };
    writeln!(
        out,
        "\n## The page\n\nIn Chromium on the same CPUs, with an empty cache; then an answer of 2 000 tokens, 500 a second, is streamed into it.\n\n\
         | | |\n|---|---|\n| over the wire until it can be used, KiB | {} |\n| first contentful paint, ms | {} |\n\
         | characters streamed into it | {} |\n| tasks of more than 50 ms meanwhile | {} |\n| the longest, ms | {} |",
        short(page.bytes as f64 / 1024.0),
        short(page.first_paint_ms),
        page.characters,
        page.long_tasks,
        short(page.longest_ms)
    )?;
    Ok(())
}
