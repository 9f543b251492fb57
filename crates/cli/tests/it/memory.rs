//! What clients took of the memory comes back when they are gone. glibc alone would keep it.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{ModelServer, PATIENCE, Server};

/// Clients that never finish their request: below the 1 024 files that a process may have open as a rule.
const CLIENTS: usize = 800;
/// What each of them sends of its body.
const HALF_A_BODY: usize = 50_000;

#[tokio::test]
async fn memory_returns_when_slow_clients_are_gone() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    // What is set up once is not what is weighed.
    server.turn(&mut model, &json!({"message": "hi"}), &["hello"]).await;
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let before = server.resident_kib();
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(&address).unwrap();
        let head = "POST /chat HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                    content-length: 100000\r\n\r\n";
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&[b' '; HALF_A_BODY]).unwrap();
        held.push(client);
    }
    let deadline = Instant::now() + PATIENCE;
    let mut peak = before;
    while peak < before + (CLIENTS * HALF_A_BODY / 2 / 1_024) as u64 {
        assert!(Instant::now() < deadline, "clients take nothing: {before} KiB, then {peak} KiB");
        tokio::time::sleep(Duration::from_millis(20)).await;
        peak = peak.max(server.resident_kib());
    }
    drop(held);
    let wanted = before + (peak - before) / 2;
    loop {
        let now = server.resident_kib();
        if now <= wanted {
            break;
        }
        assert!(Instant::now() < deadline, "{before} KiB before, {peak} KiB at most, {now} KiB kept");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
