//! Streams as the servers write them, and requests as they want them.

use bytes::Bytes;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::message::{
    Content, Image, Message, Reasoning, ReasoningText, Role, Source, ToolContent, ToolResult, ToolStatus,
    ToolUse,
};
use loquat_agent::model::{OutputForm, OutputSchema, ToolChoice};
use loquat_agent::tool::ToolSpec;
use serde_json::json;

use super::*;
use crate::models::http::events;

/// Reads a stream whose `data:` lines are given.
async fn read(lines: &[&str]) -> Vec<Result<ModelEvent, ModelError>> {
    let text: String = lines.iter().map(|line| format!("data: {line}\n\n")).collect();
    read_bytes(&text).await
}

async fn read_bytes(text: &str) -> Vec<Result<ModelEvent, ModelError>> {
    let body = futures_util::stream::iter([Ok(Bytes::copy_from_slice(text.as_bytes()))]).boxed();
    let decoder = decode::Decoder::new("Test".into(), Arc::default());
    events(body, decoder, Timeouts::default()).collect().await
}

async fn check(lines: &[&str], expected: Vec<ModelEvent>) {
    let got: Vec<ModelEvent> = read(lines).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(got, expected);
}

async fn check_error(lines: &[&str], kind: ModelErrorKind, message: &str) {
    let got = read(lines).await;
    let error = got.last().unwrap().as_ref().unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (kind, message));
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::Text(text.into())
}

fn start(id: &str, name: &str) -> ModelEvent {
    ModelEvent::ToolStart { id: id.into(), name: name.into() }
}

fn input(id: &str, delta: &str) -> ModelEvent {
    ModelEvent::ToolInput { id: id.into(), delta: delta.into() }
}

fn usage(input: u64, output: u64, cached: u64) -> ModelEvent {
    let usage = Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: cached,
        cache_write_tokens: 0,
    };
    ModelEvent::Usage { usage, model: None }
}

#[tokio::test]
async fn reads_text_and_usage() {
    for last in [
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        r#"{"choices":null,"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}"#,
        r#"{"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_cache_hit_tokens":4,"prompt_tokens_details":null}}"#,
    ] {
        let lines = [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"Hé"},"logprobs":null,"finish_reason":null}],"obfuscation":"x"}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"llo\n"},"finish_reason":""}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            last,
            "[DONE]",
        ];
        check(&lines, vec![text("Hé"), text("llo\n"), usage(6, 2, 4), ModelEvent::Stop(StopReason::EndTurn)])
            .await;
    }
}

#[tokio::test]
async fn a_finished_answer_needs_no_done() {
    let lines = [r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"length"}]}"#];
    check(&lines, vec![text("Hi"), ModelEvent::Stop(StopReason::MaxTokens)]).await;
}

#[tokio::test]
async fn reads_reasoning_of_every_server() {
    for piece in [
        r#"{"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"hm","content":""}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}"#,
    ] {
        let lines = [piece, r#"{"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#, "[DONE]"];
        let expected =
            vec![ModelEvent::Reasoning("hm".into()), text("Hi"), ModelEvent::Stop(StopReason::EndTurn)];
        check(&lines, expected).await;
    }
}

#[tokio::test]
async fn reads_parallel_tool_calls() {
    let lines = [
        r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"add","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"now"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":"1}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
        "[DONE]",
    ];
    let expected = vec![
        start("a", "add"),
        input("a", "{\"x\":"),
        start("b", "now"),
        input("a", "1}"),
        ModelEvent::Stop(StopReason::ToolUse),
    ];
    check(&lines, expected).await;
}

/// Calls without index, all with index 0, in one piece, with an object as input, and with "stop" as the reason.
#[tokio::test]
async fn reads_tool_calls_of_careless_servers() {
    let done = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    let two = |first: &str, second: &str| {
        format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{first},{second}]}}}}]}}"#)
    };
    for line in [
        two(
            r#"{"id":"a","function":{"name":"add","arguments":"{}"}}"#,
            r#"{"id":"b","function":{"name":"add","arguments":"{}"}}"#,
        ),
        two(
            r#"{"index":0,"id":"a","function":{"name":"add","arguments":"{}"}}"#,
            r#"{"index":0,"id":"b","function":{"name":"add","arguments":{}}}"#,
        ),
    ] {
        let expected = vec![
            start("a", "add"),
            input("a", "{}"),
            start("b", "add"),
            input("b", "{}"),
            ModelEvent::Stop(StopReason::ToolUse),
        ];
        check(&[&line, done, "[DONE]"], expected).await;
    }

    let nameless =
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]}}]}"#;
    let name =
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"add","arguments":"}"}}]}}]}"#;
    let expected = vec![start("a", "add"), input("a", "{}"), ModelEvent::Stop(StopReason::ToolUse)];
    check(&[nameless, name, done, "[DONE]"], expected).await;
    check(&[nameless, done, "[DONE]"], vec![ModelEvent::Stop(StopReason::MalformedToolUse)]).await;

    // No id at all: one is made, and the same one is used throughout.
    let got = read(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"add","arguments":"{"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"}"}}]}}]}"#,
        done,
    ])
    .await;
    let Ok(ModelEvent::ToolStart { id, .. }) = &got[0] else { panic!("{got:?}") };
    assert!(id.starts_with("call_"), "{id}");
    assert_eq!(got[1].as_ref().unwrap(), &input(id, "{"));
    assert_eq!(got[2].as_ref().unwrap(), &input(id, "}"));
}

