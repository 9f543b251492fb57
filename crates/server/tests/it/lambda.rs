//! The native Lambda host behind the emulator: streaming, stages, limits, broken answers, concurrency.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use loquat_bench::lambda_emulator::{Emulator, EventKind, Issuer, Options};
use loquat_server::host::lambda::{self, Invocation, LambdaHost};
use tokio::sync::{Mutex, mpsc};

type Chunk = Result<Bytes, std::io::Error>;

/// A stream whose chunks the test sends.
struct Gate {
    send: mpsc::UnboundedSender<Chunk>,
    router: Router,
}

fn gate() -> Gate {
    let (send, receive) = mpsc::unbounded_channel::<Chunk>();
    let receive = Arc::new(Mutex::new(receive));
    let chat = move || {
        let receive = Arc::clone(&receive);
        async move {
            let receive = receive.lock_owned().await;
            let body = futures_util::stream::unfold(receive, |mut receive| async move {
                receive.recv().await.map(|chunk| (chunk, receive))
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from_stream(body))
                .unwrap()
        }
    };
    let echo = |Extension(invocation): Extension<Invocation>, request: Request| async move {
        let left = invocation.deadline.saturating_duration_since(tokio::time::Instant::now()).as_secs();
        format!("{} {} {left}", request.method(), request.uri())
    };
    let router = Router::new().route("/chat", post(chat)).fallback(get(echo).post(echo));
    Gate { send, router }
}

async fn start(options: Options, router: Router, concurrency: usize) -> Emulator {
    tls();
    let emulator = Emulator::start(options).await.unwrap();
    let host = LambdaHost { runtime_api: emulator.runtime.to_string(), concurrency };
    tokio::spawn(lambda::serve(router, host));
    emulator
}

/// `reqwest` wants a TLS provider even where it speaks plain HTTP.
fn tls() {
    loquat_server::tls::install();
}

async fn post_chat(emulator: &Emulator) -> reqwest::Response {
    reqwest::Client::new().post(format!("{}/chat", emulator.url())).body("{}").send().await.unwrap()
}

#[tokio::test]
async fn frames_arrive_while_the_run_goes_on() {
    let gate = gate();
    let emulator = start(Options::default(), gate.router, 1).await;
    gate.send.send(Ok("data: 1\n\n".into())).unwrap();
    let response = post_chat(&emulator).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
    // The second frame is made only after the first was read.
    gate.send.send(Ok("data: 2\n\n".into())).unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: 2\n\n");
    drop(gate.send);
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn status_and_headers_come_before_the_first_frame() {
    let gate = gate();
    let emulator = start(Options::default(), gate.router, 1).await;
    assert_eq!(post_chat(&emulator).await.status(), 200);
}

#[tokio::test]
async fn every_integration_reaches_the_same_routes() {
    for (event, expected) in [
        (EventKind::Rest, "GET /runs/r1/events?after=3"),
        (EventKind::FunctionUrl, "GET /runs/r1/events?after=3"),
        (EventKind::Alb, "GET /runs/r1/events?after=3"),
    ] {
        let emulator = start(Options { event, ..Options::default() }, gate().router, 1).await;
        for _ in 0..2 {
            let url = format!("{}/runs/r1/events?after=3", emulator.url());
            let text = reqwest::get(url).await.unwrap().text().await.unwrap();
            let (request, left) = text.rsplit_once(' ').unwrap();
            assert_eq!(request, expected, "{event:?}");
            let left: u64 = left.parse().unwrap();
            assert!((880..=900).contains(&left), "the deadline is Lambda's: {left}");
        }
    }
}

#[tokio::test]
async fn another_stage_is_not_the_api() {
    let emulator = start(Options::default(), gate().router, 1).await;
    let response = reqwest::get(format!("http://{}/other/health", emulator.gateway)).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(emulator.invocations(), 0);
}

#[tokio::test]
async fn a_broken_body_is_a_cut_stream_without_foreign_text() {
    let gate = gate();
    let emulator = start(Options::default(), gate.router, 1).await;
    gate.send.send(Ok("data: 1\n\n".into())).unwrap();
    gate.send.send(Err(std::io::Error::other("inside"))).unwrap();
    let mut body = post_chat(&emulator).await.bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
    assert!(body.next().await.unwrap().is_err(), "the caller must not take it for a whole answer");
    // The host lives on.
    let text = reqwest::get(format!("{}/x", emulator.url())).await.unwrap().text().await.unwrap();
    assert!(text.starts_with("GET /x"), "{text}");
}

#[tokio::test]
async fn silence_and_the_end_of_time_cut_the_stream() {
    let short = Duration::from_millis(200);
    for options in
        [Options { idle: short, ..Options::default() }, Options { total: short, ..Options::default() }]
    {
        let gate = gate();
        let emulator = start(options, gate.router, 1).await;
        gate.send.send(Ok("data: 1\n\n".into())).unwrap();
        let mut body = post_chat(&emulator).await.bytes_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n");
        assert!(body.next().await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_function_that_does_not_answer_is_a_504_browsers_can_read() {
    let options = Options { total: Duration::from_millis(200), ..Options::default() };
    tls();
    let emulator = Emulator::start(options).await.unwrap();
    let response = post_chat(&emulator).await;
    assert_eq!(response.status(), 504);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn no_token_is_a_401_browsers_can_read() {
    let issuer = Issuer { issuer: "https://issuer".into(), jwks: "http://127.0.0.1:9/".into() };
    let emulator = start(Options { issuer: Some(issuer), ..Options::default() }, gate().router, 1).await;
    let response = post_chat(&emulator).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(emulator.invocations(), 0);
    let open = reqwest::get(format!("{}/health", emulator.url())).await.unwrap();
    assert_eq!(open.status(), 200);
}

#[tokio::test]
async fn one_process_answers_several_invocations_at_once() {
    let gate = gate();
    let emulator = start(Options::default(), gate.router, 2).await;
    let slow = post_chat(&emulator).await;
    let text = reqwest::get(format!("{}/x", emulator.url())).await.unwrap().text().await.unwrap();
    assert!(text.starts_with("GET /x"), "answered while the first stream is open: {text}");
    drop(slow);
}

#[tokio::test]
async fn a_failed_start_is_told() {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    lambda::report_init_error(&emulator.runtime.to_string(), "loquat.toml:3: no such model").await.unwrap();
    assert!(emulator.init_errors()[0].contains("no such model"));
}
