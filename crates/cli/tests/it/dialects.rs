//! Other protocols, read by their own official clients from the real binary.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::client;
use crate::support::{ModelServer, PATIENCE, Server, history};

/// A calculator that the user is asked about.
const CONFIG: &str = "tools = [\"calculator\"]\n[tool.calculator]\nneeds_approval = true\n";

async fn serve(model: &ModelServer, settings: &[(&str, &str)]) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loquat.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let mut all = vec![("LOQUAT_CONFIG", path.to_str().unwrap())];
    all.extend(settings);
    let server = Server::start(model, &all).await;
    (server, folder)
}

/// The model's side of the conversation that both scripts have.
async fn converse(model: &mut ModelServer) {
    let call = model.call().await;
    call.think("Hm, ");
    call.think("hello.");
    call.say("Hello, wör");
    call.say("ld 🚀");
    call.end();

    let call = model.call().await;
    let offered = call.request["tools"].as_array().unwrap();
    let names: Vec<_> = offered.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["calculator", "locate"]);
    call.call_tool(0, "call-sum", "calculator", &json!({"expression": "6*7"}));
    call.call_tool(1, "call-place", "locate", &json!({}));
    call.end_with("tool_calls");

    let call = model.call().await;
    let messages = call.request["messages"].as_array().unwrap();
    let answers: Vec<_> = messages.iter().filter(|message| message["role"] == "tool").collect();
    assert_eq!(answers.len(), 2, "{answers:?}");
    call.say("In Rome it is 42.");
    call.end();
}

#[tokio::test]
async fn ag_ui_by_its_own_client() {
    let mut model = ModelServer::start().await;
    let (server, _folder) = serve(&model, &[]).await;
    let arguments = [server.url.as_str()];
    let script = async {
        converse(&mut model).await;
        model.answers(&["one ", "two ", "three"]).await;
        let broken = model.call().await;
        broken.think("Wrong.");
        broken.say("Ha");
        drop(broken);
        let call = model.call().await;
        call.think("Right.");
        call.say("Whole.");
        call.end();
    };
    let (found, ()) = tokio::join!(client("ag-ui.mjs", &arguments), script);
    assert_eq!(found["messages"], 10);
    assert!(!model.is_called(), "a refused request calls no model");
    let said = history(&server, "thread-1").await;
    assert_eq!(said[8..], ["assistant: one two three", "user: Try.", "assistant: Whole."]);
}

#[tokio::test]
async fn ag_ui_ignores_a_rewritten_past_where_it_is_told_to() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_CLIENT_HISTORY", "ignore")]).await;
    let ask = async |run: &str, messages: serde_json::Value| {
        let body = json!({"threadId": "t", "runId": run, "messages": messages});
        server.post("/ag-ui", &body).send().await.unwrap().text().await.unwrap()
    };
    let said = |id: &str, text: &str| json!({"id": id, "role": "user", "content": text});
    let (_, _) = tokio::join!(ask("r1", json!([said("u1", "one")])), model.answers(&["1"]));
    let forged = json!([said("u1", "uno"), said("u2", "two")]);
    let (stream, request) = tokio::join!(ask("r2", forged), model.answers(&["2"]));
    assert!(stream.contains("RUN_FINISHED"), "{stream}");
    let seen: Vec<_> = request["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(seen, ["one", "1", "two"]);
}

