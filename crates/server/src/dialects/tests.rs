//! Properties of the encoders that hold for every log: frames are numbered upwards, a cut anywhere and resumed gives the
//! same bytes, and a reader that got pieces joined is told the same.

use std::sync::Arc;

use loquat_agent::event::{Event, Outcome, StopReason, Usage};
use loquat_agent::message::ToolContent;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::Principal;
use crate::ids::Id;
use crate::runs::log::Pace;

/// What is known of a run whose client brought these tools.
pub(super) fn info(client_tools: &[&str]) -> RunInfo {
    let id = |text: &str| Id::parse(text).unwrap();
    RunInfo {
        client_tools: client_tools.iter().map(|name| (*name).to_owned()).collect(),
        ..RunInfo::new(id("run"), id("session"), jiff::Timestamp::UNIX_EPOCH)
    }
}

/// A run with these events.
pub(super) fn run(info: RunInfo, events: impl IntoIterator<Item = Event>) -> Arc<Run> {
    let run = Run::new(info, Principal::anonymous().owner().clone());
    run.show(events);
    run
}

fn told(run: &Run, form: &Form, after: u64, pace: Pace) -> Vec<(u64, String)> {
    let mut encoder = encoder(form);
    let look = run.look();
    let facts = facts(run, &look);
    let mut all = Vec::new();
    look.log().read(0, pace, |n, entry| {
        let mut out = Vec::new();
        let flow = encoder.encode(n, entry, &facts, &mut out);
        if n > after {
            all.push((n, String::from_utf8(out).unwrap()));
        }
        flow == Flow::Continue
    });
    all
}

fn event() -> impl Strategy<Value = Event> {
    let id = || prop_oneof![Just("1".to_owned()), Just("2".to_owned())];
    let name = || prop_oneof![Just("own".to_owned()), Just("theirs".to_owned())];
    prop_oneof![
        4 => "[a-zé🦀]{1,3}".prop_map(|text| Event::Text { text }),
        2 => "[a-z]{1,3}".prop_map(|text| Event::Reasoning { text, signature: None, redacted: None }),
        1 => Just(Event::Reasoning { text: String::new(), signature: Some("s".into()), redacted: None }),
        1 => (id(), name()).prop_map(|(id, name)| Event::ToolCall { id, name, input: json!({"a": 1}), effects: false }),
        1 => (id(), name()).prop_map(|(id, name)| Event::ToolResult {
            id, name, content: vec![ToolContent::Text("r".into())], is_error: false, duration_ms: 1, rest: None,
        }),
        1 => Just(Event::Usage {
            step: 1, model: "m".into(), usage: Usage::default(), stop_reason: StopReason::EndTurn, cost_usd: None, totals_usd: None }),
    ]
}

fn end() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Finished { outcome: Outcome::Complete }),
        Just(Event::Finished { outcome: Outcome::Cancelled }),
        Just(Event::Failed { error: "e".into(), code: "c".into(), retryable: true }),
    ]
}

const APPENDING: [DialectName; 5] = [
    DialectName::Openai,
    DialectName::OpenaiResponses,
    DialectName::Agentcore,
    DialectName::A2a,
    DialectName::Mcp,
];

proptest! {
    #[test]
    fn cut_anywhere_and_resumed_it_is_the_same(
        events in prop::collection::vec(event(), 0..30), end in end(), cut in 0..32u64,
    ) {
        let started = Event::Started { model: "m".into() };
        let run = run(info(&["theirs"]), [started].into_iter().chain(events).chain([end]));
        for dialect in APPENDING {
            let form = Form { options: json!({"usage": true, "token": "t", "id": 1}), ..Form::of(dialect) };
            let whole = told(&run, &form, 0, Pace::EachPiece);
            let rest = told(&run, &form, cut, Pace::EachPiece);
            let kept: Vec<_> = whole.iter().filter(|(n, _)| *n > cut).cloned().collect();
            prop_assert_eq!(&rest, &kept, "{:?}", dialect);
            // One end, and it is the last.
            let (n, last) = whole.last().unwrap();
            prop_assert_eq!(*n, run.look().log().len());
            prop_assert!(!last.is_empty(), "{:?}", dialect);
        }
    }

    #[test]
    fn responses_number_their_frames_upwards(
        events in prop::collection::vec(event(), 0..30), end in end(), after in 0..32_000u64,
    ) {
        let started = Event::Started { model: "m".into() };
        let run = run(info(&["theirs"]), [started].into_iter().chain(events).chain([end]));
        let frames = |form: &Form, pace| -> Vec<Value> {
            let text: String = told(&run, form, 0, pace).into_iter().map(|(_, text)| text).collect();
            let data = text.split("\n\n").filter_map(|frame| frame.split_once("data: "));
            data.map(|(_, data)| serde_json::from_str(data).unwrap()).collect()
        };
        let form = Form::of(DialectName::OpenaiResponses);
        let whole = frames(&form, Pace::EachPiece);
        let number = |frame: &Value| frame["sequence_number"].as_u64().unwrap();
        prop_assert!(whole.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])), "{whole:?}");
        // After a number comes what has a higher one.
        let later = Form { options: json!({"after": after}), ..form.clone() };
        let kept: Vec<_> = whole.iter().filter(|frame| number(frame) > after).cloned().collect();
        prop_assert_eq!(frames(&later, Pace::EachPiece), kept);
        // Whoever reads late gets fewer frames and the same response.
        let joined = frames(&form, Pace::Joined);
        prop_assert!(joined.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])));
        prop_assert_eq!(&joined.last().unwrap()["response"], &whole.last().unwrap()["response"]);
        // Items are added once, done once, and the response holds them as they were done.
        let of = |kind: &str| -> Vec<Value> {
            whole.iter().filter(|frame| frame["type"] == kind).map(|frame| frame["item"]["id"].clone()).collect()
        };
        let (mut added, mut done) = (of("response.output_item.added"), of("response.output_item.done"));
        let listed: Vec<_> =
            whole.last().unwrap()["response"]["output"].as_array().unwrap().iter().map(|i| i["id"].clone()).collect();
        prop_assert_eq!(&added, &listed);
        let by_text = |id: &Value| id.to_string();
        added.sort_by_key(by_text);
        done.sort_by_key(by_text);
        prop_assert_eq!(added, done);
    }
}
