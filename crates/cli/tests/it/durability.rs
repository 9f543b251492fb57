//! The process dies or is asked to stop; nothing that was shown is lost.

use std::time::Instant;

use serde_json::json;

use crate::support::{Events, ModelServer, PATIENCE, Server, history, text_of};

#[tokio::test]
async fn killed_in_the_middle_the_session_opens_at_once_with_what_was_shown() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let mut events =
        server.chat(&json!({"message": "hi", "session_id": "s", "run_id": "r", "events": "all"})).await;
    let call = model.call().await;
    call.say("shown ");
    call.say("before");
    events.next().await;
    assert_eq!(events.text().await + &events.text().await, "shown before");
    let server = server.kill_and_restart().await;
    assert_eq!(history(&server, "s").await, ["user: hi", "assistant: shown before"]);
    let run =
        server.http.get(format!("{}/runs/r/events", server.url)).send().await.unwrap().text().await.unwrap();
    assert!(run.contains("\"run_lost\"") && run.contains("\"retryable\":true"), "{run}");
    let (frames, request) =
        server.turn(&mut model, &json!({"message": "again", "session_id": "s"}), &["ok"]).await;
    assert_eq!(text_of(&frames), "ok");
    assert_eq!(request["messages"][1]["content"], "shown before");
}

#[tokio::test]
async fn asked_to_stop_it_lets_runs_finish() {
    let mut model = ModelServer::start().await;
    let mut server = Server::start(&model, &[]).await;
    let events = server.chat(&json!({"message": "hi", "session_id": "s"})).await;
    let call = model.call().await;
    server.signal("TERM");
    while server.get("/health").await.0 != 503 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (status, problem) =
        crate::support::answer_of(server.post("/chat", &json!({"message": "x"})).send().await.unwrap()).await;
    assert_eq!((status, &problem["code"]), (503, &json!("draining")));
    call.say("finished");
    call.end();
    let frames = events.all().await;
    assert_eq!(text_of(&frames), "finished");
    assert_eq!(frames.last().unwrap().event, "done");
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn asked_twice_it_ends_at_once_and_loses_nothing() {
    let mut model = ModelServer::start().await;
    let mut server = Server::start(&model, &[("LOQUAT_DRAIN_SECONDS", "600")]).await;
    let mut events = server.chat(&json!({"message": "hi", "session_id": "s", "events": "all"})).await;
    let call = model.call().await;
    call.say("half");
    events.next().await;
    assert_eq!(events.text().await, "half");
    server.signal("TERM");
    while server.get("/health").await.0 != 503 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // It waits for the run, and would for ten minutes.
    let asked = Instant::now();
    server.signal("TERM");
    server.ended().await;
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    drop(call);
    let server = server.kill_and_restart().await;
    let said = history(&server, "s").await;
    assert_eq!(said[0], "user: hi");
    assert!(said.len() == 1 || said[1] == "assistant: half", "{said:?}");
}

#[tokio::test]
async fn what_does_not_finish_in_time_goes_on_in_the_next_process() {
    let mut model = ModelServer::start().await;
    let mut server = Server::start(&model, &[("LOQUAT_DRAIN_SECONDS", "0")]).await;
    let mut events = server.chat(&json!({"message": "hi", "session_id": "s", "events": "all"})).await;
    let call = model.call().await;
    call.say("half");
    let run = events.next().await.unwrap().data["run_id"].as_str().unwrap().to_owned();
    assert_eq!(events.text().await, "half");
    server.signal("TERM");
    let last = events.all().await.pop().unwrap();
    assert_eq!((last.event.as_str(), &last.data["run_id"]), ("continue", &json!(run)));
    let after = last.data["after"].as_u64().unwrap();
    let path = format!("/runs/{run}/events?after={after}");
    // Whoever comes back at once, over the connection that is open, is sent away or cut off.
    if let Ok(answer) = server.http.get(format!("{}{path}", server.url)).send().await {
        let (status, problem) = crate::support::answer_of(answer).await;
        assert_eq!((status, &problem["code"]), (503, &json!("draining")));
    }
    assert!(server.ended().await.success());

    let server = server.kill_and_restart().await;
    let mut events = Events::new(server.http.get(format!("{}{path}", server.url)).send().await.unwrap());
    let call = model.call().await;
    assert_eq!(events.next().await.unwrap().event, "reset");
    call.say("whole");
    assert_eq!(events.text().await, "whole");
    call.end();
    assert_eq!(events.all().await.last().unwrap().data["outcome"], "complete");
    assert_eq!(history(&server, "s").await, ["user: hi", "assistant: whole"]);
}

#[tokio::test]
async fn a_client_that_only_reads_text_finds_the_whole_answer_in_the_conversation() {
    let mut model = ModelServer::start().await;
    let mut server = Server::start(&model, &[("LOQUAT_DRAIN_SECONDS", "0")]).await;
    let mut events = server.chat(&json!({"message": "hi", "session_id": "s"})).await;
    let call = model.call().await;
    call.say("half");
    events.next().await;
    assert_eq!(events.text().await, "half");
    server.signal("TERM");
    let last = events.all().await.pop().unwrap();
    assert_eq!((last.event.as_str(), &last.data["code"]), ("error", &json!("answer_moved")));
    assert!(server.ended().await.success());
    let server = server.kill_and_restart().await;
    assert_eq!(history(&server, "s").await, ["user: hi"]);
    let call = model.call().await;
    call.say("whole");
    call.end();
    let deadline = Instant::now() + PATIENCE;
    while history(&server, "s").await != ["user: hi", "assistant: whole"] {
        assert!(Instant::now() < deadline, "{:?}", history(&server, "s").await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