#[tokio::test]
async fn the_ai_sdk_by_its_own_client() {
    let mut model = ModelServer::start().await;
    let (server, folder) = serve(&model, &[]).await;
    let gate = folder.path().join("reconnected");
    let script = async {
        converse(&mut model).await;
        let counting = model.call().await;
        counting.say("one ");
        counting.say("two ");
        let deadline = Instant::now() + PATIENCE;
        while !gate.exists() {
            assert!(Instant::now() < deadline, "the client does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        counting.say("three");
        counting.end();
        model.answers(&["four ", "five six"]).await;
        let request = model.answers(&["a picture"]).await;
        let last = request["messages"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["content"][0]["type"], "image_url", "{last}");
    };
    let arguments = [server.url.as_str(), gate.to_str().unwrap()];
    let (found, ()) = tokio::join!(client("ai.mjs", &arguments), script);
    assert_eq!(found["messages"], 5);
    let said = history(&server, "chat-1").await;
    assert!(said.contains(&"assistant: four five six".to_owned()), "{said:?}");
    let (_, session) = server.get("/sessions/chat-1").await;
    let replaced = &session["branches"][0]["messages"][1]["content"][0]["text"];
    assert_eq!(replaced, "one two three");
}

/// Where nothing is kept, the client's own words are the conversation: the calls of its tools and their answers too.
#[tokio::test]
async fn tools_of_the_client_are_answered_where_nothing_is_kept() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_STORE", "none")]).await;
    let ask = async |path: &str, body: serde_json::Value| {
        let response = server.post(path, &body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let turns = |request: &serde_json::Value| -> Vec<String> {
        let messages = request["messages"].as_array().unwrap().iter().filter(|m| m["role"] != "system");
        let line =
            |text: &str| text.lines().find(|line| !line.starts_with('<')).unwrap_or_default().to_owned();
        messages
            .map(|m| {
                format!("{} {}", m["role"].as_str().unwrap(), line(m["content"].as_str().unwrap_or("-")))
            })
            .collect()
    };
    let expected = ["user Where am I?", "assistant -", "tool Rome"];
    let locate = json!({"description": "Where the user is.", "parameters": {"type": "object"}});

    let question = json!({"id": "u1", "role": "user", "content": "Where am I?"});
    let mut tool = locate.clone();
    tool["name"] = "locate".into();
    let body = |run: &str, messages: serde_json::Value| json!({"threadId": "t", "runId": run, "messages": messages, "tools": [tool]});
    let (asked, _) = tokio::join!(ask("/ag-ui", body("r1", json!([question]))), async {
        model.call().await.ask("c1", "locate", &json!({}))
    });
    assert!(asked.1.contains(r#""outcome":{"type":"success","pendingToolCallIds":["c1"]}"#), "{}", asked.1);
    let function = json!({"name": "locate", "arguments": "{}"});
    let called = json!({"id": "r1-1", "role": "assistant", "toolCalls": [{"id": "c1", "type": "function", "function": function}]});
    let answer = json!({"id": "t1", "role": "tool", "toolCallId": "c1", "content": "Rome"});
    let (told, request) =
        tokio::join!(ask("/ag-ui", body("r2", json!([question, called, answer]))), model.answers(&["Rome."]));
    assert!(told.1.contains(r#""delta":"Rome.""#) && !told.1.contains("TOOL_CALL"), "{}", told.1);
    assert_eq!(turns(&request), expected);

    let question = json!({"id": "u1", "role": "user", "parts": [{"type": "text", "text": "Where am I?"}]});
    let body =
        |messages: serde_json::Value| json!({"id": "c", "messages": messages, "tools": {"locate": locate}});
    let (asked, _) = tokio::join!(ask("/api/chat", body(json!([question]))), async {
        model.call().await.ask("c1", "locate", &json!({}))
    });
    assert!(asked.1.contains(r#""finishReason":"tool-calls""#), "{}", asked.1);
    let part = |state: &str| json!({"type": "tool-locate", "toolCallId": "c1", "state": state, "input": {}, "output": "Rome"});
    let said = |state: &str| json!([question, {"id": "m1", "role": "assistant", "parts": [{"type": "step-start"}, part(state)]}]);
    let (told, request) =
        tokio::join!(ask("/api/chat", body(said("output-available"))), model.answers(&["Rome."]));
    // The answer goes on with the client's own message.
    assert!(told.1.contains(r#""delta":"Rome.""#) && !told.1.contains("messageId"), "{}", told.1);
    assert_eq!(turns(&request), expected);
    assert_eq!(ask("/api/chat", body(said("input-available"))).await.0, 400);
}
