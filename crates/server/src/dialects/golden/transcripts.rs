//! What runs do, as their events: the cases that every dialect has to tell.

use loquat_agent::event::{Event, Outcome, Progress, StopReason, Usage};
use loquat_agent::message::ToolContent;
use serde_json::{Value, json};

/// A run.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) events: Vec<Event>,
}

fn text(text: &str) -> Event {
    Event::Text { text: text.into() }
}
fn thought(text: &str) -> Event {
    Event::Reasoning { text: text.into(), signature: None, redacted: None }
}
/// What the second call of a model costs.
pub(super) const COST: f64 = 0.0025;

fn usage(step: u32, stop_reason: StopReason) -> Event {
    let usage = Usage { input_tokens: 20, output_tokens: 5, cache_read_tokens: 4, ..Usage::default() };
    // Prices are known of some models only.
    let cost_usd = (step == 2).then_some(COST);
    Event::Usage { step, model: "openai/test".into(), usage, stop_reason, cost_usd, totals_usd: None }
}
/// The model writes a call in two pieces.
fn writes(id: &str, name: &str, input: &str) -> Vec<Event> {
    let (one, two) = input.split_at(input.len() / 2);
    let piece = |delta: &str| Event::ToolInput { id: id.into(), delta: delta.into() };
    vec![Event::ToolStart { id: id.into(), name: name.into() }, piece(one), piece(two)]
}
fn call(id: &str, name: &str, input: Value) -> Event {
    Event::ToolCall { id: id.into(), name: name.into(), input, effects: false }
}
fn result(id: &str, name: &str, content: ToolContent, is_error: bool) -> Event {
    Event::ToolResult {
        id: id.into(),
        name: name.into(),
        content: vec![content],
        is_error,
        duration_ms: 7,
        rest: None,
    }
}
fn finished(outcome: Outcome) -> Event {
    Event::Finished { outcome }
}
fn said(words: &str) -> ToolContent {
    ToolContent::Text(words.into())
}

