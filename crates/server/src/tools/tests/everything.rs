//! The official servers from the npm registry.

use std::process::Stdio;
use std::time::Duration;

use loquat_agent::event::Event;
use loquat_agent::message::ToolContent;
use serde_json::{Value, json};

use crate::tools::testing::{
    call, context, deps, find, kill, names, npm_server, processes, state, toolbox, until, words,
};
use crate::tools::{SourceState, Toolbox};

const EVERYTHING: [&str; 13] = [
    "echo",
    "get-annotated-message",
    "get-env",
    "get-resource-links",
    "get-resource-reference",
    "get-structured-content",
    "get-sum",
    "get-tiny-image",
    "gzip-file-as-resource",
    "simulate-research-query",
    "toggle-simulated-logging",
    "toggle-subscriber-updates",
    "trigger-long-running-operation",
];

fn stdio(mark: &str) -> Toolbox {
    let script = npm_server("server-everything");
    toolbox(&format!(
        "connect_wait_ms = 30000\n[[mcp]]\nname = \"everything\"\ncommand = \"node\"\nargs = [{script:?}, \"stdio\", {mark:?}]\n\
         env = {{ LISTED = \"yes\" }}\n"
    ))
}

/// Every tool is listed and called; what comes back is what the server sent.
async fn tour(toolbox: &Toolbox) {
    let listed = names(toolbox).await;
    for name in EVERYTHING.iter().copied().chain(["list_resources", "read_resource"]) {
        assert!(listed.iter().any(|known| known == name), "{name} is not among {listed:?}");
    }
    let good = async |name: &str, input: Value| {
        let output = call(toolbox, name, input).await;
        assert!(!output.is_error, "{name}: {output:?}");
        output
    };
    assert_eq!(words(&good("echo", json!({"message": "hello"})).await), "Echo: hello");
    assert!(words(&good("get-sum", json!({"a": 2, "b": 40})).await).contains("42"));
    let image = good("get-tiny-image", json!({})).await;
    assert!(
        image.content.iter().any(|block| matches!(block, ToolContent::Image(image) if image.format == "png"))
    );
    let structured = good("get-structured-content", json!({"location": "Chicago"})).await;
    assert!(
        matches!(structured.content.as_slice(), [ToolContent::Json(value)] if value["temperature"].is_number()),
        "{structured:?}"
    );
    let annotated =
        good("get-annotated-message", json!({"messageType": "error", "includeImage": true})).await;
    assert_eq!(annotated.content.len(), 2);
    let links = words(&good("get-resource-links", json!({"count": 2})).await);
    let uri = links.split_whitespace().find(|word| word.contains("://")).unwrap().trim_end_matches(':');
    assert!(
        words(&good("get-resource-reference", json!({"resourceType": "Text", "resourceId": 1})).await)
            .contains("resource")
    );
    let read = good("read_resource", json!({"uri": uri})).await;
    assert!(!words(&read).is_empty());
    assert!(words(&good("list_resources", json!({})).await).contains("uri"));
    let gone = call(toolbox, "read_resource", json!({"uri": "demo://nothing/here"})).await;
    assert!(gone.is_error, "{gone:?}");
    good("toggle-simulated-logging", json!({})).await;
    good("toggle-subscriber-updates", json!({})).await;
    // It fetches a page that is not to be reached here, or works as a task: an answer, whatever it says.
    let long = json!({"data": "data:text/plain,hi"});
    assert!(!call(toolbox, "gzip-file-as-resource", long).await.content.is_empty());
    assert!(!call(toolbox, "simulate-research-query", json!({"topic": "tea"})).await.content.is_empty());
    // The server's own check of the input comes back as an error for the model.
    assert!(call(toolbox, "get-sum", json!({"a": "x"})).await.is_error);
}

