//! What a text event costs in memory does not grow with the run: the same allocations for an event of the second thousand
//! as for one of the fiftieth, in every dialect, and nothing kept of it beside the log.

use allocation_counter::{AllocationInfo, measure};
use loquat_agent::event::{Event, Usage};
use loquat_server::dialects::{Facts, encoder};
use loquat_server::ids::Id;
use loquat_server::runs::log::{Entry, Log, Pace};
use loquat_server::runs::run::{DialectName, Form, RunInfo};

/// Events that are counted in one go.
const ROUND: u64 = 1_000;
/// The rounds between the first that is counted and the last.
const BETWEEN: u64 = 50;

fn started() -> Event {
    Event::Started { model: "test/model".into() }
}

/// What encoding a round of text events allocates, early and late in one run.
fn early_and_late(form: &Form) -> (AllocationInfo, AllocationInfo) {
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
    let mut encoder = encoder(form);
    // As large as it becomes: what is counted is the encoder's own.
    let mut out = Vec::with_capacity(65_536);
    encoder.encode(1, Entry::Other(&started()), &facts, &mut out);
    let mut n = 1;
    let mut round = || {
        measure(|| {
            for _ in 0..ROUND {
                n += 1;
                out.clear();
                encoder.encode(n, Entry::Text(" token"), &facts, &mut out);
            }
        })
    };
    // The first piece of a text opens it.
    round();
    let early = round();
    for _ in 0..BETWEEN {
        round();
    }
    (early, round())
}

#[test]
fn a_text_event_takes_as_much_memory_late_in_a_run_as_early() {
    for dialect in DialectName::ALL {
        for all in [false, true] {
            let form = Form { all, ..Form::of(dialect) };
            let (early, late) = early_and_late(&form);
            assert_eq!(late.count_total, early.count_total, "allocations of {form:?}");
            assert_eq!((early.count_current, late.count_current), (0, 0), "{form:?} keeps something of each");
            // A cursor with more digits is a longer text; nothing else may be.
            assert!(late.bytes_total <= early.bytes_total + 8 * ROUND, "{form:?}: {early:?}, {late:?}");
            assert!(late.bytes_max <= early.bytes_max + 8, "{form:?}: {early:?}, {late:?}");
        }
    }
}

#[test]
fn the_log_keeps_a_text_event_in_a_few_bytes_and_reads_it_for_nothing() {
    let mut log = Log::default();
    log.push(started());
    let kept = measure(|| {
        for _ in 0..BETWEEN * ROUND {
            log.push(Event::Text { text: " token".into() });
        }
    });
    // Six bytes of text and four for where it ends, in vectors that double.
    assert!(kept.bytes_current < i64::try_from(24 * BETWEEN * ROUND).unwrap(), "{kept:?}");
    assert!(kept.count_current < 8, "{kept:?}");
    for after in [10, (BETWEEN - 1) * ROUND] {
        let mut left = ROUND;
        let read = measure(|| {
            log.read(after, Pace::EachPiece, |_, _| {
                left -= 1;
                left > 0
            });
        });
        assert_eq!((left, read.count_total), (0, 0), "read after {after}: {read:?}");
    }
}

/// What the tests above rest on.
#[test]
fn an_allocation_that_grows_is_seen() {
    let mut all = String::new();
    let mut round = || {
        measure(|| {
            for _ in 0..ROUND {
                all.push_str(" token");
                std::hint::black_box(all.clone());
            }
        })
    };
    let (early, late) = (round(), round());
    assert!(late.bytes_total > early.bytes_total + 8 * ROUND, "{early:?}, {late:?}");
    assert!(late.count_total >= ROUND, "{late:?}");
}