/// All cases. Each begins with `Started`, which is added here.
pub(super) fn all() -> Vec<Case> {
    let end = |stop| usage(1, stop);
    let complete = || [usage(2, StopReason::EndTurn), finished(Outcome::Complete)];
    let weather = |id: &str, city: &str| writes(id, "weather", &json!({"city": city}).to_string());
    let cases: Vec<(&'static str, Vec<Vec<Event>>)> = vec![
        (
            "plain",
            vec![vec![
                text("Hello"),
                text(", \"wor"),
                text("ld\"\n"),
                end(StopReason::EndTurn),
                finished(Outcome::Complete),
            ]],
        ),
        (
            "reasoning",
            vec![vec![
                thought("Let me"),
                thought(" see."),
                Event::Reasoning { text: String::new(), signature: Some("sig".into()), redacted: None },
                thought("Once more."),
                text("Four"),
                text("."),
                end(StopReason::EndTurn),
                finished(Outcome::Complete),
            ]],
        ),
        (
            "two-tools",
            vec![
                vec![text("I look.")],
                weather("c1", "Rome"),
                weather("c2", "Oslo"),
                vec![
                    end(StopReason::ToolUse),
                    call("c1", "weather", json!({"city": "Rome"})),
                    call("c2", "weather", json!({"city": "Oslo"})),
                    Event::ToolProgress {
                        id: "c1".into(),
                        progress: Progress { message: Some("half".into()), ..Progress::default() },
                    },
                    result("c1", "weather", ToolContent::Json(json!({"degrees": 21})), false),
                    result("c2", "weather", said("4 degrees"), false),
                    text("Rome is "),
                    text("warmer."),
                ],
                complete().into(),
            ],
        ),
        (
            "tool-error",
            vec![
                weather("c1", "Atlantis"),
                vec![
                    end(StopReason::ToolUse),
                    call("c1", "weather", json!({"city": "Atlantis"})),
                    result("c1", "weather", said("There is no such city."), true),
                    text("It sank."),
                ],
                complete().into(),
            ],
        ),
        (
            "approval",
            vec![
                vec![text("May I?")],
                writes("c1", "pay", r#"{"euros":5}"#),
                vec![
                    end(StopReason::ToolUse),
                    call("c1", "pay", json!({"euros": 5})),
                    Event::ApprovalRequested {
                        id: "c1".into(),
                        name: "pay".into(),
                        input: json!({"euros": 5}),
                        reason: Some("It costs money.".into()),
                        expires_at: Some("2026-02-12T09:00:00Z".into()),
                    },
                    finished(Outcome::Interrupted),
                ],
            ],
        ),
        (
            "client-tool",
            vec![
                writes("c1", "locate", "{}"),
                vec![
                    end(StopReason::ToolUse),
                    call("c1", "locate", json!({})),
                    Event::ClientCall { id: "c1".into(), name: "locate".into(), input: json!({}) },
                    finished(Outcome::Interrupted),
                ],
            ],
        ),
        (
            "refusal",
            vec![vec![text("I cannot"), end(StopReason::ContentFiltered), finished(Outcome::Refusal)]],
        ),
        (
            "stop",
            vec![
                vec![text("Half an "), text("answer")],
                vec![
                    Event::ToolStart { id: "c1".into(), name: "weather".into() },
                    Event::ToolInput { id: "c1".into(), delta: r#"{"ci"#.into() },
                    finished(Outcome::Cancelled),
                ],
            ],
        ),
        (
            "retry",
            vec![
                vec![thought("Hm."), text("First "), text("try")],
                weather("c0", "Ro"),
                vec![
                    Event::Reset { reason: "The answer broke off.".into() },
                    thought("Again."),
                    text("Second"),
                    text(" try."),
                    end(StopReason::EndTurn),
                    finished(Outcome::Complete),
                ],
            ],
        ),
        (
            "provider-error",
            vec![vec![
                text("It was a dark"),
                Event::Failed {
                    error: "The model's answer broke off before its end.".into(),
                    code: "model_stream_cut".into(),
                    retryable: true,
                },
            ]],
        ),
        (
            "provider-error-in-call",
            vec![
                vec![text("I look.")],
                vec![
                    Event::ToolStart { id: "c1".into(), name: "weather".into() },
                    Event::ToolInput { id: "c1".into(), delta: r#"{"ci"#.into() },
                    Event::Failed {
                        error: "The model is overloaded.".into(),
                        code: "model_unavailable".into(),
                        retryable: true,
                    },
                ],
            ],
        ),
        (
            "max-tokens",
            vec![vec![text("One, two, thr"), end(StopReason::MaxTokens), finished(Outcome::MaxTokens)]],
        ),
        (
            "unicode",
            vec![vec![
                text("Grüße 👩"),
                text("\u{200d}"),
                text("🚀 und e"),
                text("\u{301}"),
                text("\u{2028}\u{0}\r\n日本語 \u{202e}"),
                end(StopReason::EndTurn),
                finished(Outcome::Complete),
            ]],
        ),
        ("empty", vec![vec![end(StopReason::EndTurn), finished(Outcome::Complete)]]),
        (
            "state",
            vec![
                writes("c1", "plan", "{}"),
                vec![
                    end(StopReason::ToolUse),
                    call("c1", "plan", json!({})),
                    Event::Custom { name: "state_snapshot".into(), data: json!({"steps": []}) },
                    Event::Custom {
                        name: "state_delta".into(),
                        data: json!([{"op": "add", "path": "/steps/-", "value": "shop"}]),
                    },
                    Event::Custom { name: "chart".into(), data: json!({"points": [1, 2]}) },
                    result("c1", "plan", said("ok"), false),
                    text("Done."),
                ],
                complete().into(),
            ],
        ),
    ];
    let started = || Event::Started { model: "openai/test".into() };
    cases
        .into_iter()
        .map(|(name, parts)| Case {
            name,
            events: std::iter::once(started()).chain(parts.into_iter().flatten()).collect(),
        })
        .collect()
}
