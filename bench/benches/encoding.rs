//! What encoding costs in every dialect, by Criterion: `cargo bench -p loquat-bench --bench encoding`.
//!
//! A text event at the beginning and at the end of a long run. It fails if an event costs more than a microsecond, or more
//! the longer the run is.

// The program's output is its purpose; it may fail by panicking.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use loquat_agent::event::{Event, Usage};
use loquat_server::dialects::{Facts, encoder};
use loquat_server::ids::Id;
use loquat_server::runs::log::{Entry, Log};
use loquat_server::runs::run::{DialectName, Form, RunInfo};

/// Where in a run an event is timed: after so many others.
const PLACES: [u64; 2] = [10, 500_000];
const LIMIT_NS: f64 = 1_000.0;

fn main() {
    // `cargo test --benches` builds and starts it as well; there is nothing to test in it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let mut slow = Vec::new();
    for dialect in DialectName::ALL {
        let best = PLACES.map(|events| measure(&mut criterion, dialect, events));
        // A filter may have left one out.
        let [Some(early), Some(late)] = best else { continue };
        println!("{dialect:?}: {early:.0} ns early, {late:.0} ns late");
        if late > LIMIT_NS || late > early * 2.0 + 100.0 {
            slow.push(dialect);
        }
    }
    criterion.final_summary();
    assert!(slow.is_empty(), "over a microsecond an event, or dearer the longer the run is: {slow:?}");
}

/// Times a text event after `events` others; gives the nanoseconds of the best sample, since what disturbs a measurement
/// only ever adds.
fn measure(criterion: &mut Criterion, dialect: DialectName, events: u64) -> Option<f64> {
    let form = Form::of(dialect);
    let info = RunInfo::new(Id::new(), Id::new(), jiff::Timestamp::UNIX_EPOCH);
    let info = RunInfo { form: form.clone(), ..info };
    let log = Log::default();
    let facts = Facts {
        info: &info,
        usage: Usage::default(),
        cost_usd: None,
        message_count: None,
        log: &log,
        before: Some(&[]),
    };
    let mut encoder = encoder(&form);
    let mut out = Vec::new();
    encoder.encode(1, Entry::Other(&Event::Started { model: "bench/model".into() }), &facts, &mut out);
    let mut n = 1;
    let mut one = || {
        n += 1;
        // A reader takes what is there before it asks for more.
        out.clear();
        encoder.encode(n, black_box(Entry::Text(" token")), &facts, &mut out);
        black_box(out.len());
    };
    (0..events).for_each(|_| one());
    let mut best: Option<f64> = None;
    let mut group = criterion.benchmark_group("text event");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new(format!("{dialect:?}"), format!("after {events}")), |bencher| {
        bencher.iter_custom(|rounds| {
            let began = Instant::now();
            (0..rounds).for_each(|_| one());
            let took = began.elapsed();
            let each = took.as_secs_f64() * 1e9 / rounds as f64;
            best = Some(best.map_or(each, |best| best.min(each)));
            took
        });
    });
    group.finish();
    best
}