#[tokio::test]
async fn maps_every_finish_reason() {
    for (reason, expected) in [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::ContentFiltered),
        ("tool_calls", StopReason::MalformedToolUse),
        ("model_length", StopReason::ModelContextWindowExceeded),
        ("something_new", StopReason::EndTurn),
    ] {
        let line = format!(r#"{{"choices":[{{"delta":{{"content":"a"}},"finish_reason":"{reason}"}}]}}"#);
        check(&[&line, "[DONE]"], vec![text("a"), ModelEvent::Stop(expected)]).await;
    }
    let refusal = r#"{"choices":[{"delta":{"refusal":"No."},"finish_reason":"stop"}]}"#;
    check(&[refusal, "[DONE]"], vec![text("No."), ModelEvent::Stop(StopReason::ContentFiltered)]).await;
    let error = r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#;
    check_error(&[error], ModelErrorKind::Unavailable, "Test gave up in the middle of its answer (error)")
        .await;
}

#[tokio::test]
async fn an_answer_without_its_end_is_a_failure() {
    let piece = r#"{"choices":[{"delta":{"content":"Hi"}}]}"#;
    let cut = "Test ended its answer before it was complete";
    check_error(&[piece], ModelErrorKind::Truncated, cut).await;
    check_error(&[], ModelErrorKind::Truncated, cut).await;
    let done = "Test ended its answer without a finish reason";
    check_error(&[piece, "[DONE]"], ModelErrorKind::Truncated, done).await;
    let html = "Test sent a piece that is not a chat completion chunk";
    check_error(&[piece, "<html>"], ModelErrorKind::Protocol, html).await;
}

