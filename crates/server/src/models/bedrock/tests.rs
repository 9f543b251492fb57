//! Bedrock against the mock: its frames are parsed by the AWS SDK, our requests are read as they went over the wire.

use std::time::Duration;

use loquat_agent::event::{StopReason, Usage};
use loquat_agent::message::{
    Content, Document, Image, Message, Reasoning, ReasoningText, Role, Source, ToolContent, ToolResult,
    ToolStatus, ToolUse,
};
use loquat_agent::model::{ModelErrorKind, OutputForm, OutputSchema, ToolChoice};
use loquat_agent::tool::ToolSpec;
use loquat_bench::mock::{MockServer, Scenario};
use serde_json::json;

use super::*;
use crate::models::config::{Guardrail, GuardrailMode};

const CLAUDE: &str = "eu.anthropic.claude-sonnet-4-20250514-v1:0";

fn config(mock: &MockServer, id: &str) -> ModelConfig {
    ModelConfig {
        id: id.to_owned(),
        base_url: Some(mock.url()),
        api_key: Some(Secret::new("bedrock-key")),
        bedrock: BedrockOptions { region: Some("eu-west-1".into()), ..BedrockOptions::default() },
        ..ModelConfig::default()
    }
}

async fn run(config: &ModelConfig, request: ModelRequest) -> Result<Vec<ModelEvent>, ModelError> {
    let model = Bedrock::new(config, Provider::of(&config.id).1, crate::aws::loader(None)).unwrap();
    model.stream(request).try_collect().await
}

fn ask(text: &str) -> ModelRequest {
    ModelRequest { messages: vec![Message::user(text)], ..ModelRequest::default() }
}

#[tokio::test]
async fn the_service_learns_the_trace() {
    use crate::telemetry::trace::TraceContext;

    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let trace = TraceContext::child_of(None);
    let scope = scope::Scope { trace: Some(trace.clone()), ..scope::Scope::default() };
    let config = config(&mock, CLAUDE);
    scope::enter(Arc::new(scope), run(&config, ask("say=\"hi\""))).await.unwrap();
    let sent = mock.requests().pop().unwrap();
    let header = |name: &str| {
        let found = sent.headers.iter().find(|(own, _)| own == name);
        found.unwrap_or_else(|| panic!("no header {name}")).1.clone()
    };
    assert_eq!((header("traceparent"), header("x-amzn-trace-id")), (trace.traceparent(), trace.xray()));
    // A proxy may change them: they are not signed.
    assert!(!header("authorization").contains("x-amzn-trace-id"));
}

/// The mock's frames are what the AWS SDK takes for ConverseStream, and we read the same in them as it does.
#[tokio::test]
async fn reads_what_the_sdk_reads() {
    use aws_sdk_bedrockruntime::types::ReasoningContentBlockDelta;
    use aws_sdk_bedrockruntime::types::{
        ContentBlock, ContentBlockDelta, ConversationRole, ConverseStreamOutput,
    };

    for words in [
        "say=\"Hé you\"",
        "redacted reasoning=5 tokens=40",
        "tool=add {\"a\":1} tool=now parallel",
        "stop=max_tokens",
    ] {
        let mock = MockServer::start(Scenario::default()).await.unwrap();
        let config = config(&mock, CLAUDE);
        let model = Bedrock::new(&config, Provider::of(&config.id).1, crate::aws::loader(None)).unwrap();
        let message = aws_sdk_bedrockruntime::types::Message::builder()
            .role(ConversationRole::User)
            .content(ContentBlock::Text(words.into()))
            .build()
            .unwrap();
        let call = model.shared.client().await.converse_stream().model_id("m").messages(message);
        let mut theirs = (Vec::new(), String::new(), 0);
        let mut stream = call.send().await.unwrap().stream;
        while let Some(event) = stream.recv().await.unwrap() {
            match event {
                ConverseStreamOutput::ContentBlockDelta(event) => theirs.0.push(match event.delta.unwrap() {
                    ContentBlockDelta::Text(text) => text,
                    ContentBlockDelta::ToolUse(piece) => piece.input,
                    ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Text(text)) => text,
                    ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::Signature(text)) => text,
                    ContentBlockDelta::ReasoningContent(ReasoningContentBlockDelta::RedactedContent(
                        blob,
                    )) => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, blob),
                    other => panic!("{other:?}"),
                }),
                ConverseStreamOutput::MessageStop(event) => theirs.1 = event.stop_reason.as_str().to_owned(),
                ConverseStreamOutput::Metadata(event) => theirs.2 = event.usage.unwrap().output_tokens,
                _ => {}
            }
        }
        theirs.0.retain(|text| !text.is_empty());
        let mut ours = (Vec::new(), String::new(), 0);
        for event in run(&config, ask(words)).await.unwrap() {
            match event {
                ModelEvent::Text(text)
                | ModelEvent::Reasoning(text)
                | ModelEvent::ReasoningSignature(text)
                | ModelEvent::RedactedReasoning(text)
                | ModelEvent::ToolInput { delta: text, .. } => ours.0.push(text),
                ModelEvent::Usage { usage, .. } => ours.2 = i32::try_from(usage.output_tokens).unwrap(),
                ModelEvent::Stop(reason) => {
                    ours.1 = serde_json::to_value(reason).unwrap().as_str().unwrap().to_owned();
                }
                other => assert!(matches!(other, ModelEvent::ToolStart { .. }), "{other:?}"),
            }
        }
        assert!(!ours.1.is_empty());
        assert_eq!(ours, theirs, "{words}");
    }
}