/// Progress arrives while a call runs, and stopping it ends it at once.
async fn progress_and_stop(toolbox: &Toolbox) {
    let tool = find(toolbox, "trigger-long-running-operation").await;
    let (cx, mut events) = context("long");
    let output = tool.call(json!({"duration": 1, "steps": 4}), cx).await;
    assert!(words(&output).contains("completed"), "{output:?}");
    let mut seen = Vec::new();
    while let Some(Event::ToolProgress { id, progress }) = events.recv().await {
        assert_eq!((id.as_str(), progress.total), ("long", Some(4.0)));
        seen.push(progress.progress.unwrap());
    }
    assert!(seen.len() >= 3, "{seen:?}");

    let (cx, mut events) = context("stopped");
    let cancel = cx.cancel.clone();
    let task = tokio::spawn(async move { tool.call(json!({"duration": 60, "steps": 600}), cx).await });
    events.recv().await.expect("progress before the end");
    let stopped = tokio::time::Instant::now();
    cancel.cancel();
    let output = task.await.unwrap();
    assert!(output.is_error && words(&output).contains("stopped"), "{output:?}");
    // The whole call takes a minute.
    assert!(stopped.elapsed() < Duration::from_secs(30));
    assert_eq!(words(&call(toolbox, "echo", json!({"message": "on"})).await), "Echo: on");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_over_stdio() {
    let mark = format!("mark-{}", uuid::Uuid::new_v4());
    let toolbox = stdio(&mark);
    tour(&toolbox).await;
    progress_and_stop(&toolbox).await;

    // The child sees what is listed and nothing else of ours.
    let seen: Value = serde_json::from_str(&words(&call(&toolbox, "get-env", json!({})).await)).unwrap();
    let mut seen: Vec<&String> = seen.as_object().unwrap().keys().collect();
    seen.retain(|name| !matches!(name.as_str(), "PWD" | "SHLVL" | "_" | "__CF_USER_TEXT_ENCODING"));
    assert_eq!(seen, ["LANG", "LISTED", "PATH"]);

    // Killed in the middle of a call: the call fails, the server comes back, its tools were never gone.
    let tool = find(&toolbox, "trigger-long-running-operation").await;
    let (cx, mut events) = context("killed");
    let task = tokio::spawn(async move { tool.call(json!({"duration": 60, "steps": 600}), cx).await });
    events.recv().await.expect("progress before the end");
    kill(&processes(&mark));
    let output = task.await.unwrap();
    assert!(output.is_error && words(&output).contains("outcome is unknown"), "{output:?}");
    assert!(names(&toolbox).await.contains(&"echo".to_owned()));
    until("it is back", async || {
        (words(&call(&toolbox, "echo", json!({"message": "back"})).await) == "Echo: back").then_some(())
    })
    .await;
    toolbox.shutdown().await;
    until("the process is gone", async || processes(&mark).is_empty().then_some(())).await;
}

/// `server-everything` over HTTP, as a process of its own.
struct Remote(tokio::process::Child);

impl Remote {
    async fn start(port: u16) -> Self {
        let env = deps().base_env;
        let child = tokio::process::Command::new("node")
            .args([npm_server("server-everything").as_str(), "streamableHttp"])
            .env_clear()
            .envs(env)
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        until("the server listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok())
            .await;
        Self(child)
    }

    async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_over_http() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    // It is down when we start, and comes up later.
    let toolbox = toolbox(&format!(
        "[[mcp]]\nname = \"remote\"\nurl = \"http://127.0.0.1:{port}/mcp\"\ncall_timeout_seconds = 10\n"
    ));
    state(&toolbox, "remote", SourceState::Down).await;
    assert!(names(&toolbox).await.is_empty());
    let remote = Remote::start(port).await;
    state(&toolbox, "remote", SourceState::Ready).await;
    tour(&toolbox).await;
    progress_and_stop(&toolbox).await;

    // Killed in the middle of a call, and started anew without knowledge of the session.
    let tool = find(&toolbox, "trigger-long-running-operation").await;
    let (cx, mut events) = context("killed");
    let task = tokio::spawn(async move { tool.call(json!({"duration": 20, "steps": 200}), cx).await });
    events.recv().await.expect("progress before the end");
    remote.kill().await;
    let output = tokio::time::timeout(Duration::from_secs(65), task).await.unwrap().unwrap();
    assert!(output.is_error, "{output:?}");
    let down = call(&toolbox, "echo", json!({"message": "?"})).await;
    assert!(down.is_error, "{down:?}");
    let remote = Remote::start(port).await;
    until("it is back", async || {
        (words(&call(&toolbox, "echo", json!({"message": "back"})).await) == "Echo: back").then_some(())
    })
    .await;

    // Restarted between two calls: the session is unknown to the new process, and made again without notice.
    remote.kill().await;
    let remote = Remote::start(port).await;
    assert_eq!(words(&call(&toolbox, "echo", json!({"message": "again"})).await), "Echo: again");
    toolbox.shutdown().await;
    remote.kill().await;
}
