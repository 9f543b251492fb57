//! The agent inside a program that knows its users itself and keeps the root for itself.

use std::future::IntoFuture as _;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use http::request::Parts;
use loquat_agent::scripted::{ScriptedModel, Step, says};
use loquat_server::auth::{AuthError, Authenticator, Principal};
use loquat_server::embed::EmbeddedAgent;
use serde_json::Value;
use tokio::sync::Semaphore;

/// Believes a header that the program's own layer has set.
struct House;

#[async_trait]
impl Authenticator for House {
    fn kind(&self) -> &'static str {
        "house"
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Principal, AuthError> {
        match parts.headers.get("x-house-user").and_then(|user| user.to_str().ok()) {
            Some(user) => Ok(Principal::user(user)),
            None => Err(AuthError::Unauthorized { reason: "no_user" }),
        }
    }
}

#[tokio::test]
async fn a_program_brings_its_users_and_keeps_its_root() {
    let model = ScriptedModel::new([says(&["Hello, Ada."])]);
    let agent = EmbeddedAgent::builder()
        .config("store = \"memory\"")
        .environment([("HOME".to_owned(), "/nonexistent".to_owned())])
        .model(model)
        .authenticator(Arc::new(House))
        .build()
        .unwrap();
    let app = Router::new().route("/", get(|| async { "ours" })).nest("/agent", agent.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |user: Option<&str>| {
        let request = http.post(format!("{url}/agent/chat")).header("content-type", "application/json");
        let request = match user {
            Some(user) => request.header("x-house-user", user),
            None => request,
        };
        request.body(r#"{"message": "hi", "session_id": "s"}"#).send()
    };
    assert_eq!(http.get(&url).send().await.unwrap().text().await.unwrap(), "ours");
    assert_eq!(ask(None).await.unwrap().status(), 401);
    let answer = ask(Some("ada")).await.unwrap().text().await.unwrap();
    assert!(answer.contains("Hello, Ada.") && answer.contains("event: done"), "{answer}");
    let seen_by = |user: &str| {
        let request = http.get(format!("{url}/agent/sessions/s")).header("x-house-user", user).send();
        async { request.await.unwrap().status().as_u16() }
    };
    assert_eq!((seen_by("ada").await, seen_by("grace").await), (200, 404));
    let config = http.get(format!("{url}/agent/config.json")).send().await.unwrap().bytes().await.unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["model"]["id"], &config["model"]["demo"]), (&"scripted".into(), &false.into()));
    serving.abort();
    agent.shutdown().await;
}

/// A reader of an answer holds a connection open, which axum waits for.
#[tokio::test]
async fn a_program_ends_although_an_answer_goes_on() {
    let endless = vec![says(&["word "])[0].clone(), Step::Gate(Arc::new(Semaphore::new(0)))];
    let agent = EmbeddedAgent::builder()
        .config("store = \"memory\"\ndrain_seconds = 0")
        .environment([("HOME".to_owned(), "/nonexistent".to_owned())])
        .model(ScriptedModel::new([endless]))
        .build()
        .unwrap();
    let app = agent.router();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopping = async move {
        let _ = stopped.await;
        agent.shutdown().await;
    };
    let serving = tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(stopping).into_future());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = http.post(format!("{url}/chat")).header("content-type", "application/json");
    let mut answer = ask.body(r#"{"message": "hi", "events": "all"}"#).send().await.unwrap();
    let mut told = String::new();
    while !told.contains("word ") {
        told += std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap();
    }
    stop.send(()).unwrap();
    told += &answer.text().await.unwrap();
    assert!(told.contains("event: continue") || told.contains("event: error"), "{told}");
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_wrong_setting_is_said_as_anywhere() {
    let error = EmbeddedAgent::builder()
        .config("max_stepps = 3")
        .environment([("HOME".to_owned(), "/nonexistent".to_owned())])
        .build()
        .err()
        .expect("an unknown key");
    assert!(error.to_string().contains("max_stepps"), "{error}");
}
