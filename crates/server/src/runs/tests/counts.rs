//! What a turn costs on object storage: requests, counted.

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;
use crate::sessions::blob::{Condition, Durability};
use crate::sessions::memory::MemoryBlobs;
use crate::sessions::watched::{Watched, Watcher};

/// What was asked of the store.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    what: &'static str,
    key: String,
    at: Instant,
}

/// A store in memory each of whose requests is noted, and takes a while.
type Counting = Watched<MemoryBlobs, Notes>;

#[derive(Default)]
struct Notes(Mutex<Vec<Asked>>);

impl Counting {
    /// The requests since the last call.
    fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.watcher.0.lock())
    }
}

#[async_trait]
impl Watcher for Notes {
    async fn asks(&self, what: &'static str, key: &str) {
        self.0.lock().push(Asked { what, key: key.to_owned(), at: Instant::now() });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A store whose owner has had a session before: a first list is made from all sessions.
async fn store() -> Arc<Counting> {
    let store = Arc::new(Counting::default());
    let empty = Bytes::from_static(b"{\"sessions\":[]}");
    store.store.put("index.json", empty, Condition::Create, Durability::Full).await.unwrap();
    store
}

fn of<'a>(asked: &'a [Asked], what: &'a str, folder: &'a str) -> Vec<&'a Asked> {
    asked.iter().filter(|a| a.what == what && a.key.starts_with(folder)).collect()
}

/// Without the looks for requests to stop, which go on beside a turn once a second.
fn of_turn(asked: Vec<Asked>) -> Vec<Asked> {
    asked.into_iter().filter(|a| !a.key.starts_with("stops/")).collect()
}

fn process(store: &Arc<Counting>, scripts: Vec<Vec<Step>>, tools: Vec<Arc<dyn Tool>>) -> Process {
    let clock = Clock::tokio();
    let blobs: Arc<dyn BlobStore> = Arc::clone(store) as _;
    let times = Times::default();
    let journals = SegmentJournals::new(Arc::clone(&blobs), clock, times.lease, times.patience);
    Process::start(&blobs, Arc::new(journals), clock, ScriptedModel::new(scripts), tools)
}

/// A short turn: one read and two writes of the session, its log in one object, and the list beside it.
#[tokio::test(start_paused = true)]
async fn a_short_turn_reads_once_and_writes_twice() {
    let store = store().await;
    let process = process(&store, vec![says(&["a", "b"]), says(&["c", "d"])], Vec::new());
    for (turn, session_is_new) in [(1, true), (2, false)] {
        let run = process.engine.start(request("s", &format!("r{turn}"), "hi")).await.unwrap();
        run.finished().await;
        let asked = of_turn(store.take());
        let way: Vec<_> = asked.iter().map(|a| (a.what, a.key.split('/').next().unwrap())).collect();
        let expected = [("get", "sessions"), ("put", "sessions"), ("put", "sessions"), ("put", "runs")];
        let way: Vec<_> = way.into_iter().filter(|(_, folder)| !folder.starts_with("index")).collect();
        assert_eq!(way, expected, "new: {session_is_new}");
        // The list follows on its own, once.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let listed: Vec<_> = asked.into_iter().chain(store.take()).collect();
        assert_eq!(of(&listed, "put", "index").len(), 1, "new: {session_is_new}: {listed:?}");
    }
}

