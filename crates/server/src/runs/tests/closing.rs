//! A process that is about to end: what it works on is finished or left to others, and it keeps nobody waiting.

use loquat_agent::event::{Event, Outcome};

use super::*;
use crate::runs::engine::StartError;
use crate::sessions::memory::MemoryBlobs;

/// Two processes over one store.
fn two(first: Arc<ScriptedModel>, second: Arc<ScriptedModel>) -> [Process; 2] {
    let (store, clock) = (Arc::new(MemoryBlobs::new()) as Arc<dyn BlobStore>, Clock::tokio());
    [first, second].map(|model| Process::on_objects(&store, clock, model))
}

async fn find(process: &Process) -> Result<Option<Arc<Run>>, StartError> {
    let owner = Principal::anonymous();
    process.engine.find_in(owner.owner(), &run_id("r"), Some(&id("s"))).await
}

/// What the client of a process that ended is told last.
fn come_again(told: &str) -> bool {
    told.contains("event: continue")
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_in_time_is_waited_for() {
    let pause = Duration::from_secs(2);
    let [here, _] = two(ScriptedModel::new([paced(says(&["a", "b"]), pause)]), ScriptedModel::new([]));
    let run = here.engine.start(request("s", "r", "hi")).await.unwrap();
    let begin = tokio::time::Instant::now();
    here.engine.wind_down(Duration::from_secs(3_600)).await;
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert_eq!(run.look().terminal(), Some(Event::Finished { outcome: Outcome::Complete }));
    assert_eq!(here.history("s").await, ["user: hi", "assistant: ab"]);
    // Its log can still be read; nothing new is begun.
    assert!(read(&run, true, 0).await.contains("event: done"));
    assert!(find(&here).await.unwrap().unwrap().ended());
    assert!(matches!(here.engine.start(request("s", "r2", "ho")).await, Err(StartError::Draining)));
}

/// A client is told to come again, and comes at once, over the connection it has: the process that just let the run go must not
/// wait with it for another to take the run over, or neither would ever happen.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_paused_here_is_not_waited_for_here() {
    let [here, there] = two(endless("half"), ScriptedModel::new([says(&["whole"])]));
    let run = here.engine.start(request("s", "r", "hi")).await.unwrap();
    let reader = tokio::spawn(async move { read(&run, true, 0).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    here.engine.wind_down(Duration::ZERO).await;
    let told = reader.await.unwrap();
    assert!(come_again(&told), "{told}");
    assert!(matches!(find(&here).await, Err(StartError::Draining)));
    let owner = Principal::anonymous();
    assert!(matches!(here.engine.stop(owner.owner(), &run_id("r")).await, Err(StartError::Draining)));

    let run = find(&there).await.unwrap().unwrap();
    assert!(read(&run, true, 0).await.contains("event: done"));
    assert_eq!(there.history("s").await, ["user: hi", "assistant: whole"]);
}

/// A run of another process goes on; whoever reads it here is told to read on there.
#[tokio::test(start_paused = true)]
async fn the_readers_of_another_process_are_let_go() {
    let [here, there] = two(endless("half"), ScriptedModel::new([]));
    let run = here.engine.start(request("s", "r", "hi")).await.unwrap();
    let followed = find(&there).await.unwrap().unwrap();
    let reader = tokio::spawn(async move { read(&followed, true, 0).await });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!reader.is_finished());
    let begin = tokio::time::Instant::now();
    there.engine.wind_down(Duration::from_secs(3_600)).await;
    let told = reader.await.unwrap();
    assert!(told.contains("half") && come_again(&told), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(matches!(find(&there).await, Err(StartError::Draining)));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!run.ended() && run.readers() == 0);
    assert!(here.engine.stop(Principal::anonymous().owner(), &run_id("r")).await.unwrap().is_some());
}
