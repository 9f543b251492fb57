//! Runs of every kind, recorded and run again.

use super::*;
use crate::scripted::{asks, ends, says};
use crate::tests::{Probe, agent, cx};

/// Runs an agent until its end; `stop_at` cancels after so many events.
async fn record(
    agent: &Agent,
    history: Vec<Message>,
    input: RunInput,
    stop_at: Option<usize>,
) -> (Vec<Event>, Vec<Message>) {
    let cx = cx();
    let cancel = cx.cancel.clone();
    let mut stream = agent.run(history.clone(), input, cx);
    let mut events = Vec::new();
    let mut transcript = crate::transcript::Transcript::new();
    while let Some(event) = stream.next().await {
        transcript.apply(&event);
        events.push(event);
        if stop_at == Some(events.len()) {
            cancel.cancel();
        }
    }
    let mut messages = history;
    messages.push(Message::user("hi"));
    messages.extend(transcript.messages());
    (events, messages)
}

#[track_caller]
fn same(recorded: &[Event], replay: &Replay) {
    if let Some(n) = replay.first_difference(recorded) {
        panic!("event {n}: {:?} became {:?}\nof {recorded:#?}", recorded.get(n), replay.events.get(n));
    }
}

async fn check(
    scripts: Vec<Vec<Step>>,
    limits: impl FnOnce(&mut Limits),
    stop_at: Option<usize>,
) -> Vec<Event> {
    let mut reader = Probe::named("look");
    reader.read_only = true;
    let mut agent = agent(&ScriptedModel::new(scripts), vec![Probe::named("probe"), reader]);
    limits(&mut agent.limits);
    let (events, _) = record(&agent, Vec::new(), RunInput::Message(Message::user("hi")), stop_at).await;
    let replay = replay(&events, false).await;
    same(&events, &replay);
    assert_eq!(replay.comparable, events.len());
    events
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_run_is_the_same_again() {
    check(vec![says(&["Hello ", "there"])], |_| {}, None).await;
    // Tools side by side, with reports, failures, a panic, a slow one, a long answer, an input that is no JSON.
    let calls = asks(&[
        ("a", "probe", r#"{"do":"report"}"#),
        ("b", "probe", r#"{"do":"fail"}"#),
        ("c", "look", r#"{"do":"slow"}"#),
        ("d", "probe", r#"{"do":"panic"}"#),
        ("e", "look", r#"{"do":"big"}"#),
        ("f", "look", "{not json"),
        ("g", "nowhere", "{}"),
    ]);
    let events = check(vec![calls, says(&["done"])], |_| {}, None).await;
    assert!(events.iter().any(|event| matches!(event, Event::ToolResult { rest: Some(_), .. })));
    assert!(events.iter().any(|event| matches!(event, Event::ToolProgress { .. })));
    // What the model took back, and what only its provider reads.
    let mut again = vec![
        Step::Say(ModelEvent::Text("Hel".into())),
        Step::Say(ModelEvent::Reset { reason: "it broke off".into() }),
        Step::Say(ModelEvent::Reasoning("hm".into())),
        Step::Say(ModelEvent::ReasoningSignature("sig".into())),
        Step::Say(ModelEvent::RedactedReasoning("cg==".into())),
        Step::Say(ModelEvent::Text("Hello".into())),
    ];
    again.extend(ends(StopReason::EndTurn));
    check(vec![again], |_| {}, None).await;
    for reason in [StopReason::MaxTokens, StopReason::ContentFiltered, StopReason::StopSequence] {
        check(vec![ends(reason)], |_| {}, None).await;
    }
    let malformed = || ends(StopReason::MalformedToolUse);
    check(vec![malformed(), malformed()], |_| {}, None).await;
}

#[tokio::test(start_paused = true)]
async fn limits_and_failures_are_the_same_again() {
    let ask = || asks(&[("a", "look", r#"{"do":"x"}"#)]);
    check(vec![ask(), ask(), ask()], |limits| limits.max_steps = 2, None).await;
    check(vec![ask(), ask(), ask()], |limits| limits.max_output_tokens = Some(10), None).await;
    let hang = || asks(&[("a", "look", r#"{"do":"hang"}"#)]);
    check(vec![hang()], |limits| limits.max_time = Duration::from_secs(2), None).await;
    for kind in [ModelErrorKind::Unavailable, ModelErrorKind::BadRequest, ModelErrorKind::ContextTooLong] {
        let fail = || Step::Fail(ModelError::new(kind, "no"));
        check(vec![vec![fail()], vec![fail()]], |_| {}, None).await;
        if kind != ModelErrorKind::ContextTooLong {
            let said = Step::Say(ModelEvent::Text("some".into()));
            check(vec![ask(), vec![said, fail()]], |_| {}, None).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_comes_at_the_same_place_again() {
    let long = || says(&["one ", "two ", "three ", "four"]);
    for stop_at in 1..=5 {
        check(vec![long()], |_| {}, Some(stop_at)).await;
    }
    let hang = asks(&[("a", "look", r#"{"do":"x"}"#), ("b", "probe", r#"{"do":"hang"}"#)]);
    let events = check(vec![hang], |_| {}, Some(9)).await;
    assert!(events.iter().any(was_stopped), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn decisions_are_the_same_again() {
    let mut careful = Probe::named("careful");
    careful.needs_approval = true;
    let calls = asks(&[
        ("a", "careful", r#"{"do":"report"}"#),
        ("b", "careful", r#"{"do":"x"}"#),
        ("c", "careful", r#"{"do":"y"}"#),
    ]);
    let agent = agent(&ScriptedModel::new([calls, says(&["done"])]), vec![careful]);
    let (events, messages) = record(&agent, Vec::new(), RunInput::Message(Message::user("hi")), None).await;
    same(&events, &replay(&events, false).await);
    let decide = |id: &str, verdict| Decision { id: id.into(), verdict };
    let some = vec![decide("a", Verdict::Approve), decide("b", Verdict::Refuse(Some("not now".into())))];
    let (events, messages) = record(&agent, messages, RunInput::Resume(some), None).await;
    assert!(matches!(events.last(), Some(Event::Finished { outcome: Outcome::Interrupted })));
    same(&events, &replay(&events, true).await);
    let rest = vec![decide("c", Verdict::Refuse(None))];
    let (events, _) = record(&agent, messages, RunInput::Resume(rest), None).await;
    same(&events, &replay(&events, true).await);
    assert!(matches!(events.last(), Some(Event::Finished { outcome: Outcome::Complete })));
}

#[tokio::test(start_paused = true)]
async fn a_difference_is_found_and_the_servers_own_end_is_none() {
    let mut events = check(vec![says(&["Hello ", "there"])], |_| {}, None).await;
    let last = events.len() - 1;
    events[last] = Event::Failed { error: "lost".into(), code: "run_lost".into(), retryable: true };
    let replay_of_lost = replay(&events, false).await;
    assert_eq!(replay_of_lost.comparable, last);
    same(&events, &replay_of_lost);
    // A log that a loop could not have written.
    events[last] = Event::Finished { outcome: Outcome::Refusal };
    let replay = replay(&events, false).await;
    assert_eq!(replay.first_difference(&events), Some(last));
}
