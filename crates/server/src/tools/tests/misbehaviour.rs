//! Servers that are down, slow, wrong or restless cost their own tools and nothing else.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::tools::SourceState;
use crate::tools::testing::{
    call, context, find, fixture, kill, names, processes, state, toolbox, until, words,
};

const TOOLS: [&str; 5] = ["die", "grow", "mute", "ping", "slow"];

#[tokio::test(flavor = "multi_thread")]
async fn every_revision_is_spoken() {
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"] {
        let toolbox = fixture("well", &[version], "");
        assert_eq!(names(&toolbox).await, TOOLS, "{version}: {:?}", toolbox.status());
        assert_eq!(toolbox.status()[0].protocol.as_deref(), Some(version));
        assert_eq!(words(&call(&toolbox, "ping", json!({})).await), "ping");
        toolbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_revision_is_used_at_once() {
    for version in ["2024-11-05", "2026-07-28"] {
        let toolbox = fixture("well", &[version], &format!("protocol = \"{version}\""));
        assert_eq!(names(&toolbox).await, TOOLS, "{:?}", toolbox.status());
        toolbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_list_is_read_again() {
    for version in ["2025-11-25", "2026-07-28"] {
        let toolbox = fixture("well", &[version], "");
        let before = toolbox.tools().await;
        assert!(std::sync::Arc::ptr_eq(&before, &toolbox.tools().await), "a snapshot is built once");
        // The subscription of the newest revision is made after the first list.
        until("the new tool is there", async || {
            call(&toolbox, "grow", json!({})).await;
            names(&toolbox).await.iter().any(|name| name.starts_with("extra")).then_some(())
        })
        .await;
        toolbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_never_waits_for_a_server_that_does_not_come() {
    let began = Instant::now();
    let toolbox = toolbox(
        "tools = [\"calculator\"]\nconnect_wait_ms = 200\n\
         [[mcp]]\nname = \"missing\"\ncommand = \"/nonexistent/server\"\n\
         [[mcp]]\nname = \"closed\"\nurl = \"http://127.0.0.1:9/mcp\"\n\
         [[mcp]]\nname = \"silent\"\ncommand = \"sleep\"\nargs = [\"3600\"]\nconnect_timeout_seconds = 1\n",
    );
    assert_eq!(names(&toolbox).await, ["calculator"]);
    // Far from the hour that the silent one takes, whatever else the machine has to do.
    assert!(began.elapsed() < Duration::from_secs(60));
    for (name, why) in [
        ("missing", "could not be started"),
        ("closed", "the connection failed: Connection refused"),
        ("silent", "within 1 s"),
    ] {
        let status = state(&toolbox, name, SourceState::Down).await;
        assert!(status.error.as_ref().is_some_and(|error| error.contains(why)), "{status:?}");
    }
    assert_eq!(words(&call(&toolbox, "calculator", json!({"expression": "6*7"})).await), "42");
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_skipped_and_bad_schemas_are_left_out() {
    let toolbox = fixture("garbage", &[], "");
    assert_eq!(names(&toolbox).await, TOOLS);
    assert_eq!(words(&call(&toolbox, "ping", json!({})).await), "ping");
    toolbox.shutdown().await;

    let toolbox = fixture("bad_schemas", &[], "");
    assert_eq!(names(&toolbox).await, TOOLS);
    let problems = toolbox.status()[0].problems.join("; ");
    assert!(problems.contains("broken: its input schema") && problems.contains("listy: "), "{problems}");
    toolbox.shutdown().await;

    let toolbox = fixture("odd_results", &[], "");
    let output = call(&toolbox, "ping", json!({})).await;
    assert!(output.is_error && words(&output).contains("not one that the protocol knows"), "{output:?}");
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_the_user_hears_no() {
    let toolbox = fixture("elicits", &[], "");
    let output = call(&toolbox, "ping", json!({})).await;
    assert!(!output.is_error && words(&output) == r#"{"action": "decline"}"#, "{output:?}");
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_at_an_unknown_question_gets_the_handshake() {
    let toolbox = fixture("ends_at_discover", &[], "");
    until("it is connected", async || (names(&toolbox).await == TOOLS).then_some(())).await;
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_a_call_is_started_again() {
    let toolbox = fixture("well", &[], "");
    let output = call(&toolbox, "die", json!({})).await;
    assert!(output.is_error && words(&output).contains("outcome is unknown"), "{output:?}");
    // Its tools stay, and the next call waits for the new process.
    assert_eq!(names(&toolbox).await, TOOLS);
    let output = call(&toolbox, "ping", json!({})).await;
    assert_eq!((output.is_error, words(&output).as_str()), (false, "ping"));
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_an_answer_ends_and_a_frozen_server_is_replaced() {
    let toolbox = fixture("freezes", &[], "call_timeout_seconds = 1");
    let began = Instant::now();
    let output = call(&toolbox, "mute", json!({})).await;
    assert!(output.is_error && words(&output).contains("no answer within 1 s"), "{output:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
    // The process reads nothing any more: it does not pass the sign-of-life test and is replaced.
    state(&toolbox, "test", SourceState::Down).await;
    until("it answers again", async || {
        (words(&call(&toolbox, "ping", json!({})).await) == "ping").then_some(())
    })
    .await;
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_costs_one_call_only() {
    let toolbox = fixture("well", &[], "call_timeout_seconds = 1");
    assert!(call(&toolbox, "mute", json!({})).await.is_error);
    // It still answers, so it is left alone: the same process.
    assert_eq!(words(&call(&toolbox, "ping", json!({})).await), "ping");
    assert_eq!(toolbox.status()[0].state, SourceState::Ready);
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_is_cancelled_at_the_server() {
    let toolbox = fixture("well", &[], "");
    let tool = find(&toolbox, "mute").await;
    // The loop aborts a call's task when the user stops: nothing of the call runs after that.
    let task = tokio::spawn(async move { tool.call(json!({}), context("c").0).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    task.abort();
    // The server ends with its last words kept: what it was told is among them.
    tokio::time::sleep(Duration::from_millis(300)).await;
    call(&toolbox, "die", json!({})).await;
    let told = until("its last words", async || {
        let output = toolbox.output_of("test");
        output.iter().any(|line| line.contains("out of cheese")).then_some(output)
    })
    .await;
    assert!(told.iter().any(|line| line.starts_with("cancelled")), "{told:?}");
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_running() {
    let mark = format!("mark-{}", uuid::Uuid::new_v4());
    let toolbox = fixture("well", &["2025-11-25", &mark], "");
    names(&toolbox).await;
    assert_eq!(processes(&mark).len(), 1);
    toolbox.shutdown().await;
    until("the process is gone", async || processes(&mark).is_empty().then_some(())).await;

    // A crash loop of the server is no crash loop of ours: attempts come with growing waits.
    let mark = format!("mark-{}", uuid::Uuid::new_v4());
    let toolbox = fixture("well", &["2025-11-25", &mark], "");
    names(&toolbox).await;
    for _ in 0..2 {
        let pids = until("a process", async || Some(processes(&mark)).filter(|pids| !pids.is_empty())).await;
        kill(&pids);
        until("it was noticed", async || (processes(&mark) != pids).then_some(())).await;
    }
    until("it answers", async || (words(&call(&toolbox, "ping", json!({})).await) == "ping").then_some(()))
        .await;
    drop(toolbox);
    until("the process is gone", async || processes(&mark).is_empty().then_some(())).await;
}
