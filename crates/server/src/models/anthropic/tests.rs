//! Streams as Anthropic writes them, and requests as it wants them.

use bytes::Bytes;
use loquat_agent::event::{StopReason, Usage};
use loquat_agent::message::{
    Content, Document, Message, Reasoning, ReasoningText, Role, Source, ToolContent, ToolResult, ToolStatus,
    ToolUse,
};
use loquat_agent::model::{OutputForm, OutputSchema, ToolChoice};
use loquat_agent::tool::ToolSpec;
use serde_json::json;

use super::*;
use crate::models::http::events;

async fn read(lines: &[&str]) -> Vec<Result<ModelEvent, ModelError>> {
    let text: String = lines
        .iter()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap_or_default();
            format!("event: {}\ndata: {line}\n\n", value["type"].as_str().unwrap_or("x"))
        })
        .collect();
    let body = futures_util::stream::iter([Ok(Bytes::from(text))]).boxed();
    events(body, decode::Decoder::new("Test".into()), Timeouts::default()).collect().await
}

#[tokio::test]
async fn reads_every_kind_of_block() {
    let got = read(&[
        r#"{"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":4,"output_tokens":1}}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"AAEC"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Hé"}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{"x":1}}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t1","name":"add","input":{}}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"content_block_start","index":4,"content_block":{"type":"server_tool_use","id":"s1","name":"web_search","input":{}}}"#,
        r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"something_new"}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":20}}"#,
        r#"{"type":"message_stop"}"#,
    ])
    .await;
    let got: Vec<ModelEvent> = got.into_iter().map(Result::unwrap).collect();
    let usage = Usage { input_tokens: 10, output_tokens: 20, cache_read_tokens: 4, cache_write_tokens: 3 };
    let expected = vec![
        ModelEvent::Reasoning("hm".into()),
        ModelEvent::ReasoningSignature("sig".into()),
        ModelEvent::RedactedReasoning("AAEC".into()),
        ModelEvent::Text("Hé".into()),
        ModelEvent::ToolStart { id: "t1".into(), name: "add".into() },
        ModelEvent::ToolInput { id: "t1".into(), delta: "{\"a\":1}".into() },
        ModelEvent::Usage { usage, model: None },
        ModelEvent::Stop(StopReason::ToolUse),
    ];
    assert_eq!(got, expected);
}