#[tokio::test]
async fn reads_every_kind_of_block() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let mut request =
        ask("redacted reasoning=2 say=\"Hé you\" tool=add {\"a\":1} tool=now parallel cached=3");
    request.tools = Arc::from([ToolSpec::new("add", "Adds", json!({"type": "object"}))]);
    let got = run(&config(&mock, CLAUDE), request).await.unwrap();
    let (start, input) = (
        |id: &str, name: &str| ModelEvent::ToolStart { id: id.into(), name: name.into() },
        |id: &str, delta: &str| ModelEvent::ToolInput { id: id.into(), delta: delta.into() },
    );
    let Some(ModelEvent::Usage { usage, model: None }) = got.get(got.len() - 2).cloned() else {
        panic!("{got:?}")
    };
    assert_eq!((usage.cache_read_tokens, usage.output_tokens), (3, 7));
    let ModelEvent::ReasoningSignature(signature) = got[3].clone() else { panic!("{got:?}") };
    let expected = vec![
        ModelEvent::RedactedReasoning("bW9jayByZWRhY3RlZA==".into()),
        ModelEvent::Reasoning("a".into()),
        ModelEvent::Reasoning(" loquat".into()),
        ModelEvent::ReasoningSignature(signature),
        ModelEvent::Text("Hé ".into()),
        ModelEvent::Text("you".into()),
        start("call_0_0", "add"),
        input("call_0_0", "{\"a\":1}"),
        start("call_0_1", "now"),
        ModelEvent::Usage { usage: Usage { cache_write_tokens: 0, ..usage }, model: None },
        ModelEvent::Stop(StopReason::ToolUse),
    ];
    assert_eq!(got, expected);
    // The whole body was read: the next call uses the same connection.
    assert_eq!(mock.stats().finished, 1);
}

#[tokio::test]
async fn maps_every_stop_reason() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let config = config(&mock, CLAUDE);
    let model = Bedrock::new(&config, CLAUDE, crate::aws::loader(None)).unwrap();
    for (word, expected) in [
        ("end_turn", StopReason::EndTurn),
        ("tool_use", StopReason::ToolUse),
        ("max_tokens", StopReason::MaxTokens),
        ("stop_sequence", StopReason::StopSequence),
        ("guardrail_intervened", StopReason::GuardrailIntervened),
        ("content_filtered", StopReason::ContentFiltered),
        ("malformed_model_output", StopReason::MalformedModelOutput),
        ("malformed_tool_use", StopReason::MalformedToolUse),
        ("model_context_window_exceeded", StopReason::ModelContextWindowExceeded),
    ] {
        let got: Vec<ModelEvent> =
            model.stream(ask(&format!("say=\"Hi\" reason={word}"))).try_collect().await.unwrap();
        assert_eq!(got.last(), Some(&ModelEvent::Stop(expected)), "{word}");
    }
    // The end of a body may still be read when the next call begins, which then opens a second connection.
    assert!(mock.stats().connections < 5, "connections are used again: {:?}", mock.stats());
}