#[tokio::test]
async fn reads_errors_inside_the_stream() {
    let suffix = "is not available (in the middle of its answer): boom: try again later";
    for line in [
        r#"{"error":{"message":"boom","type":"server_error","code":null}}"#,
        r#"{"error":{"message":"boom","code":502}}"#,
        r#"{"error":"boom"}"#,
        r#"{"object":"error","message":"boom","type":"InternalServerError","code":500}"#,
        r#"{"message":"boom"}"#,
    ] {
        check_error(&[line], ModelErrorKind::Unavailable, &format!("Test {suffix}")).await;
    }
    for (line, kind) in [
        (r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#, ModelErrorKind::Throttled),
        (r#"{"error":{"message":"slow down","code":429}}"#, ModelErrorKind::Throttled),
        (r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#, ModelErrorKind::ContextTooLong),
        (r#"{"error":{"message":"x","type":"invalid_request_error"}}"#, ModelErrorKind::BadRequest),
    ] {
        assert_eq!(read(&[line]).await.pop().unwrap().unwrap_err().kind, kind, "{line}");
    }
    let got = read_bytes("event: error\ndata: overloaded\n\n").await;
    assert_eq!(got[0].as_ref().unwrap_err().kind, ModelErrorKind::Unavailable);
}

#[test]
fn maps_every_status() {
    let secret = Secret::new("sk-1");
    let words = Words { provider: "OpenAI", model: "m", key: Some("OPENAI_API_KEY"), secret: Some(&secret) };
    for (status, body, kind) in [
        (
            400,
            r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#,
            ModelErrorKind::ContextTooLong,
        ),
        (
            400,
            r#"{"error":{"type":"exceed_context_size_error","message":"x","code":400}}"#,
            ModelErrorKind::ContextTooLong,
        ),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 4"}"#,
            ModelErrorKind::ContextTooLong,
        ),
        (400, r#"{"error":{"message":"bad"}}"#, ModelErrorKind::BadRequest),
        (401, "{}", ModelErrorKind::Auth),
        (403, "nonsense", ModelErrorKind::Auth),
        (404, r#"{"error":"model 'm' not found"}"#, ModelErrorKind::NotFound),
        (408, "", ModelErrorKind::Timeout),
        (422, r#"{"detail":"bad"}"#, ModelErrorKind::BadRequest),
        (429, "", ModelErrorKind::Throttled),
        (429, r#"{"error":{"code":"insufficient_quota","message":"x"}}"#, ModelErrorKind::Auth),
        (500, "", ModelErrorKind::Unavailable),
        (502, "", ModelErrorKind::Unavailable),
        (503, "", ModelErrorKind::Unavailable),
        (504, "", ModelErrorKind::Unavailable),
        (529, "", ModelErrorKind::Unavailable),
        (302, "", ModelErrorKind::BadRequest),
    ] {
        let error = error::refused(&words, status, body.as_bytes());
        assert_eq!(error.kind, kind, "{status} {body}: {error}");
    }
}

fn dialect() -> request::Dialect {
    request::Dialect { openai: false, echo_reasoning: false }
}

#[test]
fn writes_a_conversation() {
    let image =
        Image { format: "png".into(), source: Source::Bytes(loquat_agent::message::Bytes(vec![0, 1])) };
    let call = ToolUse { tool_use_id: "t1".into(), name: "add".into(), input: json!({"a": 1}) };
    let thought = Reasoning {
        reasoning_text: Some(ReasoningText { text: "hm".into(), signature: None }),
        redacted_content: None,
    };
    let result = ToolResult {
        tool_use_id: "t1".into(),
        content: vec![ToolContent::Json(json!({"n": 2})), ToolContent::Image(image.clone())],
        status: ToolStatus::Success,
    };
    let request = ModelRequest {
        system: Some("Be kind.".into()),
        messages: vec![
            Message::new(Role::User, vec![Content::Text("Look".into()), Content::Image(image)]),
            Message::new(Role::Assistant, vec![Content::Reasoning(thought), Content::ToolUse(call)]),
            Message::new(Role::User, vec![Content::ToolResult(result)]),
        ],
        tools: Arc::from([ToolSpec::new("add", "Adds", json!({"type": "object"}))]),
        ..ModelRequest::default()
    };
    let params = Params {
        temperature: Some(0.2),
        max_output_tokens: Some(9),
        stop_sequences: vec!["END".into()],
        reasoning_effort: Some("low".into()),
        ..Params::default()
    };
    let extra = json!({"top_k": 40, "stream_options": null}).as_object().cloned().unwrap();
    let picture = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAE="}});
    let expected = json!({
        "model": "m", "stream": true, "temperature": 0.2, "max_tokens": 9, "stop": ["END"], "top_k": 40,
        "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "add", "description": "Adds", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, picture]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1}"}}]},
            {"role": "tool", "tool_call_id": "t1", "content": "{\"n\":2}\n(The picture follows.)"},
            {"role": "user", "content": [picture]},
        ],
    });
    assert_eq!(request::body("m", &request, &params, &extra, dialect()).unwrap(), expected);

    let echo = request::Dialect { openai: false, echo_reasoning: true };
    let body = request::body("m", &request, &params, &extra, echo).unwrap();
    assert_eq!(body["messages"][2]["reasoning_content"], "hm");
    let openai = request::Dialect { openai: true, echo_reasoning: false };
    let body = request::body("m", &request, &params, &extra, openai).unwrap();
    assert_eq!((&body["max_completion_tokens"], &body["max_tokens"]), (&json!(9), &serde_json::Value::Null));
}

#[test]
fn passes_wishes_on() {
    let request = ModelRequest { messages: vec![Message::user("x")], ..ModelRequest::default() };
    let body = |output, choice| {
        let params =
            Params { seed: Some(7), output: Some(output), tool_choice: Some(choice), ..Params::default() };
        request::body("m", &request, &params, &Map::new(), dialect()).unwrap()
    };
    let any = body(OutputForm::Json, ToolChoice::Required);
    assert_eq!((&any["seed"], &any["tool_choice"]), (&json!(7), &json!("required")));
    assert_eq!(any["response_format"], json!({"type": "json_object"}));
    let form = OutputSchema {
        name: "n".into(),
        description: Some("d".into()),
        schema: json!({"type": "object"}),
        strict: None,
    };
    let one = body(OutputForm::Schema(Box::new(form)), ToolChoice::Tool("add".into()));
    assert_eq!(one["tool_choice"], json!({"type": "function", "function": {"name": "add"}}));
    let schema = json!({"name": "n", "description": "d", "schema": {"type": "object"}});
    assert_eq!(one["response_format"], json!({"type": "json_schema", "json_schema": schema}));
}

#[test]
fn reads_every_form_of_ollama_host() {
    for (host, expected) in [
        ("127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("box", "http://box:11434/v1"),
        (":8000", "http://127.0.0.1:8000/v1"),
        ("https://ollama.example", "https://ollama.example/v1"),
        ("http://box:1/v1/", "http://box:1/v1"),
    ] {
        assert_eq!(ollama_base(host), expected, "{host}");
    }
}
