//! Clients that are slow, silent or many.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

const LIMITS: ConnectionLimits = ConnectionLimits {
    idle: Duration::from_millis(200),
    write: Duration::from_millis(200),
    header_bytes: 8_192,
    connections: 4,
    linger: Duration::from_secs(2),
    farewell: Duration::from_secs(2),
};

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    dropped: Arc<AtomicUsize>,
}

/// Counts when it is dropped: with the body of an answer.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = dropped.clone();
    let router = Router::new()
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        )
        .route("/echo", post(|body: String| async { body }))
        .route("/refused", post(|| async { http::StatusCode::PAYLOAD_TOO_LARGE }))
        .route(
            "/endless",
            get(move || {
                let guard = Dropped(counted.clone());
                let chunks = stream::repeat(bytes::Bytes::from(vec![b'x'; 65_536])).map(move |chunk| {
                    let _ = &guard;
                    Ok::<_, std::convert::Infallible>(chunk)
                });
                async { Body::from_stream(chunks) }
            }),
        );
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        serve(listener, router, LIMITS, async {
            let _ = stopped.await;
        })
        .await;
    });
    Server { address, stop, task, dropped }
}

/// All that the server sends until it closes.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read(&mut stream).await
}

#[tokio::test]
async fn whoever_does_not_finish_their_headers_is_dropped() {
    let server = server().await;
    for opening in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: a\r\nx-"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(opening.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), read(&mut stream)).await;
        assert!(ended.is_ok(), "{opening:?} held its connection");
    }
    let answer = ask(server.address, "GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn whoever_does_not_read_is_dropped() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while server.dropped.load(Ordering::SeqCst) == 0 {
        assert!(std::time::Instant::now() < deadline, "a stalled answer is still held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn over_the_limit_the_answer_is_503_at_once() {
    let server = server().await;
    let mut held = Vec::new();
    for _ in 0..LIMITS.connections {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        held.push(stream);
    }
    // A client that sends before it reads reads the answer all the same.
    let mut late = TcpStream::connect(server.address).await.unwrap();
    late.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n").await.unwrap();
    late.write_all(&[b'x'; 100_000]).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), read(&mut late)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    for header in ["retry-after: 2", "access-control-allow-origin: *", "x-content-type-options: nosniff"] {
        assert!(head.contains(header), "{head}");
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["code"], "overloaded");
}

#[tokio::test]
async fn headers_have_a_size() {
    let server = server().await;
    for times in [2, 100] {
        let large = "x".repeat(LIMITS.header_bytes * times);
        let request = format!("GET /peer HTTP/1.1\r\nhost: a\r\nx-large: {large}\r\n\r\n");
        let answer = ask(server.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{times}: {answer}");
    }
    let many = "a: b\r\n".repeat(200);
    let answer = ask(server.address, &format!("GET /peer HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// What is refused at its first bytes is told so, however much the client sends before it reads.
#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_arrives() {
    let server = server().await;
    for size in [100_000, 8_000_000_usize] {
        for framing in [format!("content-length: {size}"), "transfer-encoding: chunked".to_owned()] {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let head = format!("POST /refused HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            if framing.ends_with("chunked") {
                stream.write_all(format!("{size:x}\r\n").as_bytes()).await.unwrap();
            }
            stream.write_all(&vec![b'x'; size]).await.unwrap();
            let mut answer = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
            assert!(read.unwrap().is_ok(), "{size} {framing}: the connection was reset");
            assert!(answer.starts_with(b"HTTP/1.1 413 "), "{size} {framing}");
        }
    }
    // Nobody is waited for who sends for ever.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /refused HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    while stream.write_all(&[b'x'; 1_000]).await.is_ok() {
        assert!(began.elapsed() < LIMITS.linger * 5, "it is read for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= LINGER, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_request_that_is_under_way_at_shutdown_is_answered() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
    // The request is being handled once a second connection, opened later, was answered.
    ask(server.address, "GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    server.stop.send(()).unwrap();
    stream.write_all(b"lo").await.unwrap();
    assert!(read(&mut stream).await.ends_with("hello"));
    tokio::time::timeout(Duration::from_secs(5), server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_without_an_end_does_not_keep_the_server() {
    let server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut scrap = vec![0; 65_536];
    assert!(stream.read(&mut scrap).await.unwrap() > 0);
    server.stop.send(()).unwrap();
    let reading = async { while stream.read(&mut scrap).await.is_ok_and(|n| n > 0) {} };
    tokio::select! {
        () = reading => panic!("it was cut before the server gave up"),
        ended = tokio::time::timeout(LIMITS.farewell * 5, server.task) => ended.unwrap().unwrap(),
    }
}
