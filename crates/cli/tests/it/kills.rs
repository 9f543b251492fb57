//! The process is killed, as by a power cut of the process, at moments nobody chose. Nothing that was shown is lost on
//! the local store, at most what came after the last segment on object storage; nothing is ever wrong or doubled.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::ministack::MiniStack;
use super::support::{Events, ModelServer, Server};

/// The whole answer to question number `n`, in pieces no two of which are equal.
fn answer(n: usize) -> Vec<String> {
    (0..PIECES).map(|piece| format!("[{n}.{piece}é]")).collect()
}
const PIECES: usize = 60;

/// Answers every call, a piece at a time, until it is hung up.
fn talk(mut model: ModelServer, pause: Duration) -> String {
    let url = model.url.clone();
    tokio::spawn(async move {
        while let Some(call) = model.next_call().await {
            tokio::spawn(async move {
                // Questions that were never answered stand in one message: the last one is meant.
                let asked = &call.request["messages"].as_array().unwrap().last().unwrap()["content"];
                let parts = asked.as_array().and_then(|parts| parts.last()).map(|part| &part["text"]);
                let asked = parts.unwrap_or(asked).as_str().unwrap().lines().last().unwrap().to_owned();
                let number = asked.trim_start_matches('q').parse().expect("a question is a number");
                for piece in answer(number) {
                    call.say(&piece);
                    tokio::time::sleep(pause).await;
                }
                call.end();
            });
        }
    });
    url
}

