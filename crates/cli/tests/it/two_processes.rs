//! Two processes that share a bucket behave as one service: a busy session, a stop and a decision reach the other.

use serde_json::{Value, json};

use crate::ministack::{MiniStack, REGION};
use crate::support::{Events, ModelServer, Server, answer_of, history, text_of};

/// Two processes, the bucket they share, and the model behind both.
struct Pair {
    here: Server,
    there: Server,
    model: ModelServer,
    _stack: MiniStack,
    _folder: tempfile::TempDir,
}

impl Pair {
    async fn start(toml: &str) -> Self {
        loquat_server::tls::install();
        let stack = MiniStack::start().await;
        let made = reqwest::Client::new().put(format!("{}/shared", stack.url)).send().await.unwrap();
        assert!(made.status().is_success());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loquat.toml");
        std::fs::write(&file, toml).unwrap();
        let settings = [
            ("LOQUAT_CONFIG", file.to_str().unwrap()),
            ("SESSION_BUCKET", "shared"),
            ("AWS_ENDPOINT_URL_S3", &stack.url),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let model = ModelServer::start().await;
        let here = Server::start(&model, &settings).await;
        let there = Server::start(&model, &settings).await;
        Self { here, there, model, _stack: stack, _folder: folder }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_busy_elsewhere_refuses_queues_or_interrupts() {
    let Pair { here, there, model, .. } = &mut Pair::start("").await;
    let body =
        |message: &str, on_busy: &str| json!({"message": message, "session_id": "s", "on_busy": on_busy});
    let first = here.chat(&json!({"message": "one", "session_id": "s", "run_id": "r1"})).await;
    let call = model.call().await;
    let refused = there.post("/chat", &body("two", "reject")).send().await.unwrap();
    let (status, problem) = answer_of(refused).await;
    assert_eq!((status, &problem["code"], &problem["run_id"]), (409, &json!("session_busy"), &json!("r1")));

    let two = body("two", "queue");
    let queued = there.chat(&two);
    let release = async {
        call.say("1");
        call.end();
        assert_eq!(text_of(&first.all().await), "1");
        model.answers(&["2"]).await
    };
    let (queued, request) = tokio::join!(queued, release);
    assert_eq!(text_of(&queued.all().await), "2");
    let asked: Vec<&Value> = request["messages"].as_array().unwrap().iter().map(|m| &m["content"]).collect();
    assert_eq!(asked, ["one", "1", "two"], "it saw the answer that it waited for");

    let mut third = here.chat(&json!({"message": "three", "session_id": "s"})).await;
    let call = model.call().await;
    call.say("3");
    third.next().await;
    assert_eq!(third.text().await, "3");
    let four = body("four", "interrupt");
    let (fourth, ()) = tokio::join!(there.chat(&four), call.hung_up());
    assert_eq!(third.all().await.last().unwrap().event, "done");
    model.answers(&["4"]).await;
    assert_eq!(text_of(&fourth.all().await), "4");
    let expected = [
        "user: one",
        "assistant: 1",
        "user: two",
        "assistant: 2",
        "user: three",
        "assistant: 3",
        "user: four",
        "assistant: 4",
    ];
    assert_eq!(history(here, "s").await, expected);
    assert_eq!(history(there, "s").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_stopped_and_read_from_the_other_process() {
    let Pair { here, there, model, .. } = &mut Pair::start("").await;
    let mut events =
        here.chat(&json!({"message": "hi", "session_id": "s", "run_id": "r", "events": "all"})).await;
    let call = model.call().await;
    call.say("half");
    events.next().await;
    assert_eq!(events.text().await, "half");
    let stop = there.post("/runs/r/stop?session_id=s", &json!({}));
    let (answer, ()) = tokio::join!(stop.send(), call.hung_up());
    let (status, receipt) = answer_of(answer.unwrap()).await;
    assert_eq!((status, &receipt["outcome"], &receipt["text_kept"]), (200, &json!("cancelled"), &json!(4)));
    let told = events.all().await;
    assert_eq!(told.last().unwrap().data["outcome"], "cancelled");
    assert_eq!(history(there, "s").await, ["user: hi", "assistant: half"]);
    let read = |server: &Server| server.http.get(format!("{}/runs/r/events", server.url)).send();
    let (one, two) = tokio::join!(read(here), read(there));
    let (one, two) = (one.unwrap().text().await.unwrap(), two.unwrap().text().await.unwrap());
    assert!(one.contains("half") && one == two, "{one}\n{two}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_taken_in_the_other_process() {
    let consent = "tools = [\"calculator\"]\n[tool.calculator]\nneeds_approval = true\n";
    let Pair { here, there, model, .. } = &mut Pair::start(consent).await;
    let ask = json!({"message": "6*7?", "session_id": "s", "run_id": "r", "events": "all"});
    let events = here.chat(&ask).await;
    model.call().await.ask("c", "calculator", &json!({"expression": "6*7"}));
    assert_eq!(events.all().await.last().unwrap().data["outcome"], "interrupted");
    let decision = json!({"approvals": [{"id": "c", "approved": true}], "run_id": "r2"});
    let response = there.post("/runs/r/approvals", &decision).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let request = model.answers(&["It is 42."]).await;
    assert!(request["messages"].to_string().contains("42"), "{request}");
    let frames = Events::new(response).all().await;
    assert_eq!((frames[0].data["continues"].as_str(), text_of(&frames).as_str()), (Some("r"), "It is 42."));
    // The first process knows that it is decided.
    let again = json!({"approvals": [{"id": "c", "approved": true}]});
    let (status, problem) = answer_of(here.post("/runs/r/approvals", &again).send().await.unwrap()).await;
    assert_eq!(status, 400, "{problem}");
    assert!(!model.is_called());
}