#[tokio::test]
async fn writes_a_conversation() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let mut config = config(&mock, &format!("bedrock/{CLAUDE}"));
    config.params = Params {
        max_output_tokens: Some(9000),
        stop_sequences: vec!["END".into()],
        reasoning_budget: Some(2048),
        ..Params::default()
    };
    config.extra = json!({"top_k": 40}).as_object().cloned().unwrap();
    config.bedrock.guardrail =
        Some(Guardrail { id: "gr-1".into(), version: "2".into(), mode: GuardrailMode::Async, trace: true });
    config.bedrock.latency = Some("optimized".into());
    config.bedrock.service_tier = Some("priority".into());
    let bytes = || Source::Bytes(loquat_agent::message::Bytes(vec![0, 1, 2]));
    let text = ReasoningText { text: "hm".into(), signature: Some("sig".into()) };
    let thought = Reasoning { reasoning_text: Some(text), redacted_content: None };
    let redacted = Reasoning {
        reasoning_text: None,
        redacted_content: Some(loquat_agent::message::Bytes(vec![0, 1, 2])),
    };
    let call = ToolUse {
        tool_use_id: "t1".into(),
        name: "add".into(),
        input: json!({"a": [1, -2, 0.5, null, true]}),
    };
    let result = ToolResult {
        tool_use_id: "t1".into(),
        content: vec![
            ToolContent::Json(json!({"n": 2})),
            ToolContent::Json(json!([2])),
            ToolContent::Image(Image { format: "png".into(), source: bytes() }),
        ],
        status: ToolStatus::Error,
    };
    let document = Document { format: "pdf".into(), name: "my.report".into(), source: bytes() };
    let request = ModelRequest {
        system: Some("Be kind.".into()),
        messages: vec![
            Message::new(Role::User, vec![Content::Document(document)]),
            Message::new(
                Role::Assistant,
                vec![
                    Content::Reasoning(thought),
                    Content::Reasoning(redacted),
                    Content::Text(" ".into()),
                    Content::ToolUse(call),
                ],
            ),
            Message::new(Role::User, vec![Content::ToolResult(result)]),
        ],
        tools: Arc::from([ToolSpec::new("add", "", json!({"type": "object"}))]),
        ..ModelRequest::default()
    };
    let form = OutputSchema {
        name: "n".into(),
        description: Some("d".into()),
        schema: json!({"type": "object"}),
        strict: None,
    };
    let params = Params {
        output: Some(OutputForm::Schema(Box::new(form))),
        tool_choice: Some(ToolChoice::Tool("add".into())),
        ..Params::default()
    };
    let request = ModelRequest { params, ..request };
    run(&config, request).await.unwrap();
    let sent = mock.requests().pop().unwrap();
    let point = json!({"cachePoint": {"type": "default"}});
    let expected = json!({
        "system": [{"text": "Be kind."}, point],
        "messages": [
            {"role": "user", "content": [
                {"document": {"format": "pdf", "name": "my report", "source": {"bytes": "AAEC"}}},
                {"text": "(See the document.)"}]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "AAEC"}},
                {"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": [1, -2, 0.5, null, true]}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "t1", "status": "error", "content": [
                    {"json": {"n": 2}}, {"text": "[2]"},
                    {"image": {"format": "png", "source": {"bytes": "AAEC"}}}]}},
                point]},
        ],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "add", "inputSchema": {"json": {"type": "object"}}}}, point],
            "toolChoice": {"tool": {"name": "add"}}},
        "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {
            "name": "n", "description": "d", "schema": "{\"type\":\"object\"}"}}}},
        "inferenceConfig": {"maxTokens": 9000, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_k": 40},
        "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "2", "trace": "enabled",
            "streamProcessingMode": "async"},
        "performanceConfig": {"latency": "optimized"},
        "serviceTier": {"type": "priority"},
    });
    assert_eq!(sent.body, expected);
    assert_eq!(sent.model, CLAUDE);
    let key = sent.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    assert_eq!(key.1, "Bearer bedrock-key");
}

#[tokio::test]
async fn refuses_options_it_does_not_know() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let mut wrong = config(&mock, CLAUDE);
    wrong.bedrock.latency = Some("fast".into());
    let error = Bedrock::new(&wrong, CLAUDE, crate::aws::loader(None)).err().unwrap();
    assert!(error.to_string().contains("latency must be standard or optimized"), "{error}");
    let mut wrong = config(&mock, CLAUDE);
    wrong.bedrock.service_tier = Some("gold".into());
    assert!(Bedrock::new(&wrong, CLAUDE, crate::aws::loader(None)).is_err());
}

#[tokio::test]
async fn waits_no_longer_than_told() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let mut config = config(&mock, CLAUDE);
    config.timeouts.first_byte = Duration::from_millis(200);
    config.timeouts.between_bytes = Duration::from_millis(200);
    for words in ["headers_delay=60s", "stall after=1", "stall at=0"] {
        let error = run(&config, ask(words)).await.unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Timeout, "{words}: {error}");
    }
}

#[tokio::test]
async fn says_that_nobody_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let config = ModelConfig {
        id: CLAUDE.into(),
        base_url: Some(format!("http://127.0.0.1:{port}")),
        api_key: Some(Secret::new("k")),
        ..ModelConfig::default()
    };
    let error = run(&config, ask("x")).await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Unavailable, "{error}");
    assert!(error.message.contains("cannot reach Amazon Bedrock"), "{error}");
}