/// A random source. The tests print its seed, so that a failure can be told.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
        Self(seed | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// What a client has seen so far, with the time of each piece.
#[derive(Default)]
struct Seen {
    text: String,
    /// How long the text was when.
    times: Vec<(Instant, usize)>,
    begun: Option<Instant>,
    done: bool,
}

/// Sends a message and reads until the connection breaks or the answer is over.
fn listen(server: &Server, session: String, n: usize) -> (Arc<Mutex<Seen>>, tokio::task::JoinHandle<()>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let body = json!({"message": format!("q{n}"), "session_id": session, "run_id": format!("r{n}")});
    let request = server.post("/chat", &body);
    let shared = Arc::clone(&seen);
    let task = tokio::spawn(async move {
        let Ok(response) = request.send().await else { return };
        assert_eq!(response.status(), 200);
        let mut events = Events::new(response);
        while let Some(frame) = events.next().await {
            let mut seen = shared.lock().unwrap();
            match frame.event.as_str() {
                "metadata" => seen.begun = Some(Instant::now()),
                "done" => seen.done = true,
                "" => {
                    seen.text.push_str(frame.data["text"].as_str().unwrap());
                    let length = seen.text.len();
                    seen.times.push((Instant::now(), length));
                }
                other => panic!("an unexpected event {other}: {}", frame.data),
            }
        }
    });
    (seen, task)
}

/// The messages of a turn: how often its question stands there, and its text.
fn turn_of(session: &Value, n: usize) -> (usize, String) {
    let messages = session["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of_run = messages.iter().filter(|message| message["metadata"]["run_id"] == format!("r{n}"));
    let text = |message: &Value| -> String {
        message["content"].as_array().unwrap().iter().filter_map(|c| c["text"].as_str()).collect()
    };
    let (mut questions, mut answer) = (0, String::new());
    for message in of_run {
        if message["role"] == "user" {
            assert_eq!(text(message), format!("q{n}"));
            questions += 1;
        } else {
            answer.push_str(&text(message));
        }
    }
    (questions, answer)
}

/// What holds in every store. Gives the text that is kept.
async fn check(server: &Server, session: &str, n: usize, seen: &Seen) -> String {
    let mut told = None;
    if seen.begun.is_some() {
        // The run can be read again, and has one end. It has that when its dead process's lease has run out.
        let url = format!("{}/runs/r{n}/events?session_id={session}", server.url);
        let frames = Events::new(server.http.get(url).send().await.unwrap()).all().await;
        let ends = frames.iter().filter(|frame| frame.event == "done" || frame.event == "error").count();
        assert_eq!(ends, 1, "q{n}: {frames:?}");
        told = Some(super::support::text_of(&frames));
    }
    let (status, stored) = server.get(&format!("/sessions/{session}")).await;
    assert!(status == 200 || status == 404, "{stored}");
    let (questions, kept) = turn_of(&stored, n);
    let whole = answer(n).concat();
    assert!(questions <= 1, "q{n} is kept {questions} times: {stored}");
    assert!(whole.starts_with(&kept), "q{n} is kept with a wrong text: {kept}");
    assert!(whole.starts_with(&seen.text), "q{n} was shown with a wrong text: {}", seen.text);
    if let Some(told) = told {
        assert_eq!(questions, 1, "q{n} was taken and is not kept");
        assert_eq!(told, kept, "q{n}: the run and the session differ");
    }
    if seen.done {
        assert_eq!(kept, whole, "q{n} was done and is not whole");
    }
    kept
}

/// Fifty kills in one conversation on the local store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_fifty_moments_the_local_store_has_all_that_was_shown() {
    let mut random = Random::new();
    println!("seed {}", random.0);
    let pause = Duration::from_millis(2);
    let url = talk(ModelServer::start().await, pause);
    let mut server = Server::start_with(&url, &[]).await;
    let mut before: Vec<Value> = Vec::new();
    let (mut in_the_middle, mut after_the_end) = (0, 0);
    for n in 0..50 {
        let (seen, task) = listen(&server, "s".into(), n);
        // Before the first event, in the middle, at the end, after it.
        let moment = Duration::from_micros(random.below(PIECES as u64 * 2_000 * 3));
        tokio::time::sleep(moment).await;
        server = server.kill_and_restart().await;
        task.await.unwrap();
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        let kept = check(&server, "s", n, &seen).await;
        assert!(
            kept.starts_with(&seen.text),
            "killed after {moment:?}: {:?} was shown, {kept:?} is kept",
            seen.text
        );
        in_the_middle += usize::from(!seen.text.is_empty() && !seen.done);
        after_the_end += usize::from(seen.done);
        // What was there is still there, as it was.
        let (_, session) = server.get("/sessions/s").await;
        let messages = session["messages"].as_array().cloned().unwrap_or_default();
        assert!(messages.starts_with(&before), "killed after {moment:?}: an older turn has changed");
        before = messages;
    }
    println!("{in_the_middle} of 50 in the middle of a text, {after_the_end} after its end");
    assert!(in_the_middle >= 5, "the moments were not where they matter");
}

/// Fifty conversations on object storage, in ten processes that are killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_fifty_moments_object_storage_has_all_but_the_last_segment() {
    let mut random = Random::new();
    println!("seed {}", random.0);
    loquat_server::tls::install();
    let stack = MiniStack::start().await;
    let made = reqwest::Client::new().put(format!("{}/kills", stack.url)).send().await.unwrap();
    assert!(made.status().is_success());
    // Five seconds an answer: segments are due after one and after three.
    let url = talk(ModelServer::start().await, Duration::from_millis(80));
    let settings = [
        ("SESSION_BUCKET", "kills"),
        ("AWS_ENDPOINT_URL_S3", stack.url.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let mut server = Server::start_with(&url, &settings).await;
    let mut killed = Vec::new();
    for round in 0..10 {
        let mut listeners = Vec::new();
        for n in round * 5..round * 5 + 5 {
            listeners.push((n, listen(&server, format!("s{n}"), n)));
            tokio::time::sleep(Duration::from_millis(random.below(400))).await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(4_000))).await;
        let at = Instant::now();
        server = server.kill_and_restart().await;
        for (n, (seen, task)) in listeners {
            task.await.unwrap();
            killed.push((n, at, std::mem::take(&mut *seen.lock().unwrap())));
        }
    }
    let mut bounded = 0;
    for (n, at, seen) in &killed {
        let kept = check(&server, &format!("s{n}"), *n, seen).await;
        let Some(begun) = seen.begun else { continue };
        // The last segment that was due well before the kill holds everything from before it was due.
        let slack = Duration::from_millis(900);
        let due = [1_000, 3_000].map(|due| begun + Duration::from_millis(due));
        let Some(due) = due.into_iter().rfind(|due| *due + slack < *at) else { continue };
        let shown = seen.times.iter().rfind(|(time, _)| *time + Duration::from_millis(300) < due);
        let least = shown.map_or(0, |(_, length)| *length);
        assert!(kept.len() >= least, "q{n}: {least} bytes were due in a segment, {} are kept", kept.len());
        bounded += usize::from(least > 0);
    }
    println!("{bounded} of 50 after a segment");
    assert!(bounded >= 5, "the moments were not where they matter");
}
