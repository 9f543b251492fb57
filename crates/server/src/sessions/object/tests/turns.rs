//! Whole turns on the emulator, with a fault at every request of a turn.

use std::sync::Arc;
use std::time::Duration;

use loquat_agent::event::{Event, Outcome};
use loquat_agent::scripted::{ScriptedModel, Step, says};

use super::super::emulator::{Emulator, Fault, FaultyProxy};
use super::{INTERNAL, SLOW_DOWN, store};
use crate::auth::Principal;
use crate::clock::{Clock, later};
use crate::ids::RunId;
use crate::runs::engine::StartError;
use crate::runs::journal::{Ending, JournalError, Journals};
use crate::runs::run::RunInfo;
use crate::runs::segments::SegmentJournals;
use crate::runs::tests::{Process, id, read, request};
use crate::sessions::blob::BlobStore;
use crate::sessions::repair;
use crate::sessions::service::SessionError;

/// The requests of a turn: read, hold, commit, log, and the list beside it.
const REQUESTS: usize = 5;

/// Each fault at each request: the client is told the truth, and what it was told is there.
pub(super) async fn survive_every_fault(emulator: &Emulator, proxy: &FaultyProxy) {
    let faults = [
        SLOW_DOWN,
        INTERNAL,
        Fault::LoseAnswer,
        Fault::Refuse,
        // Another conditional request won, as far as the answer says.
        Fault::Answer(412, "PreconditionFailed"),
        Fault::Delay(Duration::from_secs(2)),
    ];
    let turns = faults.iter().enumerate().flat_map(|(kind, fault)| {
        (0..REQUESTS).map(move |at| survive(emulator, proxy, fault.clone(), format!("fault-{kind}-{at}"), at))
    });
    for turn in turns {
        turn.await;
    }
    proxy.next([]);
}

async fn survive(emulator: &Emulator, proxy: &FaultyProxy, fault: Fault, name: String, at: usize) {
    let faulty: Arc<dyn BlobStore> = Arc::new(store(proxy.endpoint(), "s3://sessions/turns"));
    let model = ScriptedModel::new([says(&["one ", "two"]), says(&["one ", "two"]), says(&["one ", "two"])]);
    let process = Process::on_objects(&faulty, Clock::System, model);
    proxy.next(std::iter::repeat_n(Fault::None, at).chain([fault.clone()]));
    let what = format!("{fault:?} at request {at}");
    let mut told = None;
    for attempt in 0..3 {
        match process.engine.start(request(&name, &name, "hi")).await {
            Ok(run) => {
                run.finished().await;
                told = run.look().terminal();
                break;
            }
            // Nothing has begun, and the client is told that it may try again.
            Err(
                StartError::Session(SessionError::Store(error))
                | StartError::Journal(JournalError::Store(error)),
            ) => {
                assert!(matches!(error, crate::sessions::blob::BlobError::Unavailable(_)), "{what}: {error}");
                assert!(attempt < 2, "{what}: it never begins: {error}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    // Whoever looks from elsewhere finds it as it was told, once.
    proxy.next([]);
    let direct: Arc<dyn BlobStore> = Arc::new(store(emulator.endpoint(), "s3://sessions/turns"));
    let elsewhere = Process::on_objects(&direct, Clock::System, ScriptedModel::new(Vec::<Vec<Step>>::new()));
    let history = elsewhere.history(&name).await;
    match told {
        Some(Event::Finished { outcome: Outcome::Complete }) => {
            assert_eq!(history, ["user: hi", "assistant: one two"], "{what}");
            let run = RunId::parse(&name).unwrap();
            let owner = Principal::anonymous();
            let again =
                elsewhere.engine.find_in(owner.owner(), &run, Some(&id(&name))).await.unwrap().unwrap();
            let replayed = read(&again, true, 0).await;
            assert!(replayed.contains("\"outcome\":\"complete\""), "{what}: {replayed}");
        }
        Some(Event::Failed { retryable: true, .. }) => assert_eq!(history[0], "user: hi", "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    // No request of this turn may meet the next fault.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The log of a run on a store whose conditional writes are the real ones: of two runs of one id one finds out, and a
/// writer that was given up cannot write on.
pub(super) async fn keep_one_log(emulator: &Emulator) {
    let blobs: Arc<dyn BlobStore> = Arc::new(store(emulator.endpoint(), "s3://sessions/logs"));
    let journals = || {
        SegmentJournals::new(
            Arc::clone(&blobs),
            Clock::System,
            Duration::from_secs(20),
            Duration::from_secs(5),
        )
    };
    let owner = Principal::anonymous();
    let owner = owner.owner();
    let info =
        |run: &str, session: &str| RunInfo::new(RunId::parse(run).unwrap(), id(session), Clock::System.now());
    let text = |text: &str| Event::Text { text: text.into() };
    let intent = |id: &str| Event::ToolCall {
        id: id.into(),
        name: "t".into(),
        input: serde_json::json!({}),
        effects: true,
    };

    let (mine, other) = (info("same", "one"), info("same", "two"));
    let (here, there) = (journals(), journals());
    let mut first = here.create(owner, &mine).await.unwrap();
    let mut second = there.create(owner, &other).await.unwrap();
    first.begin();
    second.begin();
    first.append(1, 0, &[text("a"), intent("1")]).await.unwrap();
    let refused = second.append(1, 0, &[text("b"), intent("2")]).await;
    assert!(matches!(refused, Err(JournalError::Exists)), "{refused:?}");
    let stored = there.read(owner, &mine.id).await.unwrap().unwrap();
    assert_eq!((stored.info.as_ref(), stored.events.len()), (Some(&mine), 2));

    // Given up by the other process, as if this one had been frozen: it finds out, and there is one end.
    let ending = Ending { missing: vec![text("c")], terminal: repair::lost(), message_count: Some(2) };
    for _ in 0..2 {
        there.seal(owner, &mine, &stored, &ending).await.unwrap();
    }
    let late = first.append(3, 9, &[intent("3")]).await;
    assert!(matches!(late, Err(JournalError::Store(_))), "{late:?}");
    assert!(first.finish(3, 9, &Event::Finished { outcome: Outcome::Complete }, None).await.is_err());
    let whole = journals().read(owner, &mine.id).await.unwrap().unwrap();
    assert_eq!(whole.events, [text("a"), intent("1"), text("c"), repair::lost()]);
    assert_eq!((whole.sealed_after, whole.message_count), (Some(2), Some(2)));
    assert!(
        whole.lease_until.is_none_or(|until| until < later(Clock::System.now(), Duration::from_secs(60)))
    );
    // Deleted, nothing is left.
    there.delete(owner, &mine.id).await.unwrap();
    assert!(there.read(owner, &mine.id).await.unwrap().is_none());
}
