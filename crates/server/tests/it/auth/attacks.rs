//! What somebody tries who wants in: odd credentials, odd ids, odd addresses, odd bodies. None gets anything, none is an
//! error of the server.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::described::Described;
use super::*;

/// A whole answer to a request as it is written here, byte for byte.
async fn raw(served: &Served, request: &[u8]) -> String {
    let address = served.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "no answer to {:?}", String::from_utf8_lossy(request));
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

async fn serve_ann(more: &[(&str, &str)]) -> (Served, String) {
    let (ann, entry) = key("ann");
    let unlimited = [
        ("AUTH_TYPE", "ApiKey"),
        ("LOQUAT_API_KEYS", entry.as_str()),
        ("LOQUAT_REQUESTS_PER_MINUTE", "0"),
        ("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "0"),
    ];
    let settings: Vec<(&str, &str)> = unlimited.iter().chain(more).copied().collect();
    (serve(&settings, "say=\"hi\"").await, ann)
}

#[tokio::test]
async fn a_credential_is_read_in_one_way_only() {
    let (served, ann) = serve_ann(&[]).await;
    let ask = async |headers: &str| {
        let head = format!("GET /sessions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        status(&raw(&served, head.as_bytes()).await)
    };
    for good in [
        format!("authorization: Bearer {ann}\r\n"),
        format!("AUTHORIZATION: bearer {ann}\r\n"),
        format!("Authorization:BEARER   {ann}   \r\n"),
        format!("X-Api-Key: {ann}\r\n"),
    ] {
        assert_eq!(ask(&good).await, 200, "{good}");
    }
    for bad in [
        format!("authorization: {ann}\r\n"),
        format!("authorization: Bearer\t{ann}\r\n"),
        format!("authorization: Bearer{ann}\r\n"),
        format!("authorization: Bearer {ann},{ann}\r\n"),
        format!("authorization: Bearer {ann} {ann}\r\n"),
        format!("authorization: Bearer {ann}\u{0}\r\n"),
        format!("authorization: Bearer {ann}\u{a0}\r\n"),
        format!("authorization: Token {ann}\r\n"),
        format!("authorization: Bearer {ann}\r\nauthorization: Bearer {ann}\r\n"),
        format!("authorization: Bearer x\r\nauthorization: Bearer {ann}\r\n"),
        format!("authorization: Bearer {ann}\r\nx-api-key: {ann}\r\n"),
        format!("x-api-key: {ann}\r\nx-api-key: {ann}\r\n"),
        format!("cookie: authorization=Bearer {ann}; token={ann}\r\n"),
        format!("proxy-authorization: Bearer {ann}\r\n"),
        format!("x-forwarded-authorization: Bearer {ann}\r\n"),
        "x-user: ann\r\nx-forwarded-user: ann\r\nx-amzn-oidc-identity: ann\r\nremote-user: ann\r\n"
            .to_owned(),
        "x-amzn-request-context: {\"authorizer\":{\"claims\":{\"sub\":\"ann\"}}}\r\n".to_owned(),
    ] {
        let status = ask(&bad).await;
        assert!(matches!(status, 400 | 401), "{status}: {bad}");
    }
    let huge = format!("authorization: Bearer {}\r\n", "a".repeat(20_000));
    assert_eq!(ask(&huge).await, 401);
    let huge = format!("authorization: Bearer {}\r\n", "a".repeat(200_000));
    assert_eq!(ask(&huge).await, 431);
}

#[tokio::test]
async fn odd_methods_and_addresses_open_nothing() {
    let (served, ann) = serve_ann(&[]).await;
    let (session, _) = served.converse(&ann).await;
    let ask = async |method: &str, target: &str, more: &str| {
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
        raw(&served, head.as_bytes()).await
    };
    let own = format!("/sessions/{session}");
    for method in ["GET", "HEAD", "PATCH", "DELETE", "PUT", "POST", "TRACE", "PROPFIND", "get", "OPTIONS"] {
        let answer = ask(method, &own, "").await;
        assert!(matches!(status(&answer), 400 | 401 | 405), "{method}: {answer}");
        assert!(!answer.contains("hello"), "{method}: {answer}");
    }
    assert_eq!(status(&ask("HEAD", &own, "").await), 401);
    for header in ["x-http-method-override: DELETE", "x-method-override: DELETE", "x-original-url: /health"] {
        assert_eq!(status(&ask("GET", &own, &format!("{header}\r\n")).await), 401, "{header}");
    }
    for target in [
        format!("/{own}"),
        format!("{own}/"),
        format!("/./sessions/{session}"),
        format!("/health/..{own}"),
        format!("/health/%2e%2e{own}"),
        format!("/%73essions/{session}"),
        format!("/SESSIONS/{session}"),
        format!("{own};x=1"),
        format!("{own}%00"),
        format!("{own}/export/"),
        format!("http://localhost{own}"),
        format!("http://localhost/assets/..{own}"),
        "/assets/../../../../etc/passwd".to_owned(),
        "/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/c/..%2f..%2fetc/passwd".to_owned(),
    ] {
        let answer = ask("GET", &target, "").await;
        assert!(status(&answer) < 500 && !answer.contains("hello"), "{target}: {answer}");
        assert!(!answer.contains("root:x:"), "{target}: {answer}");
    }
    // A preflight is answered to everybody, and says nothing of what is there.
    let preflight = "origin: https://a.example\r\naccess-control-request-method: GET\r\n";
    let known = ask("OPTIONS", &own, preflight).await;
    let unknown = ask("OPTIONS", "/sessions/none", preflight).await;
    assert_eq!(status(&known), 204);
    let without_date = |answer: &str| -> Vec<String> {
        let same = |line: &&str| !line.starts_with("date:") && !line.starts_with("x-request-id:");
        answer.lines().filter(same).map(str::to_owned).collect()
    };
    assert_eq!(without_date(&known), without_date(&unknown));
    // And the conversation is still there.
    let read = served.request("GET", &own).bearer_auth(&ann).send().await.unwrap();
    assert_eq!(read.status(), 200);
}

#[tokio::test]
async fn an_odd_id_is_refused_wherever_it_stands() {
    let (served, ann) = serve_ann(&[]).await;
    let long = "a".repeat(257);
    let odd = [
        "",
        " ",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "a b",
        "a\n",
        "a\r\nx: y",
        "a\u{0}",
        "ä",
        "ａ",
        "а",
        "a\u{202e}b",
        "a\u{200b}",
        "💥",
        "%2e%2e",
        "a%00",
        "a?b",
        "a#b",
        "a*",
        "'; DROP TABLE sessions; --",
        "{{7*7}}",
        "$(id)",
        "_/..",
        "a.json",
        &long,
    ];
    for id in odd {
        for (field, code) in [("session_id", "invalid_session_id"), ("run_id", "invalid_run_id")] {
            let (answered, text) = served.chat(&ann, &json!({"message": "x", field: id})).await;
            assert_eq!(answered, 400, "{field} {id:?}: {text}");
            assert!(text.contains(code), "{field} {id:?}: {text}");
        }
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (method, path) in [
            ("GET", format!("/sessions/{encoded}")),
            ("DELETE", format!("/sessions/{encoded}")),
            ("GET", format!("/sessions/{encoded}/export")),
            ("GET", format!("/runs/{encoded}/events")),
            ("POST", format!("/runs/{encoded}/stop")),
            ("GET", format!("/usage?session_id={encoded}")),
            ("GET", format!("/api/chat/{encoded}/stream")),
        ] {
            // As it is written: clients' libraries take `%2E%2E` for a way up.
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-api-key: {ann}\r\n\r\n"
            );
            let answer = raw(&served, head.as_bytes()).await;
            // Nothing between two slashes is another address.
            let expected: &[u16] = if id.is_empty() { &[400, 404, 405] } else { &[400] };
            assert!(expected.contains(&status(&answer)), "{method} {path}: {answer}");
        }
    }
    assert!(served.mock.requests().is_empty(), "the model was not asked");
    let list = served.request("GET", "/sessions").bearer_auth(&ann).send().await.unwrap();
    assert_eq!(list.text().await.unwrap(), r#"{"sessions":[]}"#);
}

/// Every route that takes a body: nested deep, cut, not JSON, of another type, compressed, in pieces without a length.
#[tokio::test]
async fn no_body_is_an_error_of_the_server() {
    let (served, ann) = serve_ann(&[("LOQUAT_BODY_BYTES", "200000")]).await;
    let deep = format!("{{\"message\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let wide = format!("[{}0]", "0,".repeat(50_000));
    let numbers = r#"{"message":1e999999,"after":-0,"x":123456789012345678901234567890}"#.to_owned();
    let twice = r#"{"message":"a","message":"b","session_id":"a","session_id":"b"}"#.to_owned();
    let bodies: [Vec<u8>; 9] = [
        deep.into_bytes(),
        wide.into_bytes(),
        "{\"a\":".repeat(20_000).into_bytes(),
        numbers.into_bytes(),
        twice.into_bytes(),
        b"\xff\xfe{".to_vec(),
        b"{\"message\":\"\\ud800\"}".to_vec(),
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00".to_vec(),
        Vec::new(),
    ];
    let mut tried = 0;
    for route in Described::of(&served).await.routes() {
        if route.body.is_none() {
            continue;
        }
        let path = route.path.replace("{id}", "none");
        for (n, body) in bodies.iter().enumerate() {
            let request = served.request(&route.method, &path).bearer_auth(&ann);
            let request = request.header("content-type", "application/json");
            let answer = if n % 2 == 0 {
                request.body(body.clone())
            } else {
                let pieces: Vec<Result<_, std::io::Error>> =
                    body.chunks(1_000).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
                request.body(reqwest::Body::wrap_stream(futures_util::stream::iter(pieces)))
            };
            let status = answer.send().await.unwrap().status().as_u16();
            // The protocol of MCP tells some errors with 200.
            let refused = (400..500).contains(&status) || (status == 200 && path == "/mcp");
            assert!(refused, "{} {path} ({n}): {status}", route.method);
            tried += 1;
        }
        // Larger than it may be, announced or not.
        for announced in [true, false] {
            let large = vec![b' '; 200_001];
            let request = served.request(&route.method, &path).bearer_auth(&ann);
            let request = request.header("content-type", "application/json");
            let request = if announced {
                request.body(large)
            } else {
                let piece = Ok::<_, std::io::Error>(bytes::Bytes::from(large));
                request.body(reqwest::Body::wrap_stream(futures_util::stream::iter([piece])))
            };
            assert_eq!(request.send().await.unwrap().status(), 413, "{} {path}", route.method);
        }
    }
    assert!(tried > 90, "{tried}");
    assert!(served.mock.requests().is_empty(), "the model was not asked");
}

#[tokio::test]
async fn a_cursor_of_somebody_else_leads_to_ones_own() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &entries)], "say=\"hi\"").await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(served.converse(&ann).await.0);
    }
    let (bobs, _) = served.converse(&bob).await;
    let list = async |token: &str, query: &str| -> Value {
        let request = served.request("GET", &format!("/sessions{query}")).bearer_auth(token);
        request.send().await.unwrap().json().await.unwrap()
    };
    let page = list(&ann, "?limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for text in [list(&bob, &format!("?cursor={cursor}")).await, list(&bob, "?q=hello").await] {
        let text = text.to_string();
        assert!(!sessions.iter().any(|session| text.contains(session.as_str())), "{text}");
    }
    assert!(list(&bob, "").await.to_string().contains(&bobs));
}

