//! `bootstrap` where it will live: behind the emulator of API Gateway and Lambda, natively and behind the real Lambda Web
//! Adapter.

use std::path::PathBuf;
use std::time::Duration;

use loquat_bench::lambda_emulator::{Emulator, Options};
use loquat_bench::measure::{Effort, lambda};
use loquat_bench::mock::{MockServer, Scenario};
use loquat_cloud::aws::Aws;
use loquat_cloud::{elf, package};
use serde_json::{Value, json};

use super::ministack::{MiniStack, REGION};
use super::support::{Events, ModelServer, Server};

fn environment(model: &ModelServer, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("MODEL_ID", "openai/test"),
        ("OPENAI_BASE_URL", &model.url),
        ("OPENAI_API_KEY", "sk-canary-key"),
        ("AUTH_TYPE", "None"),
        ("LOQUAT_INSECURE", "true"),
    ];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn bootstrap() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_bootstrap"))
}

async fn chat(emulator: &Emulator, body: &Value) -> Events {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.post(format!("{}/chat", emulator.url())).json(body).send().await.unwrap();
    assert_eq!(response.status(), 200, "{:?}", emulator.init_errors());
    Events::new(response)
}

/// Twenty seconds before Lambda's deadline the run is paused at the end of its step, and another instance goes on with
/// it: the client reads one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_longer_than_an_invocation_goes_on_in_another_instance() {
    loquat_server::tls::install();
    let ministack = MiniStack::start().await;
    let aws = Aws::for_emulator(REGION, &ministack.url);
    aws.create_bucket("sessions").await.unwrap();
    let mut model = ModelServer::start().await;
    let environment = environment(
        &model,
        &[
            ("SESSION_BUCKET", "sessions"),
            ("LOQUAT_TOOLS", "current_time"),
            ("AWS_ENDPOINT_URL", &ministack.url),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ],
    );
    let options = Options { total: Duration::from_secs(21), ..Options::default() };
    let mut emulator = Emulator::start(options).await.unwrap();
    emulator.spawn(&bootstrap(), &[], &environment).unwrap();

    let asked = json!({"message": "what time is it?", "session_id": "s", "run_id": "r", "events": "all"});
    let (mut events, call) = tokio::join!(chat(&emulator, &asked), model.call());
    call.say("Let me look. ");
    assert_eq!(events.next().await.unwrap().event, "metadata");
    assert_eq!(events.text().await, "Let me look. ");
    // The time for handing over comes while the model is still speaking; the step is finished all the same.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    call.ask("call-1", "current_time", &json!({}));
    let frames = events.all().await;
    let names: Vec<&str> = frames.iter().map(|frame| frame.event.as_str()).collect();
    assert_eq!(names[names.len() - 2..], ["tool_result", "continue"], "{names:?}");
    let last = frames.last().unwrap();
    assert!(!model.is_called(), "nothing is asked of the model after the pause");

    // The instance never comes back.
    emulator.kill_functions().await;
    emulator.spawn(&bootstrap(), &[], &environment).unwrap();
    let run = last.data["run_id"].as_str().unwrap();
    let url = format!("{}/runs/{run}/events?after={}", emulator.url(), last.data["after"]);
    let response = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    let (response, call) = tokio::join!(response.send(), model.call());
    let mut events = Events::new(response.unwrap());
    let said = call.request["messages"].as_array().unwrap();
    assert_eq!(
        said.iter().map(|m| m["role"].as_str().unwrap()).filter(|role| *role != "system").collect::<Vec<_>>(),
        ["user", "assistant", "tool"]
    );
    call.say("It is late.");
    assert_eq!(events.text().await, "It is late.", "no reset, no repetition");
    call.end();
    assert_eq!(events.all().await.last().unwrap().data["outcome"], "complete");

    // A whole answer in the store, and its log from the beginning.
    let session = format!("{}/sessions/s", emulator.url());
    let session: Value = reqwest::get(session).await.unwrap().json().await.unwrap();
    let texts: Vec<&str> = session["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["content"][0]["text"].as_str())
        .collect();
    assert_eq!(texts, ["what time is it?", "Let me look. ", "It is late."], "{session}");
}

