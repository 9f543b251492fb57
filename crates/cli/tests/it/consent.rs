//! Calls that wait for the user's word: what is asked, what may be answered, and what happens to a question that is not.

use serde_json::{Value, json};

use crate::support::{Events, Frame, ModelServer, Server, answer_of, text_of};

const CONSENT: &str = "tools = [\"calculator\"]\n[tool.calculator]\nneeds_approval = true\n";

/// A server whose calculator asks first, and the folder of its settings.
async fn start(model: &ModelServer) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loquat.toml");
    std::fs::write(&file, CONSENT).unwrap();
    (Server::start(model, &[("LOQUAT_CONFIG", file.to_str().unwrap())]).await, folder)
}

/// A turn in session `s` that ends with questions: one call for each id.
async fn asks(server: &Server, model: &mut ModelServer, run: &str, ids: &[&str]) -> Vec<Frame> {
    let body = json!({"message": "calculate", "session_id": "s", "run_id": run, "events": "all"});
    let events = server.chat(&body).await;
    let call = model.call().await;
    for (at, id) in ids.iter().enumerate() {
        call.call_tool(at, id, "calculator", &json!({"expression": format!("{}*7", at + 1)}));
    }
    call.end_with("tool_calls");
    let frames = events.all().await;
    assert_eq!(frames.last().unwrap().data["outcome"], "interrupted");
    frames
}

async fn decide(server: &Server, run: &str, body: &Value) -> reqwest::Response {
    server.post(&format!("/runs/{run}/approvals"), body).send().await.unwrap()
}

/// What the model was told of its calls, in order.
fn results(request: &Value) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap();
    let told = messages.iter().filter(|message| message["role"] == "tool");
    told.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_question_says_what_would_run_and_waits_a_day_through_a_restart() {
    let mut model = ModelServer::start().await;
    let (server, _folder) = start(&model).await;
    let frames = asks(&server, &mut model, "r1", &["c1"]).await;
    let asked = frames.iter().find(|frame| frame.event == "approval").unwrap();
    assert_eq!((&asked.data["id"], &asked.data["name"]), (&json!("c1"), &json!("calculator")));
    assert_eq!(asked.data["input"], json!({"expression": "1*7"}));
    assert!(!frames.iter().any(|frame| frame.event == "tool_result"), "nothing ran: {frames:?}");

    let server = server.kill_and_restart().await;
    let (_, session) = server.get("/sessions/s").await;
    assert_eq!(session["pending"]["run_id"], "r1");
    let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let until = time(&session["pending"]["expires_at"]);
    assert_eq!(until.duration_since(time(&session["updated_at"])).as_hours(), 24);
    // Whoever reads along is told as much, up to the moments between the question and the end of its run.
    let told = until.duration_since(time(&asked.data["expires_at"]));
    assert!((0..60).contains(&told.as_secs()), "{told:?}");

    let yes = json!({"approvals": [{"id": "c1", "approved": true}], "run_id": "r2", "events": "all"});
    let events = Events::new(decide(&server, "r1", &yes).await);
    let request = model.answers(&["Seven."]).await;
    assert!(results(&request)[0].contains('7'), "{request}");
    let frames = events.all().await;
    assert_eq!((&frames[0].data["continues"], &frames[0].data["run_id"]), (&json!("r1"), &json!("r2")));
    assert_eq!(frames.iter().find(|f| f.event == "tool_result").unwrap().data["output"], "7");
    assert_eq!(text_of(&frames), "Seven.");

    // The lost answer is asked for again: the same run. Another decision comes too late.
    let again = Events::new(decide(&server, "r1", &yes).await).all().await;
    assert_eq!(again, frames);
    let no = json!({"approvals": [{"id": "c1", "approved": false}]});
    let (status, problem) = answer_of(decide(&server, "r1", &no).await).await;
    assert_eq!(status, 400, "{problem}");
    assert!(!model.is_called(), "one call of the model");
    assert_eq!(server.get("/sessions/s").await.1["pending"], Value::Null);
}

#[tokio::test]
async fn a_refusal_reaches_the_model_with_its_reason() {
    let mut model = ModelServer::start().await;
    let (server, _folder) = start(&model).await;
    asks(&server, &mut model, "r1", &["c1"]).await;
    let no = json!({"approvals": [{"id": "c1", "approved": false, "reason": "too dear"}], "events": "all"});
    let events = Events::new(decide(&server, "r1", &no).await);
    let request = model.answers(&["Pity."]).await;
    assert!(results(&request)[0].contains("did not allow this call: too dear"), "{request}");
    let frames = events.all().await;
    let result = frames.iter().find(|frame| frame.event == "tool_result").unwrap();
    assert_eq!((&result.data["is_error"], &result.data["duration_ms"]), (&json!(true), &json!(0)));
    assert_eq!(frames.last().unwrap().data["outcome"], "complete");
}

#[tokio::test]
async fn a_new_message_dismisses_the_question() {
    let mut model = ModelServer::start().await;
    let (server, _folder) = start(&model).await;
    asks(&server, &mut model, "r1", &["c1"]).await;
    let body = json!({"message": "never mind", "session_id": "s"});
    let (frames, request) = server.turn(&mut model, &body, &["All right."]).await;
    assert_eq!(text_of(&frames), "All right.");
    assert!(results(&request)[0].contains("wrote a new message instead. It was not run."), "{request}");
    assert_eq!(request["messages"].as_array().unwrap().last().unwrap()["content"], "never mind");
    let yes = json!({"approvals": [{"id": "c1", "approved": true}]});
    assert_eq!(decide(&server, "r1", &yes).await.status(), 400);
    assert!(!model.is_called());
}

#[tokio::test]
async fn what_is_not_decided_stays_open() {
    let mut model = ModelServer::start().await;
    let (server, _folder) = start(&model).await;
    let frames = asks(&server, &mut model, "r1", &["c1", "c2"]).await;
    assert_eq!(frames.iter().filter(|frame| frame.event == "approval").count(), 2);
    // Neither a foreign call nor a foreign run.
    assert_eq!(
        decide(&server, "nothing", &json!({"approvals": [{"id": "c1", "approved": true}]})).await.status(),
        404
    );
    let one = json!({"approvals": [{"id": "c2", "approved": true}], "run_id": "r2", "events": "all"});
    let frames = Events::new(decide(&server, "r1", &one).await).all().await;
    assert_eq!(frames.iter().find(|frame| frame.event == "tool_result").unwrap().data["id"], "c2");
    assert_eq!(frames.iter().find(|frame| frame.event == "approval").unwrap().data["id"], "c1");
    assert_eq!(frames.last().unwrap().data["outcome"], "interrupted");
    assert!(!model.is_called(), "the model waits for both");
    let other = json!({"approvals": [{"id": "c1", "approved": true}], "events": "all"});
    let events = Events::new(decide(&server, "r2", &other).await);
    let request = model.answers(&["Both."]).await;
    assert_eq!(results(&request).len(), 2, "{request}");
    assert_eq!(text_of(&events.all().await), "Both.");
}
