//! The same scenario, the same events, whatever the provider.

use loquat_agent::event::{StopReason, Usage};
use loquat_agent::message::{
    Content, Message, Reasoning, ReasoningText, Role, ToolContent, ToolResult, ToolStatus, ToolUse,
};
use loquat_agent::model::ModelEvent;
use loquat_bench::mock::{MockServer, Scenario};

use super::{PROVIDERS, Transcript, ask, mock_model, renumbered, run};

/// Runs a scenario against all providers. `expected` is what each must say; OpenAI's protocol has no signatures and no
/// redacted reasoning, which is the one declared difference.
async fn check(words: &str, expected: &[ModelEvent]) {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    for id in PROVIDERS {
        let got = Transcript::of(run(&mock_model(id, &mock), ask(words)).await);
        let mut expected = expected.to_vec();
        if id.starts_with("openai/") {
            expected.retain(|event| {
                !matches!(event, ModelEvent::ReasoningSignature(_) | ModelEvent::RedactedReasoning(_))
            });
        }
        let expected = Transcript { said: expected, failure: None, text_taken_back: false };
        assert_eq!(Transcript { said: renumbered(got.said), ..got }, expected, "{id}: {words}");
    }
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

fn stop(reason: StopReason) -> ModelEvent {
    ModelEvent::Stop(reason)
}

#[tokio::test]
async fn text_is_text() {
    check("say=\"Grüße 🦀\\nand more\"", &[text("Grüße 🦀\nand more"), stop(StopReason::EndTurn)]).await;
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let words = "say=\"Grüße 🦀\" tool=add {\"a\": \"ü\"} chunk=1";
    let expected =
        [text("Grüße 🦀"), start("0", "add"), input("0", "{\"a\": \"ü\"}"), stop(StopReason::ToolUse)];
    check(words, &expected).await;
}

#[tokio::test]
async fn one_call_a_step() {
    let expected = [start("0", "add"), input("0", "{\"a\": [1, 2]}"), stop(StopReason::ToolUse)];
    check("tool=add {\"a\": [1, 2]} tool=now", &expected).await;
}

#[tokio::test]
async fn calls_side_by_side() {
    let expected = [
        text("Both."),
        start("0", "add"),
        input("0", "{\"a\":1}"),
        start("1", "now"),
        stop(StopReason::ToolUse),
    ];
    check("say=\"Both.\" tool=add {\"a\":1} tool=now parallel", &expected).await;
}

#[tokio::test]
async fn reasoning_with_its_signature() {
    let expected = [
        ModelEvent::RedactedReasoning("bW9jayByZWRhY3RlZA==".into()),
        ModelEvent::Reasoning("a loquat is".into()),
        ModelEvent::ReasoningSignature("mock-e378522fe13e7bbe".into()),
        text("Hi"),
        stop(StopReason::EndTurn),
    ];
    check("redacted reasoning=3 say=\"Hi\"", &expected).await;
}

#[tokio::test]
async fn endings_that_all_know() {
    for (word, expected) in [
        ("end_turn", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("content_filtered", StopReason::ContentFiltered),
    ] {
        check(&format!("say=\"Hi\" reason={word}"), &[text("Hi"), stop(expected)]).await;
    }
}

#[tokio::test]
async fn tokens_are_counted_alike() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    for id in PROVIDERS {
        let events = run(&mock_model(id, &mock), ask("tokens=7 cached=5")).await;
        let Some(Ok(ModelEvent::Usage { usage, model: None })) = events.get(events.len() - 2) else {
            panic!("{id}: {events:?}");
        };
        let Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens } = *usage;
        assert_eq!((output_tokens, cache_read_tokens, cache_write_tokens), (7, 5, 0), "{id}");
        // The mock counts four bytes of the request as one token, and rounds up to a power of two.
        assert!((input_tokens + cache_read_tokens).is_power_of_two(), "{id}: {input_tokens}");
    }
}

/// A whole turn: reasoning, a call, its answer with the signature carried back, and the end. The mock refuses what the
/// real services refuse, a forged signature among them.
#[tokio::test]
async fn a_turn_with_a_tool_satisfies_the_provider() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    for id in PROVIDERS {
        let model = mock_model(id, &mock);
        let mut request = ask("reasoning=2 tool=add {\"a\":1} say=\"So.\"");
        request.params.reasoning_budget = (!id.starts_with("openai/")).then_some(2048);
        let events = Transcript::of(run(&model, request.clone()).await).said;
        let mut content = Vec::new();
        for event in events {
            match event {
                ModelEvent::Reasoning(text) => {
                    let text = Some(ReasoningText { text, signature: None });
                    content
                        .push(Content::Reasoning(Reasoning { reasoning_text: text, redacted_content: None }));
                }
                ModelEvent::ReasoningSignature(given) => {
                    if let Some(Content::Reasoning(Reasoning { reasoning_text: Some(text), .. })) =
                        content.last_mut()
                    {
                        text.signature = Some(given);
                    }
                }
                ModelEvent::Text(text) => content.push(Content::Text(text)),
                ModelEvent::ToolStart { id, name } => content.push(Content::ToolUse(ToolUse {
                    tool_use_id: id,
                    name,
                    input: serde_json::json!({"a": 1}),
                })),
                _ => {}
            }
        }
        let Some(Content::ToolUse(call)) = content.last().cloned() else { panic!("{id}: {content:?}") };
        let answer = ToolResult {
            tool_use_id: call.tool_use_id,
            content: vec![ToolContent::Text("2".into())],
            status: ToolStatus::Success,
        };
        request.messages.push(Message::new(Role::Assistant, content));
        request.messages.push(Message::new(Role::User, vec![Content::ToolResult(answer)]));
        let got = Transcript::of(run(&model, request).await);
        assert_eq!(got.failure, None, "{id}");
        assert_eq!(got.said.last(), Some(&stop(StopReason::EndTurn)), "{id}");
    }
    assert_eq!(mock.stats().refused, 0);
}
