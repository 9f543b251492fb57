//! A message that finds its session busy.

use tokio::sync::{Semaphore, oneshot};

use super::*;
use crate::sessions::memory::MemoryBlobs;
use crate::sessions::watched::{Watched, Watcher};

/// Lets one reading of a session arrive late, with what was true when it was made.
#[derive(Default)]
struct Late(parking_lot::Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>);

impl Late {
    /// Holds the next reading back. The first channel tells that it was made, the second lets it go.
    fn hold_next(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (made, is_made) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        *self.0.lock() = Some((made, may_go));
        (is_made, go)
    }
}

#[async_trait]
impl Watcher for Late {
    async fn answered(&self, what: &'static str, key: &str) {
        let reads = what == "get" && key.starts_with("sessions/");
        let held = reads.then(|| self.0.lock().take()).flatten();
        if let Some((made, may_go)) = held {
            made.send(()).unwrap();
            may_go.await.unwrap();
        }
    }
}

/// The first run ends between the reading of the session and the question whether that run is alive: the second is not
/// begun on what was true before, and the model is called once for it.
#[tokio::test(start_paused = true)]
async fn a_run_that_ends_while_its_session_is_read_is_not_taken_for_dead() {
    let late = Arc::new(Watched::<MemoryBlobs, Late>::default());
    let store: Arc<dyn BlobStore> = Arc::clone(&late) as _;
    let gate = Arc::new(Semaphore::new(0));
    let mut first = says(&["one"]);
    first.insert(0, Step::Gate(Arc::clone(&gate)));
    let model = ScriptedModel::new([first, says(&["two"])]);
    let process = Process::on_objects(&store, Clock::tokio(), Arc::clone(&model) as _);
    let one = process.engine.start(request("s", "r1", "first")).await.unwrap();

    let (read_it, go) = late.watcher.hold_next();
    let engine = Arc::clone(&process.engine);
    let queued = StartRequest { on_busy: OnBusy::Queue, ..request("s", "r2", "second") };
    let two = tokio::spawn(async move { engine.start(queued).await });
    read_it.await.unwrap();
    gate.add_permits(1);
    one.finished().await;
    // Its task is over, too: its log has no writer any more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    go.send(()).unwrap();

    let two = two.await.unwrap().unwrap();
    two.finished().await;
    assert_eq!(model.requests().len(), 2);
    assert_eq!(
        process.history("s").await,
        ["user: first", "assistant: one", "user: second", "assistant: two"]
    );
}
