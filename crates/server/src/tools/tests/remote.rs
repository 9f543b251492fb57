//! A server over HTTP that wants a token, says 503 now and then, and forgets sessions.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::tools::Toolbox;
use crate::tools::testing::{call, names, toolbox, until, words};

#[derive(Default)]
struct Server {
    base: String,
    /// How many tokens were given out; only the last one is good.
    tokens: u32,
    /// How many of the next calls are answered with 503.
    overloaded: u32,
    /// Whether the token endpoint takes the secret in the body only.
    body_only: bool,
    seen: Vec<HeaderMap>,
}

type Shared = Arc<Mutex<Server>>;

async fn token(State(server): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let mut server = server.lock();
    let in_body = body.contains("client_id=me") && body.contains("client_secret=hush%2Fhush");
    // base64 of "me:hush%2Fhush"
    let in_header = headers.get("authorization").is_some_and(|value| value == "Basic bWU6aHVzaCUyRmh1c2g=");
    if !body.contains("grant_type=client_credentials") || !(in_body || (in_header && !server.body_only)) {
        return (StatusCode::UNAUTHORIZED, "no").into_response();
    }
    server.tokens += 1;
    axum::Json(json!({"access_token": format!("token-{}", server.tokens), "token_type": "Bearer", "expires_in": 3600}))
        .into_response()
}

async fn mcp(State(server): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let message: Value = serde_json::from_str(&body).unwrap();
    let mut server = server.lock();
    let good = format!("Bearer token-{}", server.tokens);
    if headers.get("authorization").is_none_or(|value| *value != good) {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response();
    }
    server.seen.push(headers);
    let id = message["id"].clone();
    let result = match message["method"].as_str().unwrap() {
        "server/discover" => {
            let error = json!({"code": -32601, "message": "Method not found"});
            return axum::Json(json!({"jsonrpc": "2.0", "id": id, "error": error})).into_response();
        }
        "initialize" => json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "remote", "version": "1"},
        }),
        "tools/list" => json!({"tools": [{"name": "ping", "inputSchema": {"type": "object"}}]}),
        "tools/call" if server.overloaded > 0 => {
            server.overloaded -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response();
        }
        "tools/call" => json!({"content": [{"type": "text", "text": "pong"}]}),
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
}

async fn start(body_only: bool) -> Shared {
    let server = Shared::default();
    server.lock().body_only = body_only;
    let base = |server: &Shared| server.lock().base.clone();
    let resource = async move |State(server): State<Shared>| {
        axum::Json(json!({"resource": "x", "authorization_servers": [base(&server)]}))
    };
    let issuer = async move |State(server): State<Shared>| {
        axum::Json(json!({"token_endpoint": format!("{}/token", server.lock().base)}))
    };
    let router = Router::new()
        .route("/mcp", post(mcp))
        .route("/token", post(token))
        .route("/.well-known/oauth-protected-resource/mcp", get(resource))
        .route("/.well-known/oauth-authorization-server", get(issuer))
        .with_state(Arc::clone(&server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.lock().base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    server
}

fn connect(server: &Shared, more: &str) -> Toolbox {
    let base = server.lock().base.clone();
    toolbox(&format!(
        "connect_wait_ms = 20000\n[[mcp]]\nname = \"remote\"\nurl = \"{base}/mcp\"\nheaders = {{ x-team = \"blue\" }}\n{more}"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn client_credentials_are_discovered_kept_and_renewed() {
    for body_only in [false, true] {
        let server = start(body_only).await;
        let toolbox = connect(
            &server,
            "[mcp.oauth]\nclient_id = \"me\"\nclient_secret = \"hush/hush\"\nscope = \"tools\"",
        );
        assert_eq!(names(&toolbox).await, ["ping"], "{:?}", toolbox.status());
        assert_eq!(words(&call(&toolbox, "ping", json!({})).await), "pong");
        assert_eq!(server.lock().tokens, 1, "one token serves all requests");
        assert!(server.lock().seen.iter().all(|headers| headers["x-team"] == "blue"));
        // The server revokes it: a new one is fetched, nobody notices.
        server.lock().tokens += 1;
        assert_eq!(words(&call(&toolbox, "ping", json!({})).await), "pong");
        assert_eq!(server.lock().tokens, 3);
        toolbox.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_named_and_never_shown() {
    let server = start(false).await;
    let toolbox = connect(
        &server,
        "[mcp.oauth]\nclient_id = \"me\"\nclient_secret = \"wrong-secret\"\ntoken_url = \"http://127.0.0.1:9/\"",
    );
    let error = until("it is down", async || toolbox.status()[0].error.clone()).await;
    assert!(error.contains("OAuth") || error.contains("token endpoint"), "{error}");
    assert!(!format!("{:?}", toolbox.status()).contains("wrong-secret"));
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_503_costs_one_call() {
    let server = start(false).await;
    server.lock().tokens = 1;
    let toolbox = connect(&server, "bearer_token = \"token-1\"");
    assert_eq!(names(&toolbox).await, ["ping"], "{:?}", toolbox.status());
    server.lock().overloaded = 1;
    let output = call(&toolbox, "ping", json!({})).await;
    assert!(output.is_error && words(&output).contains("503"), "{output:?}");
    assert_eq!(names(&toolbox).await, ["ping"], "the tools stay");
    assert_eq!(words(&call(&toolbox, "ping", json!({})).await), "pong");
    toolbox.shutdown().await;
}
