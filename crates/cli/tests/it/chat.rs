//! The main job: a message in, the answer word by word, remembered.

use serde_json::json;

use crate::support::{ModelServer, Server, history, text_of};

/// The reference's clients append the text of every frame they do not know: nothing else may be sent to them.
#[tokio::test]
async fn the_text_form_is_the_references_to_the_byte() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let mut events = server.chat(&json!({"message": "hi", "session_id": "abc-123"})).await;
    let call = model.call().await;
    call.say("Hello");
    call.say(" \"wörld\"\n🦀");
    call.end();
    while events.next().await.is_some() {}
    insta::assert_snapshot!(events.raw, @r#"
    id: 1
    event: metadata
    data: {"session_id":"abc-123"}

    id: 2
    data: {"text":"Hello"}

    id: 3
    data: {"text":" \"wörld\"\n🦀"}

    id: 5
    event: done
    data: {}
    "#);
}

/// The first piece reaches the client before the model has made the second.
#[tokio::test]
async fn a_piece_is_forwarded_the_moment_it_exists() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let mut events = server.chat(&json!({"message": "hi"})).await;
    let call = model.call().await;
    assert_eq!(events.next().await.unwrap().event, "metadata");
    for piece in ["one", "two", "three"] {
        call.say(piece);
        // Nothing after this piece exists until it has arrived here.
        assert_eq!(events.text().await, piece);
    }
    call.end();
    assert_eq!(events.next().await.unwrap().event, "done");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn the_full_form_tells_everything_and_the_headers_forbid_buffering() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let body = json!({"message": "hi", "session_id": "s", "run_id": "r", "events": "all"});
    let response = server.post("/chat", &body).send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(header("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(header("x-loquat-run-id").as_deref(), Some("r"));
    let mut events = crate::support::Events::new(response);
    model.answers(&["yes"]).await;
    while events.next().await.is_some() {}
    insta::assert_snapshot!(events.raw, @r#"
    id: 1
    event: metadata
    data: {"session_id":"s","run_id":"r","model":"openai/test","history_length":0}

    id: 2
    data: {"text":"yes"}

    id: 3
    event: usage
    data: {"step":1,"model":"openai/test","input_tokens":7,"output_tokens":3,"stop_reason":"end_turn"}

    id: 4
    event: done
    data: {"outcome":"complete","message_count":2,"usage":{"input_tokens":7,"output_tokens":3}}
    "#);
}

#[tokio::test]
async fn the_next_message_remembers_the_first_and_a_restart_forgets_nothing() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_SYSTEM_PROMPT", "Be brief.")]).await;
    let say = |message: &str| json!({"message": message, "session_id": "s"});
    server.turn(&mut model, &say("I am Ada."), &["Hello ", "Ada."]).await;
    let (_, request) = server.turn(&mut model, &say("Who am I?"), &["Ada."]).await;
    let said: Vec<_> = request["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(said.len(), 4);
    assert_eq!((&said[0], &said[2]), (&json!("Be brief."), &json!("Hello Ada.")));

    let server = server.kill_and_restart().await;
    assert_eq!(
        history(&server, "s").await,
        ["user: I am Ada.", "assistant: Hello Ada.", "user: Who am I?", "assistant: Ada."]
    );
    let (frames, request) = server.turn(&mut model, &say("Still?"), &["Yes."]).await;
    assert_eq!(text_of(&frames), "Yes.");
    assert_eq!(request["messages"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn the_window_is_twenty_messages_and_the_rest_is_kept() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("CONTEXT_WINDOW_SIZE", "4")]).await;
    let mut seen = Vec::new();
    for n in 0..5 {
        let body = json!({"message": format!("q{n}"), "session_id": "s"});
        let (_, request) = server.turn(&mut model, &body, &["a"]).await;
        seen.push(request["messages"].as_array().unwrap().len());
    }
    assert!(seen.iter().all(|count| *count <= 4), "{seen:?}");
    assert_eq!(history(&server, "s").await.len(), 10);
}

#[tokio::test]
async fn without_a_store_every_message_stands_alone() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_STORE", "none")]).await;
    let say = |message: &str| json!({"message": message, "session_id": "s"});
    server.turn(&mut model, &say("I am Ada."), &["Hello."]).await;
    let (frames, request) = server.turn(&mut model, &say("Who am I?"), &["Who?"]).await;
    assert_eq!(text_of(&frames), "Who?");
    assert_eq!(request["messages"].as_array().unwrap().len(), 1);
    assert_eq!(server.get("/sessions").await.0, 404);
}

#[tokio::test]
async fn four_lines_say_where_what_and_how() {
    let model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let words: Vec<_> = server.told.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(words, ["Address", "Model", "Sessions", "Sign-in"]);
    assert!(server.told[1].ends_with("openai/test"));
    assert_eq!(server.get("/health").await, (200, json!({"status": "ok"})));
}