/// An id is 1 to 256 characters, wherever it is kept: names of files are shorter on most disks.
#[tokio::test]
async fn an_id_may_be_as_long_as_is_said() {
    let (served, ann) = serve_ann(&[("LOQUAT_STORE", "sqlite")]).await;
    for length in [1, 200, 201, 249, 250, 255, 256] {
        let (session, run) = ("s".repeat(length), "r".repeat(length));
        let body = json!({"message": "hello", "session_id": session, "run_id": run, "events": "all"});
        let (answered, text) = served.chat(&ann, &body).await;
        assert!(answered.is_success() && text.contains("event: done"), "{length}: {text}");
        for (method, path) in [
            ("GET", format!("/runs/{run}/events")),
            ("POST", format!("/runs/{run}/stop")),
            ("GET", format!("/sessions/{session}")),
            ("GET", format!("/sessions/{session}/export")),
            ("GET", format!("/usage?run_id={run}")),
            ("DELETE", format!("/sessions/{session}")),
        ] {
            let answer = served.request(method, &path).bearer_auth(&ann).send().await.unwrap();
            assert!(answer.status().is_success(), "{length} {method} {path}: {}", answer.status());
        }
        let gone = served.request("GET", &format!("/runs/{run}/events")).bearer_auth(&ann);
        assert_eq!(gone.send().await.unwrap().status(), 404, "{length}");
        let unknown =
            served.request("GET", &format!("/runs/{}/events", "u".repeat(length))).bearer_auth(&ann);
        assert_eq!(unknown.send().await.unwrap().status(), 404, "{length}");
    }
}
