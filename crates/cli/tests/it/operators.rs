//! What an operator gets from the program: its log, its metrics for CloudWatch, the logs of runs. And what they do not
//! get unless they ask: what anybody wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use loquat_bench::lambda_emulator::{Emulator, Options};
use serde_json::{Value, json};

use crate::support::{ModelServer, PATIENCE, Server, binary, text_of};

/// The binary, serving, with what it writes kept in files.
struct Watched {
    child: Child,
    folder: tempfile::TempDir,
    url: String,
}

impl Watched {
    async fn start(model: &ModelServer, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let env: BTreeMap<String, String> = [
            ("HOME", home),
            ("LOQUAT_DATA_DIR", home),
            ("PORT", "0"),
            ("MODEL_ID", "openai/test"),
            ("OPENAI_BASE_URL", &model.url),
            ("OPENAI_API_KEY", "sk-canary-key"),
        ]
        .iter()
        .chain(settings)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = binary(&env);
        let child = command.arg("serve").stdout(file("out")).stderr(file("err")).spawn().unwrap();
        let mut watched = Self { child, folder, url: String::new() };
        let deadline = Instant::now() + PATIENCE;
        while watched.url.is_empty() {
            assert!(Instant::now() < deadline, "the server did not start");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let told = watched.read("out");
            let address = told.lines().find_map(|line| line.strip_prefix("Address"));
            watched.url = address.filter(|_| told.contains("Sign-in")).unwrap_or_default().trim().to_owned();
        }
        watched
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Ends it, and gives what it wrote to standard output and standard error.
    fn end(mut self) -> (String, String) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap();
        (self.read("out"), self.read("err"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It has ended, or the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn lines_are_json_and_hold_nothing_that_anybody_wrote() {
    let mut model = ModelServer::start().await;
    let settings = [
        ("LOQUAT_LOG_FORMAT", "json"),
        ("RUST_LOG", "trace"),
        ("LOQUAT_EMF", "true"),
        ("LOQUAT_SERVICE_NAME", "support-agent"),
        ("AWS_LAMBDA_FUNCTION_NAME", "agent-fn"),
        // Which is not the store of a function unless it is named.
        ("LOQUAT_STORE", "sqlite"),
    ];
    let watched = Watched::start(&model, &settings).await;
    loquat_server::tls::install();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let chat = |body: Value| {
        let request = http.post(format!("{}/chat", watched.url)).bearer_auth("canary-bearer");
        tokio::spawn(async move { request.json(&body).send().await.unwrap().text().await.unwrap() })
    };
    let answer = chat(json!({"message": "canary-question", "session_id": "s", "run_id": "r"}));
    model.answers(&["canary-", "answer"]).await;
    assert!(answer.await.unwrap().contains("event: done"));
    // A model that breaks off.
    let answer = chat(json!({"message": "canary-question", "session_id": "s", "run_id": "broken"}));
    let call = model.call().await;
    call.say("canary-answer");
    drop(call);
    assert!(answer.await.unwrap().contains("event: error"));
    for body in [json!({"rating": "down"}), json!({"rating": "down", "comment": "canary-comment"})] {
        let feedback = http.post(format!("{}/runs/r/feedback", watched.url));
        assert_eq!(feedback.json(&body).send().await.unwrap().status(), 204);
    }
    let metrics = http.get(format!("{}/metrics", watched.url)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("loquat_feedback_total{rating=\"down\"} 1"), "{metrics}");
    let (out, err) = watched.end();

    let lines: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        for field in ["level", "location", "message", "timestamp", "service", "function_name"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert_eq!((&line["service"], &line["function_name"]), (&json!("support-agent"), &json!("agent-fn")));
    }
    let ends: Vec<&Value> = lines.iter().filter(|line| line["message"] == "run ended").collect();
    assert_eq!(ends.len(), 2);
    let (good, broken) = (ends[0], ends[1]);
    for (field, expected) in [
        ("run_id", json!("r")),
        ("session_id", json!("s")),
        ("outcome", json!("complete")),
        ("model", json!("openai/test")),
        ("steps", json!(1)),
        ("tools", json!(0)),
        ("input_tokens", json!(7)),
        ("output_tokens", json!(3)),
        ("cache_read_tokens", json!(0)),
        ("readers", json!(1)),
    ] {
        assert_eq!(good[field], expected, "{field} in {good}");
    }
    for field in ["first_token_ms", "total_ms", "bytes", "events"] {
        assert!(good[field].is_u64(), "{field} in {good}");
    }
    assert_eq!((&broken["outcome"], &broken["code"]), (&json!("failed"), &json!("model_stream_cut")));

    // CloudWatch's lines stand among those for people.
    let emf: Vec<Value> = out
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let metric = |name: &str| emf.iter().filter_map(|line| line.get(name)?.as_u64()).sum::<u64>();
    assert_eq!((metric("ChatRequests"), metric("ChatResponses"), metric("ChatErrors")), (2, 1, 1), "{out}");
    assert_eq!((metric("InputTokens"), metric("FeedbackDown")), (7, 1));
    assert!(emf.iter().all(|line| line["service"] == "support-agent"));

    let all = out + &err + &metrics;
    assert!(err.contains("TRACE"), "the most talkative level was on");
    if let Some(at) = all.find("canary") {
        let from = all[..at].rfind('\n').map_or(0, |line| line + 1);
        panic!("somebody's words are in {}", all[from..].lines().next().unwrap_or_default());
    }
}

#[tokio::test]
async fn content_is_logged_for_whoever_asks_for_it() {
    let mut model = ModelServer::start().await;
    let watched =
        Watched::start(&model, &[("LOQUAT_LOG_FORMAT", "json"), ("LOQUAT_LOG_CONTENT", "true")]).await;
    loquat_server::tls::install();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("{}/chat", watched.url)).json(&json!({"message": "the question"}));
    let (answer, _) = tokio::join!(
        async { request.send().await.unwrap().text().await.unwrap() },
        model.answers(&["the answer"])
    );
    assert!(answer.contains("event: done"));
    let (_, err) = watched.end();
    let lines: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for (message, text) in [("the user wrote", "the question"), ("the model answered", "the answer")] {
        assert!(lines.iter().any(|line| line["message"] == message && line["text"] == text), "{err}");
    }
    assert!(!err.contains("sk-canary-key"));
}

/// Runs a command on a data folder.
fn loquat(folder: &Path, arguments: &[&str]) -> Output {
    let home = folder.to_str().unwrap().to_owned();
    let env = BTreeMap::from([
        ("HOME".to_owned(), home.clone()),
        ("LOQUAT_DATA_DIR".to_owned(), home),
        ("MODEL_ID".to_owned(), "openai/test".to_owned()),
    ]);
    binary(&env).args(arguments).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_run_is_shown_run_again_and_exported() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let body = json!({"message": "hi", "session_id": "s", "run_id": "whole", "events": "all"});
    let (frames, _) = server.turn(&mut model, &body, &["one ", "two ", "three"]).await;
    assert_eq!(text_of(&frames), "one two three");
    let body = json!({"message": "more", "session_id": "s", "run_id": "stopped", "events": "all"});
    let mut events = server.chat(&body).await;
    let call = model.call().await;
    call.say("half");
    events.next().await;
    events.next().await;
    server.post("/runs/stopped/stop", &json!({})).send().await.unwrap();
    call.hung_up().await;
    events.all().await;

    let folder = server.data();
    let shown = loquat(folder, &["runs", "show", "whole"]);
    let text = said(&shown);
    assert!(shown.status.success(), "{text}");
    for part in ["Session  s", "started    openai/test", "3 pieces, 13 characters", "finished   complete"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("three"), "{text}");
    assert!(said(&loquat(folder, &["runs", "show", "whole", "--content"])).contains("one two three"));
    for run in ["whole", "stopped"] {
        let again = loquat(folder, &["runs", "replay", run]);
        assert!(again.status.success() && said(&again).contains("all the same"), "{run}: {}", said(&again));
    }
    let missing = loquat(folder, &["runs", "show", "unknown"]);
    assert!(!missing.status.success() && said(&missing).contains("--user"), "{}", said(&missing));

    // A log travels as a file; one that a run cannot have written is found out.
    let exported = loquat(folder, &["export", "--run", "whole"]);
    assert!(exported.status.success());
    let log = String::from_utf8(exported.stdout).unwrap();
    let file = folder.join("bug.jsonl");
    std::fs::write(&file, &log).unwrap();
    let path = file.to_str().unwrap();
    assert!(loquat(folder, &["runs", "replay", path]).status.success());
    std::fs::write(&file, log.replace("\"complete\"", "\"refusal\"")).unwrap();
    let other = loquat(folder, &["runs", "replay", path]);
    assert!(!other.status.success() && said(&other).contains("another this time"), "{}", said(&other));

    let to = folder.join("exported");
    for (format, part) in [("json", "\"text\":\"one two three\""), ("md", "one two three")] {
        let done = loquat(folder, &["export", "--to", to.to_str().unwrap(), "--format", format]);
        assert!(done.status.success(), "{}", said(&done));
        let text = std::fs::read_to_string(to.join(format!("s.{format}"))).unwrap();
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_lambda_everything_is_told_before_the_last_byte() {
    loquat_server::tls::install();
    let mut model = ModelServer::start().await;
    let spans = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&spans);
    let receive = async move |body: axum::body::Bytes| {
        let text = String::from_utf8_lossy(&body).into_owned();
        counted.fetch_add(text.matches("\"spanId\"").count(), Ordering::SeqCst);
    };
    let receiver = axum::Router::new().route("/v1/traces", axum::routing::post(receive));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, receiver).await });

    let emulator = Emulator::start(Options::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let runtime = emulator.runtime.to_string();
    let file = |name: &str| File::create(folder.path().join(name)).unwrap();
    let mut function = std::process::Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .env_clear()
        .envs([
            ("HOME", home),
            ("AWS_LAMBDA_RUNTIME_API", &runtime),
            ("AWS_LAMBDA_FUNCTION_NAME", "agent-fn"),
            ("LOQUAT_STORE", "memory"),
            ("MODEL_ID", "openai/test"),
            ("OPENAI_BASE_URL", &model.url),
            ("OPENAI_API_KEY", "sk-canary-key"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            // Longer than the test: what arrives was sent before the last byte.
            ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
        ])
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for n in 1..=2 {
        let chat = http.post(format!("{}/chat", emulator.url())).json(&json!({"message": "canary-question"}));
        let (answer, _) = tokio::join!(
            async { chat.send().await.unwrap().text().await.unwrap() },
            model.answers(&["canary-answer"])
        );
        assert!(answer.contains("event: done"), "{answer}\n{}", read("err"));
        // Nothing is waited for.
        assert_eq!(spans.load(Ordering::SeqCst), 2 * n, "the run's span and its model call's");
        let (out, err) = (read("out"), read("err"));
        let emf: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(emf.len(), n, "{out}");
        let metrics = &emf[n - 1]["_aws"]["CloudWatchMetrics"][0];
        assert_eq!((&metrics["Namespace"], &emf[n - 1]["ChatResponses"]), (&json!("Loquat"), &json!(1)));
        let lines: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ends: Vec<&Value> = lines.iter().filter(|line| line["message"] == "run ended").collect();
        assert_eq!(ends.len(), n);
        let end = ends[n - 1];
        assert_eq!((&end["cold_start"], &end["function_name"]), (&json!(n == 1), &json!("agent-fn")));
        for field in ["function_request_id", "xray_trace_id"] {
            assert!(end[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {end}");
        }
        assert!(!(out + &err).contains("canary"));
    }
    function.kill().unwrap();
    function.wait().unwrap();
}
