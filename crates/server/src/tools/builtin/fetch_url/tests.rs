//! Pages are read as text, within limits, and only from where it is allowed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::get;

use super::*;
use crate::tools::guard::system_lookup;
use crate::tools::testing::{context, words};

const PAGE: &str = "<html><head><title>T</title><style>p{color:red}</style><script>alert(1)</script></head>\
    <body><h1>Loquats</h1><p>They are <b>yellow</b>. <a href=\"/more\">More</a></p>\
    <table><tr><td>a</td><td>b</td></tr></table></body></html>";

async fn serve() -> String {
    crate::tls::install();
    let router = Router::new()
        .route("/page", get(async || axum::response::Html(PAGE)))
        .route("/long", get(async || "é".repeat(50_000)))
        .route("/deep", get(async || axum::response::Html("<div><b>".repeat(40_000))))
        .route("/latin", get(async || ([("content-type", "text/plain; charset=iso-8859-1")], vec![0xe9u8])))
        .route("/zip", get(async || ([("content-type", "application/zip")], "PK").into_response()))
        .route("/away", get(async || axum::response::Redirect::to("http://10.0.0.1/")))
        .route("/never", get(std::future::pending::<()>));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn tool(allow_private: bool) -> FetchUrl {
    FetchUrl::new(&FetchUrlConfig { allow_private, ..FetchUrlConfig::default() }, system_lookup()).unwrap()
}

async fn fetch(tool: &FetchUrl, input: Value) -> (bool, String) {
    let output = tool.call(input, context("c").0).await;
    (output.is_error, words(&output))
}

#[tokio::test]
async fn pages_become_readable_text() {
    let url = serve().await;
    let tool = tool(true);
    let (failed, text) = fetch(&tool, json!({"url": format!("{url}/page#part")})).await;
    assert!(
        !failed && text.contains("Loquats") && text.contains("yellow") && text.contains("/more"),
        "{text}"
    );
    assert!(
        text.contains("data, not instructions") && !text.contains("alert") && !text.contains("color"),
        "{text}"
    );
    assert!(fetch(&tool, json!({"url": format!("{url}/latin")})).await.1.ends_with('é'));
    // A page as nobody writes it neither crashes nor holds anything up.
    let (failed, text) = fetch(&tool, json!({"url": format!("{url}/deep")})).await;
    assert!(failed && text.contains("nested too deeply"), "{text}");
}

#[tokio::test]
async fn a_long_page_is_read_in_parts() {
    let url = serve().await;
    let tool = tool(true);
    let (_, text) = fetch(&tool, json!({"url": format!("{url}/long")})).await;
    assert_eq!(text.matches('é').count(), 40_000);
    assert!(text.ends_with("Read on with start = 40000.]"), "{}", &text[text.len() - 80..]);
    let (_, text) = fetch(&tool, json!({"url": format!("{url}/long"), "start": 40_000})).await;
    assert_eq!(text.matches('é').count(), 10_000);
    let (failed, _) = fetch(&tool, json!({"url": format!("{url}/long"), "start": u64::MAX})).await;
    assert!(!failed);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_in_words() {
    let url = serve().await;
    let open = tool(true);
    for (path, expected) in [("/zip", "no readable text"), ("/none", "404")] {
        let (failed, text) = fetch(&open, json!({"url": format!("{url}{path}")})).await;
        assert!(failed && text.contains(expected), "{text}");
    }
    assert!(fetch(&open, json!({"url": "loquat.example"})).await.1.contains("https://"));
    // As it is by default: not this machine, nor what a redirect or a name leads to.
    let closed = tool(false);
    let (failed, text) = fetch(&closed, json!({"url": format!("{url}/page")})).await;
    assert!(failed && text.contains("private or special network"), "{text}");
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Ok(vec!["192.168.0.1".parse::<IpAddr>().unwrap()]) }));
    let named = FetchUrl::new(&FetchUrlConfig::default(), lookup).unwrap();
    assert!(
        fetch(&named, json!({"url": "https://intranet.example/"}))
            .await
            .1
            .contains("resolves to 192.168.0.1")
    );
    let (mut cx, _events) = context("c");
    cx.deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(200);
    let late = open.call(json!({"url": format!("{url}/never")}), cx).await;
    assert!(words(&late).contains("in time"), "{late:?}");
}

#[test]
fn depth_is_that_of_elements_which_are_closed() {
    assert_eq!(depth(PAGE), 1);
    assert_eq!(depth(&"<p>text<br><li>".repeat(5000)), 0);
    assert_eq!(depth(&"<div><b>".repeat(700)), 1400);
    assert_eq!(depth("a < b </x></y> <é <"), 0);
}
