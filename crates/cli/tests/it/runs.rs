//! Runs: stop, leave and rejoin, send twice, busy sessions, failures of the model.

use serde_json::json;

use crate::support::{Events, ModelServer, Server, answer_of, history, text_of};

#[tokio::test]
async fn stop_stops_the_model_and_keeps_what_was_shown() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let mut events =
        server.chat(&json!({"message": "hi", "session_id": "s", "run_id": "r", "events": "all"})).await;
    let call = model.call().await;
    call.say("Half an ");
    call.say("answer");
    events.next().await;
    assert_eq!(events.text().await + &events.text().await, "Half an answer");
    let (status, receipt) = answer_of(server.post("/runs/r/stop", &json!({})).send().await.unwrap()).await;
    assert_eq!(status, 200);
    call.hung_up().await;
    assert_eq!(
        receipt,
        json!({"run_id": "r", "outcome": "cancelled", "already_finished": false,
        "text_kept": 14, "events_after_stop": 0, "message_count": 2})
    );
    let rest = events.all().await;
    assert_eq!(rest.last().unwrap().data["outcome"], "cancelled");
    assert_eq!(history(&server, "s").await, ["user: hi", "assistant: Half an answer"]);
    let (_, session) = server.get("/sessions/s").await;
    assert_eq!(session["messages"][1]["metadata"]["outcome"], "cancelled");
    // A stopped session takes the next message, and stopping again changes nothing.
    let (frames, _) = server.turn(&mut model, &json!({"message": "go on", "session_id": "s"}), &["ok"]).await;
    assert_eq!(frames.last().unwrap().event, "done");
    let (_, again) = answer_of(server.post("/runs/r/stop", &json!({})).send().await.unwrap()).await;
    assert_eq!(again["already_finished"], true);
}

#[tokio::test]
async fn stop_before_the_first_piece() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let events = server.chat(&json!({"message": "hi", "session_id": "s", "run_id": "r"})).await;
    let call = model.call().await;
    let (_, receipt) = answer_of(server.post("/runs/r/stop", &json!({})).send().await.unwrap()).await;
    call.hung_up().await;
    assert_eq!((&receipt["outcome"], &receipt["text_kept"]), (&json!("cancelled"), &json!(0)));
    assert_eq!(events.all().await.last().unwrap().event, "done");
    assert_eq!(history(&server, "s").await, ["user: hi"]);
}

#[tokio::test]
async fn a_client_that_leaves_misses_nothing() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let body = json!({"message": "hi", "session_id": "s", "run_id": "r", "events": "all"});
    let mut events = server.chat(&body).await;
    let call = model.call().await;
    call.say("one ");
    events.next().await;
    assert_eq!(events.text().await, "one ");
    drop(events);
    call.say("two ");
    // A second reader, from the start and live.
    let mut reader =
        Events::new(server.http.get(format!("{}/runs/r/events", server.url)).send().await.unwrap());
    assert_eq!(reader.next().await.unwrap().event, "metadata");
    assert_eq!(reader.text().await + &reader.text().await, "one two ");
    call.say("three");
    assert_eq!(reader.text().await, "three");
    call.end();
    while reader.next().await.is_some() {}
    let whole = reader.raw;

    // Cut after any event and resumed, the bytes are the same.
    let frames: Vec<&str> = whole.split_inclusive("\n\n").collect();
    for cut in 0..=frames.len() {
        let rest = server
            .http
            .get(format!("{}/runs/r/events", server.url))
            .header("last-event-id", cut.to_string())
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert_eq!(frames[..cut].concat() + &rest, whole, "cut after {cut}");
    }
    // The same from a new process.
    let server = server.kill_and_restart().await;
    let again =
        server.http.get(format!("{}/runs/r/events", server.url)).send().await.unwrap().text().await.unwrap();
    assert_eq!(again, whole);
}