/// Not even the time tells what is somebody else's from what nobody has: the store is asked the same, just as often.
#[tokio::test(start_paused = true)]
async fn what_is_foreign_takes_as_long_as_what_is_unknown() {
    let store = store().await;
    let process = process(&store, vec![says(&["a"])], Vec::new());
    let (ann, bob) = (Principal::user("ann"), Principal::user("bob"));
    let anns = StartRequest { principal: ann.clone(), ..request("hers", "herrun", "hi") };
    process.engine.start(anns).await.unwrap().finished().await;
    let look = async |who: &Principal, session: &str, run: &str| {
        tokio::time::sleep(Duration::from_secs(120)).await;
        store.take();
        let (run, began) = (RunId::parse(run).unwrap(), Instant::now());
        let key = SessionKey { owner: who.owner().clone(), id: id(session) };
        let found = [
            process.engine.find(&key.owner, &run).await.unwrap().is_some(),
            process.engine.find_in(&key.owner, &run, Some(&key.id)).await.unwrap().is_some(),
            process.engine.stop(&key.owner, &run).await.unwrap().is_some(),
            process.sessions.view(&key).await.is_ok(),
            process.sessions.rename(&key, "mine").await.is_ok(),
            process.sessions.delete(&key).await.is_ok(),
        ];
        // Folder and owner of each; what follows is an id, and differs.
        let folder = |key: &str| key.split('/').take(2).collect::<Vec<_>>().join("/");
        let asked = store.take().into_iter().map(|asked| (asked.what, folder(&asked.key), asked.at - began));
        (found, asked.collect::<Vec<_>>(), began.elapsed())
    };
    let foreign = look(&bob, "hers", "herrun").await;
    assert_eq!(foreign, look(&bob, "nobodys", "norun").await);
    assert_eq!(foreign.0, [false; 6]);
    assert!(foreign.1.iter().any(|(_, folder, _)| folder == "sessions/bob"), "{:?}", foreign.1);
    // What is hers is there all the while.
    assert_eq!(look(&ann, "hers", "herrun").await.0, [true; 6]);
}

/// A turn of ten minutes: the first segment after a second, then ever fewer, twelve objects at most.
#[tokio::test(start_paused = true)]
async fn a_long_turn_writes_ever_larger_segments() {
    let store = store().await;
    let script = paced(says(&["word "; 450]), Duration::from_secs(2));
    let process = process(&store, vec![script], Vec::new());
    let began = Instant::now();
    let run = process.engine.start(request("s", "r", "hi")).await.unwrap();
    run.finished().await;
    assert!(began.elapsed() > Duration::from_secs(900));
    let asked = of_turn(store.take());
    assert_eq!((of(&asked, "get", "sessions").len(), of(&asked, "put", "sessions").len()), (1, 2));
    let segments = of(&asked, "put", "runs");
    assert!((8..=12).contains(&segments.len()), "{segments:?}");
    let first = segments[0].at - began;
    assert!((Duration::from_secs(1)..Duration::from_millis(1_200)).contains(&first), "{first:?}");
    let pauses: Vec<_> = segments.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).collect();
    assert_eq!(pauses[..8], [2, 4, 8, 16, 32, 64, 128, 240], "{pauses:?}");
    assert!(of(&asked, "list", "").is_empty() && of(&asked, "delete", "").is_empty(), "{asked:?}");
}

/// Looks into the store when it runs: is its own call there?
struct Effect {
    spec: ToolSpec,
    store: Arc<Counting>,
}

#[async_trait]
impl Tool for Effect {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }
    async fn call(&self, _: Value, cx: ToolContext) -> ToolOutput {
        let mut log = String::new();
        for listed in self.store.store.list("runs/", None, 99).await.unwrap() {
            let blob = self.store.store.get(&listed.key).await.unwrap().unwrap();
            log.push_str(std::str::from_utf8(&blob.bytes).unwrap());
        }
        let intent = format!("\"type\":\"tool_call\",\"id\":\"{}\"", cx.call_id);
        ToolOutput::text(format!("known: {}", log.contains(&intent)))
    }
}

/// The intent of a tool with effects is stored before it runs; one without costs nothing.
#[tokio::test(start_paused = true)]
async fn a_tool_with_effects_waits_for_its_intent() {
    for (has_effects, segments) in [(true, 2), (false, 1)] {
        let store = store().await;
        let mut spec = ToolSpec::new("effect", "Does something", json!({"type": "object"}));
        if !has_effects {
            spec = spec.read_only();
        }
        let tool = Arc::new(Effect { spec, store: Arc::clone(&store) });
        let process = process(&store, vec![asks(&[("c1", "effect", "{}")]), says(&["done"])], vec![tool]);
        let run = process.engine.start(request("s", "r", "hi")).await.unwrap();
        run.finished().await;
        let whole = read(&run, true, 0).await;
        assert!(whole.contains(&format!("known: {has_effects}")), "{whole}");
        assert_eq!(of(&of_turn(store.take()), "put", "runs").len(), segments, "effects: {has_effects}");
    }
}
