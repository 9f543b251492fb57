//! Runs of other processes that share the store: found, followed, stopped, waited for, not confused with one's own.

use loquat_agent::event::{Event, Outcome};

use super::*;
use crate::runs::engine::StartError;
use crate::runs::journal::NoJournals;
use crate::sessions::memory::MemoryBlobs;

fn store() -> Arc<dyn BlobStore> {
    Arc::new(MemoryBlobs::new())
}

/// Begun a moment ago, a run has no log yet: who knows its session finds it at once, who does not waits for the log.
#[tokio::test(start_paused = true)]
async fn a_run_is_found_before_its_first_segment() {
    let (store, clock, owner) = (store(), Clock::tokio(), Principal::anonymous());
    let here = Process::on_objects(&store, clock, endless("Hello"));
    let there = Process::on_objects(&store, clock, ScriptedModel::new([]));
    let run = here.engine.start(request("s", "r", "hi")).await.unwrap();
    assert!(store.list("runs/", None, 9).await.unwrap().is_empty());
    let begin = tokio::time::Instant::now();
    let found = there.engine.find(owner.owner(), &run_id("r")).await.unwrap().unwrap();
    assert_eq!(found.info, run.info);
    assert!(begin.elapsed() >= Duration::from_secs(1) && begin.elapsed() < Duration::from_secs(3));

    let third = Process::on_objects(&store, clock, ScriptedModel::new([]));
    here.engine.stop(owner.owner(), &run_id("r")).await.unwrap();
    let run = here.engine.start(request("s", "r2", "hi")).await.unwrap();
    let begin = tokio::time::Instant::now();
    let found = third.engine.find_in(owner.owner(), &run_id("r2"), Some(&id("s"))).await.unwrap().unwrap();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(found.info.form, run.info.form);
    // And what nobody began is nowhere.
    assert!(third.engine.find(owner.owner(), &run_id("no")).await.unwrap().is_none());
}

/// Stopped from another process: the model is stopped, the text is kept, the receipt says so.
#[tokio::test(start_paused = true)]
async fn stop_reaches_the_process_that_runs_it() {
    for with_session in [true, false] {
        let (store, clock, owner) = (store(), Clock::tokio(), Principal::anonymous());
        let here = Process::on_objects(&store, clock, endless("Hello"));
        let there = Process::on_objects(&store, clock, ScriptedModel::new([]));
        let run = here.engine.start(request("s", "r", "hi")).await.unwrap();
        let session = with_session.then(|| id("s"));
        let followed =
            there.engine.find_in(owner.owner(), &run_id("r"), session.as_ref()).await.unwrap().unwrap();
        assert_eq!((there.engine.live(), here.engine.live()), (0, 1));
        assert!(!followed.ended());
        let stopped =
            there.engine.stop_in(owner.owner(), &run_id("r"), session.as_ref()).await.unwrap().unwrap();
        assert_eq!((stopped.outcome.as_str(), stopped.already_finished), ("cancelled", false));
        assert_eq!((stopped.text_kept, stopped.message_count), (5, Some(2)));
        assert!(run.ended());
        assert_eq!(there.history("s").await, ["user: hi", "assistant: Hello"]);
        assert!(store.list("stops/", None, 9).await.unwrap().is_empty());
    }
}

/// Where a run ends with its last reader, that holds for a reader at another process, too.
#[tokio::test(start_paused = true)]
async fn the_last_reader_of_another_process_ends_a_run() {
    let (store, clock, owner) = (store(), Clock::tokio(), Principal::anonymous());
    let here = Process::on_objects(&store, clock, endless("Hello"));
    let there = Process::on_objects(&store, clock, ScriptedModel::new([]));
    let run = here.engine.start(request("s", "r", "hi")).await.unwrap();
    let followed = there.engine.find(owner.owner(), &run_id("r")).await.unwrap().unwrap();
    let readers = [(); 2].map(|()| {
        Reader::new(Arc::clone(&followed), encoder(&Form::default()), 0, OnDisconnect::Cancel).into_stream()
    });
    let [one, mut other] = readers.map(Box::pin);
    drop(one);
    assert!(other.next().await.is_some());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!run.ended());
    drop(other);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(run.look().terminal(), Some(Event::Finished { outcome: Outcome::Cancelled }));
}

/// The same request to two processes at once: one model call, one message, the same answer.
#[tokio::test(start_paused = true)]
async fn the_same_run_asked_of_two_processes_is_one() {
    let (store, clock) = (store(), Clock::tokio());
    let pause = Duration::from_millis(700);
    let models = [(); 2].map(|()| ScriptedModel::new([paced(says(&["once ", "only"]), pause)]));
    let processes = models.clone().map(|model| Process::on_objects(&store, clock, model));
    let (a, b) = tokio::join!(
        processes[0].engine.start(request("s", "r", "hi")),
        processes[1].engine.start(request("s", "r", "hi"))
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    let (seen_a, seen_b) = tokio::join!(read(&a, true, 0), read(&b, true, 0));
    assert_eq!(seen_a, seen_b);
    assert!(seen_a.contains("once "), "{seen_a}");
    assert_eq!(processes[0].history("s").await, ["user: hi", "assistant: once only"]);
    // The slower one may have begun to ask its model while it tried; it never showed or kept anything of it.
    assert!(a.driven() != b.driven());
}

/// One id in two sessions of two processes: the second run finds out, ends, and harms nobody.
#[tokio::test(start_paused = true)]
async fn an_id_used_in_another_session_is_refused() {
    let (store, clock) = (store(), Clock::tokio());
    let pause = Duration::from_secs(2);
    let here = Process::on_objects(&store, clock, ScriptedModel::new([paced(says(&["a", "b"]), pause)]));
    let there = Process::on_objects(&store, clock, ScriptedModel::new([paced(says(&["c", "d"]), pause)]));
    let first = here.engine.start(request("one", "r", "hi")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = there.engine.start(request("two", "r", "ho")).await.unwrap();
    first.finished().await;
    second.finished().await;
    assert_eq!(first.look().terminal(), Some(Event::Finished { outcome: Outcome::Complete }));
    let failed = second.look().terminal();
    assert!(matches!(&failed, Some(Event::Failed { code, .. }) if code == "run_conflict"), "{failed:?}");
    assert_eq!(here.history("one").await, ["user: hi", "assistant: ab"]);
    assert_eq!(there.history("two").await[0], "user: ho");
    // Known from the start, it is refused at once.
    let again = here.engine.start(request("two", "r", "ho")).await;
    assert!(matches!(again, Err(StartError::RunConflict)));
}

/// Where there are no logs, a run that the process has forgotten is still not run again.
#[tokio::test(start_paused = true)]
async fn a_forgotten_run_is_told_from_its_session() {
    let (store, clock) = (store(), Clock::tokio());
    let process = |scripts: Vec<Vec<Step>>| {
        Process::start(
            &store,
            Arc::new(NoJournals::default()),
            clock,
            ScriptedModel::new(scripts),
            Vec::new(),
        )
    };
    let run = process(vec![says(&["an", "swer"])]).engine.start(request("s", "r", "hi")).await.unwrap();
    run.finished().await;
    let later = process(Vec::new());
    let again = later.engine.start(request("s", "r", "hi")).await.unwrap();
    let told = read(&again, true, 0).await;
    assert!(told.contains("{\"text\":\"answer\"}") && told.contains("\"outcome\":\"complete\""), "{told}");
    assert_eq!(later.history("s").await, ["user: hi", "assistant: answer"]);
}
