//! Which pages, names and origins are let in, and what browsers are told.

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::Html;
use axum::routing::{get, post};
use tower::ServiceExt as _;

use super::*;

fn app(config: &WebConfig, exposure: Exposure) -> Router {
    let connect = ["https://cognito-idp.eu-west-1.amazonaws.com/".to_owned()];
    let security = Arc::new(Security::new(config, exposure, &connect).unwrap());
    Router::new()
        .route("/", get(|| async { Html("<p>") }))
        .route("/chat", post(|| async { "data" }))
        .route("/sessions", get(|| async { axum::Json(1) }))
        .route("/broken", get(|| async { Problem::bad("invalid_field", "x") }))
        .layer(from_fn_with_state(security, layer))
}

async fn send(app: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status(), response.headers().clone())
}

fn allowed(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_name_that_was_pointed_at_this_machine_is_not_its_name() {
    let config = WebConfig { allowed_hosts: vec!["chat.example".into()], ..WebConfig::default() };
    let app = app(&config, Exposure::Loopback);
    for host in [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:8080",
        "127.1.2.3",
        "[::1]:8080",
        "[::1]",
        "a.localhost:1",
        "chat.example",
        "chat.example:443",
        "localhost.",
    ] {
        assert_eq!(send(&app, "GET", "/sessions", &[("host", host)]).await.0, StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8080",
        "chat.example.evil.example",
        "xlocalhost",
        "localhost:80@evil.example",
        "[::1]evil",
        "10.0.0.1",
        "",
    ] {
        let (status, headers) = send(&app, "GET", "/sessions", &[("host", host)]).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{host}");
        assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
    }
    assert_eq!(send(&app, "GET", "/sessions", &[]).await.0, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn on_loopback_the_name_is_checked_whoever_signs_in() {
    let none = WebConfig::default();
    let local = app(&none, Exposure::SignInOnLoopback);
    for (host, status) in [("localhost:8080", 200), ("127.0.0.1", 200), ("evil.example", 421)] {
        // A page of another site may ask as anywhere: it has nobody's credential.
        for headers in [&[("host", host)][..], &[("host", host), ("origin", "https://a.example")]] {
            assert_eq!(send(&local, "GET", "/sessions", headers).await.0.as_u16(), status, "{headers:?}");
        }
    }
    let chat = [("host", "localhost"), ("origin", "https://a.example")];
    assert_eq!(allowed(&send(&local, "POST", "/chat", &chat).await.1), Some("*"));
    // Two names are none, whichever of them is known.
    let twice = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(send(&local, "GET", "/sessions", &twice).await.0, StatusCode::MISDIRECTED_REQUEST);
    // Where other machines call, they may know it by any name, unless its names are listed.
    let far = app(&none, Exposure::SignIn);
    assert_eq!(send(&far, "GET", "/sessions", &[("host", "any.example")]).await.0, StatusCode::OK);
    let listed = WebConfig { allowed_hosts: vec!["chat.example".into()], ..none };
    let far = app(&listed, Exposure::SignIn);
    assert_eq!(send(&far, "GET", "/sessions", &[("host", "chat.example")]).await.0, StatusCode::OK);
    assert_eq!(send(&far, "GET", "/sessions", &[("host", "any.example")]).await.0.as_u16(), 421);
}

#[tokio::test]
async fn on_loopback_only_pages_of_this_machine_ask() {
    let config =
        WebConfig { cors_origins: Some(vec!["https://tool.example".into()]), ..WebConfig::default() };
    let app = app(&config, Exposure::Loopback);
    for origin in ["http://localhost:5173", "http://127.0.0.1:8080", "https://tool.example"] {
        let (status, headers) =
            send(&app, "POST", "/chat", &[("host", "localhost"), ("origin", origin)]).await;
        assert_eq!((status, allowed(&headers)), (StatusCode::OK, Some(origin)));
    }
    for origin in
        ["https://evil.example", "null", "http://localhost.evil.example", "https://tool.example.evil.example"]
    {
        let (status, headers) =
            send(&app, "POST", "/chat", &[("host", "localhost"), ("origin", origin)]).await;
        // Refused, in words that the author of that page can read.
        assert_eq!((status, allowed(&headers)), (StatusCode::FORBIDDEN, Some("*")), "{origin}");
    }
    assert_eq!(send(&app, "POST", "/chat", &[("host", "localhost")]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn by_default_every_page_may_post_to_chat_as_in_the_reference() {
    let none = WebConfig::default();
    let evil = [("origin", "https://a.example"), ("host", "api.example")];
    for (exposure, chat, sessions) in
        [(Exposure::SignIn, Some("*"), Some("*")), (Exposure::Open, Some("*"), None)]
    {
        let app = app(&none, exposure);
        assert_eq!(allowed(&send(&app, "POST", "/chat", &evil).await.1), chat);
        assert_eq!(allowed(&send(&app, "GET", "/sessions", &evil).await.1), sessions);
    }
    let listed = WebConfig { cors_origins: Some(vec!["https://a.example/".into()]), ..none };
    let app = app(&listed, Exposure::SignIn);
    assert_eq!(allowed(&send(&app, "POST", "/chat", &evil).await.1), Some("https://a.example"));
    assert_eq!(allowed(&send(&app, "POST", "/chat", &[("origin", "https://b.example")]).await.1), None);
}

#[tokio::test]
async fn a_preflight_is_answered_and_credentials_are_never_allowed() {
    let app = app(&WebConfig::default(), Exposure::SignIn);
    let ask = [("origin", "https://a.example"), ("access-control-request-method", "DELETE")];
    let (status, headers) = send(&app, "OPTIONS", "/sessions/x", &ask).await;
    assert_eq!((status, allowed(&headers)), (StatusCode::NO_CONTENT, Some("*")));
    assert!(headers[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains("DELETE"));
    assert!(headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("authorization"));
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
}

#[tokio::test]
async fn who_came_by_tls_is_told_to_stay_there() {
    let app = app(&WebConfig::default(), Exposure::SignIn);
    let yes = Some("max-age=31536000");
    for (scheme, told) in
        [("https", yes), ("HTTPS", yes), ("https, http", yes), ("http", None), ("http, https", None)]
    {
        let (_, headers) = send(&app, "GET", "/sessions", &[("x-forwarded-proto", scheme)]).await;
        let said = headers.get(header::STRICT_TRANSPORT_SECURITY).map(|value| value.to_str().unwrap());
        assert_eq!(said, told, "{scheme}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers_and_none_twice() {
    let app = app(&WebConfig { hsts: true, ..WebConfig::default() }, Exposure::SignIn);
    for (path, status) in
        [("/", 200), ("/sessions", 200), ("/broken", 400), ("/nowhere", 404), ("/chat", 405)]
    {
        let (got, headers) = send(&app, "GET", path, &[("origin", "https://a.example")]).await;
        assert_eq!(got.as_u16(), status);
        assert_eq!(allowed(&headers), Some("*"), "{path}");
        for name in [
            "x-content-type-options",
            "content-security-policy",
            "referrer-policy",
            "strict-transport-security",
            "vary",
        ] {
            assert_eq!(headers.get_all(name).iter().count(), 1, "{path} {name}");
        }
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!(policy.contains("script-src 'self';"), path == "/", "{path}");
        assert_eq!(policy.contains("https://cognito-idp.eu-west-1.amazonaws.com"), path == "/");
        assert!(!headers.contains_key(header::SET_COOKIE));
    }
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    for (config, key) in [
        (
            WebConfig { cors_origins: Some(vec!["chat.example".into()]), ..WebConfig::default() },
            "cors_origins",
        ),
        (
            WebConfig { cors_origins: Some(vec!["https://a.example/path".into()]), ..WebConfig::default() },
            "cors_origins",
        ),
        (
            WebConfig { allowed_hosts: vec!["https://chat.example".into()], ..WebConfig::default() },
            "allowed_hosts",
        ),
    ] {
        assert_eq!(Security::new(&config, Exposure::Open, &[]).unwrap_err().key, key);
    }
}