#[tokio::test]
async fn maps_every_stop_reason() {
    for (reason, expected) in [
        ("end_turn", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("tool_use", StopReason::ToolUse),
        ("pause_turn", StopReason::EndTurn),
        ("refusal", StopReason::ContentFiltered),
        ("model_context_window_exceeded", StopReason::ModelContextWindowExceeded),
        ("something_new", StopReason::EndTurn),
    ] {
        let delta = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#);
        // The end of the message may be missing: with the reason the answer is whole.
        for lines in [vec![delta.as_str(), r#"{"type":"message_stop"}"#], vec![delta.as_str()]] {
            let got: Vec<ModelEvent> = read(&lines).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(got, vec![ModelEvent::Stop(expected)], "{reason}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_its_end_is_a_failure() {
    let start = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#;
    for (lines, kind) in [
        (vec![start], ModelErrorKind::Truncated),
        (vec![], ModelErrorKind::Truncated),
        (vec![start, r#"{"type":"message_stop"}"#], ModelErrorKind::Truncated),
        (vec![start, "nonsense"], ModelErrorKind::Protocol),
        (
            vec![start, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#],
            ModelErrorKind::Unavailable,
        ),
        (
            vec![r#"{"type":"error","error":{"type":"rate_limit_error","message":"x"}}"#],
            ModelErrorKind::Throttled,
        ),
        (vec![r#"{"type":"error"}"#], ModelErrorKind::Unavailable),
    ] {
        let got = read(&lines).await;
        assert_eq!(got.last().unwrap().as_ref().unwrap_err().kind, kind, "{lines:?}");
    }
}

#[test]
fn maps_every_status() {
    let words = Words { provider: "Anthropic", model: "m", key: Some("K"), secret: None };
    let body = |kind: &str, message: &str| {
        json!({"type": "error", "error": {"type": kind, "message": message}}).to_string()
    };
    for (status, body, kind) in [
        (400, body("invalid_request_error", "bad"), ModelErrorKind::BadRequest),
        (400, body("invalid_request_error", "prompt is too long: 9 > 8"), ModelErrorKind::ContextTooLong),
        (400, body("invalid_request_error", "Your credit balance is too low"), ModelErrorKind::Auth),
        (401, body("authentication_error", "x"), ModelErrorKind::Auth),
        (403, body("permission_error", "x"), ModelErrorKind::Auth),
        (404, body("not_found_error", "model: m"), ModelErrorKind::NotFound),
        (413, body("request_too_large", "x"), ModelErrorKind::ContextTooLong),
        (429, body("rate_limit_error", "x"), ModelErrorKind::Throttled),
        (500, body("api_error", "x"), ModelErrorKind::Unavailable),
        (504, body("timeout_error", "x"), ModelErrorKind::Timeout),
        (529, body("overloaded_error", "x"), ModelErrorKind::Unavailable),
        (502, "<html>".into(), ModelErrorKind::Unavailable),
    ] {
        assert_eq!(error::refused(&words, status, body.as_bytes()).kind, kind, "{status} {body}");
    }
}

#[test]
fn writes_a_conversation() {
    let text = ReasoningText { text: "hm".into(), signature: Some("sig".into()) };
    let thought = Reasoning { reasoning_text: Some(text), redacted_content: None };
    let redacted = Reasoning {
        reasoning_text: None,
        redacted_content: Some(loquat_agent::message::Bytes(vec![0, 1, 2])),
    };
    let unsigned = Reasoning {
        reasoning_text: Some(ReasoningText { text: "lost".into(), signature: None }),
        redacted_content: None,
    };
    let document = Document {
        format: "md".into(),
        name: "notes".into(),
        source: Source::Bytes(loquat_agent::message::Bytes(b"# Hi".to_vec())),
    };
    let call = ToolUse { tool_use_id: "t1".into(), name: "add".into(), input: json!({"a": 1}) };
    let result = ToolResult {
        tool_use_id: "t1".into(),
        content: vec![ToolContent::Json(json!({"n": 2}))],
        status: ToolStatus::Error,
    };
    let request = ModelRequest {
        system: Some("Be kind.".into()),
        messages: vec![
            Message::new(Role::User, vec![Content::Document(document), Content::Text("Read".into())]),
            Message::new(
                Role::Assistant,
                vec![
                    Content::Reasoning(thought),
                    Content::Reasoning(redacted),
                    Content::Reasoning(unsigned),
                    Content::ToolUse(call),
                ],
            ),
            Message::new(Role::User, vec![Content::Text("And?".into()), Content::ToolResult(result)]),
        ],
        tools: Arc::from([ToolSpec::new("add", "Adds", json!({"type": "object"}))]),
        ..ModelRequest::default()
    };
    let params =
        Params { reasoning_budget: Some(2048), stop_sequences: vec!["END".into()], ..Params::default() };
    let mark = json!({"type": "ephemeral"});
    let expected = json!({
        "model": "claude-x", "stream": true, "max_tokens": 8192 + 2048, "stop_sequences": ["END"],
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "system": [{"type": "text", "text": "Be kind.", "cache_control": mark}],
        "tools": [{"name": "add", "description": "Adds", "input_schema": {"type": "object"}, "cache_control": mark}],
        "messages": [
            {"role": "user", "content": [
                {"type": "document", "title": "notes", "source": {"type": "text", "media_type": "text/plain", "data": "# Hi"}},
                {"type": "text", "text": "Read"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "AAEC"},
                {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [{"type": "text", "text": "{\"n\":2}"}]},
                {"type": "text", "text": "And?", "cache_control": mark}]},
        ],
    });
    let body = |cache| {
        request::body("anthropic/claude-x", "claude-x", &request, &params, &Map::new(), cache).unwrap()
    };
    assert_eq!(body(true), expected);
    assert!(!body(false).to_string().contains("cache_control"));
}

#[test]
fn asks_for_a_form_and_for_a_call() {
    let schema = json!({"type": "object"});
    let form =
        OutputSchema { name: "n".into(), description: None, schema: schema.clone(), strict: Some(true) };
    let request = ModelRequest { messages: vec![Message::user("x")], ..ModelRequest::default() };
    let body = |choice, effort: Option<&str>| {
        let params = Params {
            output: Some(OutputForm::Schema(Box::new(form.clone()))),
            tool_choice: Some(choice),
            reasoning_effort: effort.map(str::to_owned),
            ..Params::default()
        };
        request::body("m", "m", &request, &params, &Map::new(), false).unwrap()
    };
    let format = json!({"type": "json_schema", "schema": schema});
    let any = body(ToolChoice::Required, None);
    assert_eq!(
        (&any["output_config"], &any["tool_choice"]),
        (&json!({"format": format}), &json!({"type": "any"}))
    );
    let one = body(ToolChoice::Tool("add".into()), Some("low"));
    assert_eq!(one["output_config"], json!({"format": format, "effort": "low"}));
    assert_eq!(one["tool_choice"], json!({"type": "tool", "name": "add"}));
}

#[test]
fn declares_tools_that_are_gone_and_stops_thinking_without_a_beginning() {
    let call = ToolUse { tool_use_id: "t1".into(), name: "gone".into(), input: json!([1]) };
    let result = ToolResult { tool_use_id: "t1".into(), content: vec![], status: ToolStatus::Success };
    let request = ModelRequest {
        messages: vec![
            Message::user("x"),
            Message::new(Role::Assistant, vec![Content::ToolUse(call)]),
            Message::new(Role::User, vec![Content::ToolResult(result)]),
        ],
        ..ModelRequest::default()
    };
    let params = Params { reasoning_budget: Some(2048), ..Params::default() };
    let body = request::body("m", "m", &request, &params, &Map::new(), false).unwrap();
    assert_eq!(body["tools"][0]["name"], "gone");
    assert_eq!(body["messages"][1]["content"][0]["input"], json!({}));
    assert_eq!((&body["thinking"], &body["max_tokens"]), (&Value::Null, &json!(8192)));
}
