//! Streams in the shapes the real services send (`tests/fixtures/models`): the same scenario from each, so the same
//! events. Unlike the mock's, these frames are not made by code of ours.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::model::ModelEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Transcript, ask, config, model, once, renumbered, run};

/// Answers one request with a body, and closes.
async fn serve(content_type: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        loop {
            assert!(socket.read_buf(&mut request).await.unwrap() > 0);
            let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if rest.len() >= length.unwrap().parse::<usize>().unwrap() {
                break;
            }
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body).await.unwrap();
    });
    url
}

/// The frames of a recording that holds one event a line.
fn frames(recording: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in recording.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut message = Message::new(line["payload"].to_string());
        for (name, value) in [
            (":event-type", line["event"].as_str().unwrap()),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ] {
            message = message.add_header(Header::new(name, HeaderValue::String(value.to_owned().into())));
        }
        write_message_to(&message, &mut bytes).unwrap();
    }
    bytes
}

/// What every recording must become. `thinks` says whether it holds reasoning, `signed` whether with a signature;
/// `arguments` is the input of the call, whose blanks are the model's own.
struct Expected {
    thinks: bool,
    signed: bool,
    arguments: &'static str,
    cached: u64,
}

async fn check(id: &str, content_type: &'static str, body: Vec<u8>, expected: Expected) {
    let url = serve(content_type, body).await;
    let url = url.as_str();
    let config = if id.starts_with("ollama/") {
        loquat_server::models::ModelConfig { base_url: Some(url.to_owned()), ..config(id, url) }
    } else {
        config(id, url)
    };
    let events = run(&model(once(config)), ask("What is the weather in Zürich?")).await;
    let usage = Usage {
        input_tokens: 26,
        output_tokens: 21,
        cache_read_tokens: expected.cached,
        cache_write_tokens: 0,
    };
    let counted =
        events.iter().any(|event| matches!(event, Ok(ModelEvent::Usage { usage: got, .. }) if *got == usage));
    assert!(counted, "{id}: {events:?}");
    let got = Transcript::of(events);
    assert_eq!(got.failure, None, "{id}");
    let mut said = Vec::new();
    if expected.thinks {
        said.push(ModelEvent::Reasoning("They ask".into()));
    }
    if expected.signed {
        said.push(ModelEvent::ReasoningSignature("EqQBCgIYAhIM1gbcDa9GJwZA2b3h".into()));
    }
    said.extend([
        ModelEvent::Text("Let me look.".into()),
        ModelEvent::ToolStart { id: "0".into(), name: "get_weather".into() },
        ModelEvent::ToolInput { id: "0".into(), delta: expected.arguments.into() },
        ModelEvent::Stop(StopReason::ToolUse),
    ]);
    assert_eq!(renumbered(got.said), said, "{id}");
}

const TIGHT: &str = "{\"city\":\"Zürich\"}";
const LOOSE: &str = "{\"city\": \"Zürich\"}";

#[tokio::test]
async fn openai() {
    let body = include_bytes!("../../fixtures/models/openai.sse").to_vec();
    let expected = Expected { thinks: false, signed: false, arguments: TIGHT, cached: 64 };
    check("openai/gpt-x", "text/event-stream; charset=utf-8", body, expected).await;
}

#[tokio::test]
async fn vllm() {
    let body = include_bytes!("../../fixtures/models/vllm.sse").to_vec();
    let expected = Expected { thinks: true, signed: false, arguments: LOOSE, cached: 64 };
    check("openai/Qwen/Qwen3-8B", "text/event-stream; charset=utf-8", body, expected).await;
}

#[tokio::test]
async fn llama_cpp() {
    let body = include_bytes!("../../fixtures/models/llama_cpp.sse").to_vec();
    let expected = Expected { thinks: true, signed: false, arguments: TIGHT, cached: 0 };
    check("openai/qwen", "text/event-stream", body, expected).await;
}

#[tokio::test]
async fn ollama() {
    let body = include_bytes!("../../fixtures/models/ollama.sse").to_vec();
    let expected = Expected { thinks: true, signed: false, arguments: TIGHT, cached: 0 };
    check("ollama/qwen3:4b", "text/event-stream", body, expected).await;
}

#[tokio::test]
async fn anthropic() {
    let body = include_bytes!("../../fixtures/models/anthropic.sse").to_vec();
    let expected = Expected { thinks: true, signed: true, arguments: LOOSE, cached: 64 };
    check("anthropic/claude-x", "text/event-stream; charset=utf-8", body, expected).await;
}

#[tokio::test]
async fn bedrock() {
    let body = frames(include_str!("../../fixtures/models/bedrock.jsonl"));
    let expected = Expected { thinks: true, signed: true, arguments: LOOSE, cached: 64 };
    check("bedrock/eu.anthropic.claude-x", "application/vnd.amazon.eventstream", body, expected).await;
}