#[tokio::test]
async fn the_same_run_again_is_the_same_run() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    // The first answer of the server is lost before the client knows its session.
    let body = json!({"message": "hi", "run_id": "r"});
    let first = server.chat(&body).await;
    let call = model.call().await;
    drop(first);
    let second = server.chat(&body).await;
    call.say("once");
    call.end();
    let frames = second.all().await;
    assert_eq!(text_of(&frames), "once");
    let session = frames[0].data["session_id"].as_str().unwrap().to_owned();
    // After the end, and from a new process, too.
    assert_eq!(text_of(&server.chat(&body).await.all().await), "once");
    let server = server.kill_and_restart().await;
    assert_eq!(text_of(&server.chat(&body).await.all().await), "once");
    assert_eq!(history(&server, &session).await, ["user: hi", "assistant: once"]);
    assert!(!model.is_called(), "one call of the model");
    // The id cannot be used in another conversation.
    let other = json!({"message": "hi", "run_id": "r", "session_id": "other"});
    let (status, problem) = answer_of(server.post("/chat", &other).send().await.unwrap()).await;
    assert_eq!((status, &problem["code"]), (409, &json!("run_conflict")));
}

#[tokio::test]
async fn a_busy_session_refuses_queues_or_interrupts() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let body =
        |message: &str, on_busy: &str| json!({"message": message, "session_id": "s", "on_busy": on_busy});
    let first = server.chat(&json!({"message": "one", "session_id": "s", "run_id": "r1"})).await;
    let call = model.call().await;
    let (status, problem) =
        answer_of(server.post("/chat", &json!({"message": "two", "session_id": "s"})).send().await.unwrap())
            .await;
    assert_eq!((status, &problem["code"], &problem["run_id"]), (409, &json!("session_busy"), &json!("r1")));

    let queued = server.chat(&body("two", "queue")).await;
    call.say("1");
    call.end();
    first.all().await;
    model.answers(&["2"]).await;
    assert_eq!(text_of(&queued.all().await), "2");

    let mut third = server.chat(&json!({"message": "three", "session_id": "s"})).await;
    let call = model.call().await;
    call.say("3");
    third.next().await;
    assert_eq!(third.text().await, "3");
    let interrupting = body("four", "interrupt");
    let (fourth, ()) = tokio::join!(server.chat(&interrupting), call.hung_up());
    assert_eq!(third.all().await.last().unwrap().event, "done");
    model.answers(&["4"]).await;
    assert_eq!(text_of(&fourth.all().await), "4");
    let said = history(&server, "s").await;
    assert_eq!(said.len(), 8, "{said:?}");
    assert_eq!(said[5], "assistant: 3");
}

#[tokio::test]
async fn an_edit_keeps_what_it_replaces() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    server.turn(&mut model, &json!({"message": "a", "session_id": "s"}), &["1"]).await;
    server.turn(&mut model, &json!({"message": "b", "session_id": "s"}), &["2"]).await;
    let edit = json!({"message": "c", "session_id": "s", "history_length": 2});
    let (_, request) = server.turn(&mut model, &edit, &["3"]).await;
    assert_eq!(request["messages"].as_array().unwrap().len(), 3);
    assert_eq!(history(&server, "s").await, ["user: a", "assistant: 1", "user: c", "assistant: 3"]);
    let (_, session) = server.get("/sessions/s").await;
    assert_eq!(session["branches"][0]["at"], 2);
    assert_eq!(session["branches"][0]["messages"][1]["content"][0]["text"], "2");
}

#[tokio::test]
async fn a_model_that_breaks_off_ends_in_one_error_and_loses_nothing() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let mut events = server.chat(&json!({"message": "hi", "session_id": "s"})).await;
    let call = model.call().await;
    call.say("half");
    events.next().await;
    assert_eq!(events.text().await, "half");
    drop(call);
    let rest = events.all().await;
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert_eq!((rest[0].event.as_str(), &rest[0].data["retryable"]), ("error", &json!(true)));
    assert_eq!(history(&server, "s").await, ["user: hi", "assistant: half"]);
}