/// On managed instances one process takes several invocations: the second is answered while the first is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_answers_as_many_at_once_as_it_is_told_to() {
    loquat_server::tls::install();
    let mut model = ModelServer::start().await;
    let environment = environment(&model, &[("AWS_LAMBDA_MAX_CONCURRENCY", "2")]);
    let mut emulator = Emulator::start(Options::default()).await.unwrap();
    emulator.spawn(&bootstrap(), &[], &environment).unwrap();
    let (first, second) = (json!({"message": "one"}), json!({"message": "two"}));
    let (mut slow, slow_call) = tokio::join!(chat(&emulator, &first), model.call());
    slow_call.say("wait ");
    assert_eq!(slow.next().await.unwrap().event, "metadata");
    assert_eq!(slow.text().await, "wait ");
    let (quick, quick_call) = tokio::join!(chat(&emulator, &second), model.call());
    quick_call.say("done");
    quick_call.end();
    assert_eq!(quick.all().await.last().unwrap().event, "done");
    slow_call.end();
    assert_eq!(slow.all().await.last().unwrap().event, "done");
}

/// What `cargo xtask bench` prints of Lambda, by the same code, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_start_is_measured_from_the_spawn() {
    let mock = MockServer::start(Scenario::words("say=\"hi\"")).await.unwrap();
    let effort = Effort { rounds: 1, seconds: 0.0 };
    let address = mock.url().strip_prefix("http://").unwrap().parse().unwrap();
    let cold = lambda::cold_start(&bootstrap(), address, effort).await.unwrap();
    assert!(cold.ready_cpu_ms > 0.0 && cold.ready_mib > 1.0, "{cold:?}");
    assert!(cold.first_text_ms > 0.0 && cold.warm_first_text_ms > 0.0, "{cold:?}");
}

/// The layer's wrapper starts `run.sh`, which starts `bootstrap` as a plain server; the adapter speaks to Lambda.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_the_lambda_web_adapter_frames_arrive_while_the_run_goes_on() {
    let mut model = ModelServer::start().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let environment = environment(
        &model,
        &[
            ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/bootstrap"),
            ("AWS_LWA_INVOKE_MODE", "response_stream"),
            ("AWS_LWA_READINESS_CHECK_PATH", "/health"),
            ("AWS_LWA_PORT", &port),
            ("PORT", &port),
            ("LAMBDA_TASK_ROOT", bootstrap().parent().unwrap().to_str().unwrap()),
        ],
    );
    let mut emulator = Emulator::start(Options::default()).await.unwrap();
    // The handler, as it is in the package.
    let folder = tempfile::tempdir().unwrap();
    let handler = folder.path().join("run.sh");
    std::fs::write(&handler, package::RUN_SH).unwrap();
    emulator.spawn(&PathBuf::from("/bin/sh"), &[handler.display().to_string()], &environment).unwrap();
    // `cargo xtask test` installs it in the target folder, beside the profiles.
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let adapter = target.join("tools/bin/lambda-adapter");
    assert!(
        adapter.exists(),
        "the Lambda Web Adapter is not installed: run the tests with `cargo xtask test`"
    );
    emulator.spawn(&adapter, &[], &environment).unwrap();

    let asked = json!({"message": "hi", "events": "all"});
    let (mut events, call) = tokio::join!(chat(&emulator, &asked), model.call());
    call.say("one ");
    assert_eq!(events.next().await.unwrap().event, "metadata");
    assert_eq!(events.text().await, "one ");
    call.say("two");
    assert_eq!(events.text().await, "two");
    call.end();
    assert_eq!(events.all().await.last().unwrap().event, "done");
}

/// What is linked on a newer system has to start on Lambda's.
#[test]
fn the_lambda_binary_needs_no_newer_glibc_than_lambda_has() {
    let binary = elf::inspect(&std::fs::read(bootstrap()).unwrap()).unwrap();
    assert!(binary.glibc.is_none_or(|version| version <= (2, 34)), "{:?}", binary.glibc);
}

/// The calculator is what uses our own `hypot`.
#[tokio::test]
async fn the_calculator_of_the_binary_is_right() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_TOOLS", "calculator")]).await;
    let asked = json!({"message": "asinh of 3?", "events": "all"});
    let (response, call) =
        tokio::join!(server.http.post(format!("{}/chat", server.url)).json(&asked).send(), model.call());
    call.ask("c1", "calculator", &json!({"expression": "asinh(3)"}));
    let request = model.answers(&["done"]).await;
    assert!(request["messages"].to_string().contains("1.8184464592"), "{request}");
    assert_eq!(Events::new(response.unwrap()).all().await.last().unwrap().event, "done");
}
