//! What encoding costs in every dialect: `cargo bench -p loquat-bench --bench encoding`.
//!
//! A text event at the beginning and at the end of a long run, and the bytes that an encoder's output takes. It fails if
//! an event costs more than a microsecond, or more the longer the run is.

// The program's output is its purpose; it may fail by panicking.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use loquat_agent::event::{Event, Usage};
use loquat_server::dialects::{Facts, encoder};
use loquat_server::ids::Id;
use loquat_server::runs::log::{Entry, Log};
use loquat_server::runs::run::{DialectName, Form, RunInfo};

/// Events that are timed in one go.
const ROUND: u64 = 10_000;
/// Rounds before the last one that is compared with the first.
const ROUNDS: u64 = 50;
const LIMIT: Duration = Duration::from_micros(1);

fn main() {
    // `cargo test --benches` builds and starts it as well; there is nothing to test in it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{:<18} {:>10} {:>10} {:>12}", "dialect", "first ns", "last ns", "bytes/event");
    let mut slow = Vec::new();
    for dialect in DialectName::ALL {
        // The best of three tries: what disturbs a measurement only ever adds.
        let (first, last, bytes) = (0..3).map(|_| measure(dialect)).min_by_key(|(_, last, _)| *last).unwrap();
        println!("{dialect:<18?} {:>10} {:>10} {bytes:>12}", first.as_nanos(), last.as_nanos());
        if last > LIMIT || last > first * 2 + Duration::from_nanos(100) {
            slow.push(dialect);
        }
    }
    assert!(slow.is_empty(), "over a microsecond an event, or dearer the longer the run is: {slow:?}");
}

/// An event's time in the first and in the last round, and its bytes.
fn measure(dialect: DialectName) -> (Duration, Duration, usize) {
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
    encoder.encode(2, Entry::Text("First "), &facts, &mut out);
    let mut round = |from: u64| {
        let began = Instant::now();
        let mut bytes = 0;
        for n in from..from + ROUND {
            // A reader takes what is there before it asks for more.
            out.clear();
            encoder.encode(n, black_box(Entry::Text(" token")), &facts, &mut out);
            bytes += out.len();
        }
        (began.elapsed() / u32::try_from(ROUND).unwrap(), bytes / usize::try_from(ROUND).unwrap())
    };
    round(3);
    let (first, _) = round(3 + ROUND);
    for n in 2..ROUNDS {
        round(3 + n * ROUND);
    }
    let (last, bytes) = round(3 + ROUNDS * ROUND);
    (first, last, bytes)
}
