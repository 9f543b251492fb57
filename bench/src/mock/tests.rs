//! The mock through its socket.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

async fn post(mock: &MockServer, path: &str, body: &serde_json::Value) -> TcpStream {
    let mut socket = TcpStream::connect(mock.addr).await.unwrap();
    let body = body.to_string();
    let request = format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// Reads until the text arrived.
async fn until(socket: &mut TcpStream, text: &str) -> String {
    let mut bytes = Vec::new();
    loop {
        let read = socket.read_buf(&mut bytes).await.unwrap();
        let seen = String::from_utf8_lossy(&bytes);
        if seen.contains(text) {
            return seen.into_owned();
        }
        assert!(read > 0, "{text:?} did not come: {seen}");
    }
}

fn chat(message: &str) -> serde_json::Value {
    json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": message}]})
}

#[tokio::test]
async fn streams_and_counts() {
    let mock = MockServer::start(Scenario::words("tokens=2")).await.unwrap();
    let mut socket = post(&mock, "/v1/chat/completions", &chat("Hello")).await;
    let text = until(&mut socket, "0\r\n\r\n").await;
    assert!(text.contains("\"content\":\"a\"") && text.contains("\"content\":\" loquat\""), "{text}");
    assert!(text.contains("data: [DONE]\n\n"), "{text}");
    // The same connection again.
    let body = chat("say=\"own words\"").to_string();
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.unwrap();
    assert!(until(&mut socket, "0\r\n\r\n").await.contains("\"content\":\"own \""));
    let stats = mock.stats();
    assert_eq!((stats.connections, stats.requests, stats.finished, stats.open_streams), (1, 2, 2, 0));
    assert_eq!(mock.requests()[1].body["messages"][0]["content"], "say=\"own words\"");
}

#[tokio::test]
async fn notices_a_client_that_left() {
    let mock = MockServer::start(Scenario::words("tokens=20000 delay=1ms")).await.unwrap();
    let mut socket = post(&mock, "/v1/chat/completions", &chat("Hello")).await;
    until(&mut socket, "loquat").await;
    assert_eq!(mock.stats().open_streams, 1);
    drop(socket);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while mock.stats().open_streams > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the stream is still open");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let stats = mock.stats();
    assert_eq!((stats.client_left, stats.finished), (1, 0));
    assert!(stats.bytes_after_client_left < 1000, "{stats:?}");
}

#[tokio::test]
async fn fails_as_often_as_told() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    for expected in ["HTTP/1.1 503", "HTTP/1.1 503", "HTTP/1.1 200"] {
        let mut socket = post(&mock, "/v1/chat/completions", &chat("error=503 times=2")).await;
        assert!(until(&mut socket, "\r\n\r\n").await.starts_with(expected));
    }
}

#[tokio::test]
async fn refuses_in_the_words_of_the_provider() {
    let mock = MockServer::start_with_key(Scenario::default(), Some("k".into())).await.unwrap();
    let mut socket = post(&mock, "/v1/messages", &chat("x")).await;
    assert!(until(&mut socket, "}").await.contains("authentication_error"));
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let mut socket = post(&mock, "/model/a%3Ab%2Fc/converse-stream", &json!({"messages": []})).await;
    assert!(until(&mut socket, "}").await.contains("x-amzn-errortype: ValidationException"));
    assert_eq!((mock.requests()[0].model.as_str(), mock.stats().refused), ("a:b/c", 1));
}
