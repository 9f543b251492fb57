//! Every dialect tells every run, whole and cut after every event, and the message is the same.
//!
//! The streams are kept in `fixtures/wire/{dialect}/{case}.sse`; the page's tests read those of `chat`. A dialect joins
//! with a row in [`dialects`]: its form, and a fold of its frames to what its client ends up with. Answers that are sent
//! whole have a row in [`wholes`], and lie beside the streams as `{case}.json`.

mod appending;
mod fold;
mod transcripts;

use std::path::Path;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use loquat_agent::event::Event;
use loquat_agent::message::Message;
use serde_json::{Value, json};

use crate::auth::Principal;
use crate::dialects::{self, ag_ui, encoder};
use crate::ids::Id;
use crate::runs::engine::OnDisconnect;
use crate::runs::reader::Reader;
use crate::runs::run::{DialectName, Form, Look, Run, RunInfo};

/// What a client ends up with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Final {
    pub(super) text: String,
    pub(super) reasoning: String,
    pub(super) tools: Vec<Called>,
    /// The outcome, or the code of a failure; empty while there is none.
    pub(super) end: String,
}

/// A call and its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Called {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: Value,
    /// As text: not every dialect has other values.
    pub(super) output: Option<String>,
    pub(super) is_error: bool,
}

/// A dialect, as the tests see it.
struct Dialect {
    /// The folder of its files.
    folder: &'static str,
    form: Form,
    fold: fn(&str) -> Final,
    /// What stands between text from before a tool ran and text from after it.
    seam: &'static str,
    /// Whether its clients take back what they have shown. The others are told that the answer is void.
    takes_back: bool,
    /// What of the whole truth its clients learn.
    tells: fn(Final) -> Final,
}

fn dialects() -> Vec<Dialect> {
    let row = |folder, dialect, fold| Dialect {
        folder,
        form: Form::of(dialect),
        fold,
        seam: "",
        takes_back: true,
        tells: |all| all,
    };
    let appends = |folder, dialect, fold| Dialect { takes_back: false, ..row(folder, dialect, fold) };
    let options = json!({"id": 1, "token": "t"});
    let older = |dialect| Form { all: false, ..Form::of(dialect) };
    vec![
        row("chat", DialectName::Chat, fold::chat),
        Dialect {
            form: older(DialectName::Chat),
            tells: text_and_end,
            ..appends("chat_text", DialectName::Chat, fold::chat_text)
        },
        row("ag_ui", DialectName::AgUi, fold::ag_ui),
        row("ai_sdk", DialectName::AiSdk, fold::ai_sdk),
        Dialect {
            form: older(DialectName::AiSdk),
            ..appends("ai_sdk_older", DialectName::AiSdk, fold::ai_sdk)
        },
        Dialect { seam: PARAGRAPH, ..appends("openai", DialectName::Openai, appending::openai) },
        appends("openai_responses", DialectName::OpenaiResponses, appending::responses),
        appends("agentcore", DialectName::Agentcore, appending::agentcore),
        Dialect {
            seam: PARAGRAPH,
            tells: without_reasoning,
            ..appends("a2a", DialectName::A2a, appending::a2a)
        },
        Dialect {
            form: Form { options, ..Form::of(DialectName::Mcp) },
            seam: PARAGRAPH,
            tells: words_alone,
            ..row("mcp", DialectName::Mcp, appending::mcp)
        },
    ]
}

/// Where a dialect has one text for what others tell as two.
const PARAGRAPH: &str = "\n\n";

fn without_reasoning(told: Final) -> Final {
    Final { reasoning: String::new(), ..told }
}
/// The reference's clients learn of failures, but not of outcomes.
fn text_and_end(told: Final) -> Final {
    let failed = ["model_stream_cut", "model_unavailable", "answer_restarted"].contains(&told.end.as_str());
    let end = if failed { told.end.clone() } else { "done".into() };
    Final { end, ..words_alone(told) }
}
fn words_alone(told: Final) -> Final {
    Final { tools: Vec::new(), ..without_reasoning(told) }
}

/// Makes a body, or says with which words and code a failure is told as a status.
type Tell = fn(&RunInfo, &Look<'_>) -> Result<Value, (String, String)>;

/// An answer that is sent whole, as the tests see it.
struct Whole {
    folder: &'static str,
    tell: Tell,
    fold: fn(&Value) -> Final,
    seam: &'static str,
    tells: fn(Final) -> Final,
}

fn wholes() -> Vec<Whole> {
    vec![
        Whole {
            folder: "openai",
            tell: dialects::openai::whole,
            fold: appending::openai_whole,
            seam: PARAGRAPH,
            tells: |all| all,
        },
        Whole {
            folder: "openai_responses",
            tell: |info, look| Ok(dialects::responses::whole(info, look).0),
            fold: appending::responses_whole,
            seam: "",
            tells: |all| all,
        },
        Whole {
            folder: "agentcore",
            tell: dialects::agentcore::whole,
            fold: appending::agentcore_whole,
            seam: PARAGRAPH,
            tells: without_clients_tools,
        },
        Whole {
            folder: "a2a",
            tell: |info, look| Ok(dialects::a2a::task(info, look).0),
            fold: appending::a2a_whole,
            seam: PARAGRAPH,
            tells: without_clients_tools,
        },
        Whole {
            folder: "mcp",
            tell: |info, look| Ok(dialects::mcp::whole(info, look, false)),
            fold: appending::mcp_whole,
            seam: PARAGRAPH,
            tells: words_alone,
        },
    ]
}

/// Clients of these protocols bring no tools.
fn without_clients_tools(told: Final) -> Final {
    let tools = told.tools.into_iter().filter(|call| call.name != "locate").collect();
    without_reasoning(Final { tools, ..told })
}

/// A run that has come as far as these events.
fn run(events: &[Event], form: &Form) -> Arc<Run> {
    let id = |text: &str| Id::parse(text).unwrap();
    let info = RunInfo {
        form: form.clone(),
        client_tools: vec!["locate".into()],
        ..RunInfo::new(id("run-1"), id("session-1"), jiff::Timestamp::UNIX_EPOCH)
    };
    let run = Run::new(info, Principal::anonymous().owner().clone());
    let mut question = Message::user("Well?");
    question.metadata.insert(ag_ui::messages::MESSAGE_ID.into(), "u1".into());
    run.set_before(vec![question]);
    run.set_message_count(2);
    run.show(events.iter().cloned());
    run
}

/// What a reader gets of a run after an event, as far as it has come.
fn read(run: &Arc<Run>, form: &Form, after: u64) -> String {
    let reader = Reader::new(Arc::clone(run), encoder(form), after, OnDisconnect::Finish);
    let mut stream = Box::pin(reader.into_stream());
    let mut bytes = Vec::new();
    while let Some(Some(Ok(piece))) = stream.next().now_or_never() {
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).unwrap()
}

/// The truth, from the events themselves.
fn truth(events: &[Event], seam: &str) -> Final {
    let mut transcript = loquat_agent::transcript::Transcript::new();
    let mut told = Final::default();
    for event in events {
        transcript.apply(event);
        match event {
            Event::Finished { outcome } => told.end = outcome.as_str().into(),
            Event::Failed { code, .. } => told.end.clone_from(code),
            _ => {}
        }
    }
    let mut seam = (seam, false);
    for message in transcript.messages() {
        for block in &message.content {
            fold::block(block, &mut seam, &mut told);
        }
    }
    told
}

/// The truth for a client that cannot take anything back: a reset ends what it is told.
fn until_reset(events: &[Event]) -> Vec<Event> {
    let Some(at) = reset_at(events) else { return events.to_vec() };
    let code = "answer_restarted".to_owned();
    let end = Event::Failed { error: String::new(), code, retryable: true };
    events[..at].iter().cloned().chain([end]).collect()
}

/// Whether anything is known of what the run cost.
fn costs(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Usage { cost_usd: Some(_), .. }))
}

/// How many events come before the first reset.
fn reset_at(events: &[Event]) -> Option<usize> {
    events.iter().position(|event| matches!(event, Event::Reset { .. }))
}

/// Compares a file with what it should be, and writes it anew if it is not.
fn keep(place: &str, told: &str, stale: &mut Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire").join(place);
    if std::fs::read_to_string(&path).ok().as_deref() != Some(told) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, told).unwrap();
        stale.push(place.to_owned());
    }
}

#[tokio::test]
async fn every_dialect_tells_the_same() {
    let mut stale = Vec::new();
    for case in transcripts::all() {
        for Dialect { folder, form, fold, seam, takes_back, tells } in dialects() {
            let place = format!("{folder}/{}", case.name);
            let truth =
                if takes_back { truth(&case.events, seam) } else { truth(&until_reset(&case.events), seam) };
            let whole = run(&case.events, &form);
            let stream = read(&whole, &form, 0);
            assert_eq!(fold(&stream), tells(truth), "{place}\n{stream}");
            let tells_cost = costs(&case.events) && folder != "chat_text";
            assert_eq!(stream.contains(&transcripts::COST.to_string()), tells_cost, "{place}\n{stream}");
            if !matches!(form.dialect, DialectName::Openai | DialectName::OpenaiResponses) {
                assert!(!stream.contains("null"), "{place}: optional fields are left out\n{stream}");
            }
            // Who cannot take anything back leaves at a reset.
            let told = if takes_back { None } else { reset_at(&case.events) }.unwrap_or(case.events.len());
            for after in 1..=told {
                let first = read(&run(&case.events[..after], &form), &form, 0);
                assert!(stream.starts_with(&first), "{place}: the same bytes live and later");
                let rest = read(&whole, &form, after as u64);
                assert_eq!(fold(&(first + &rest)), fold(&stream), "{place} cut after {after}\n{rest}");
            }
            keep(&format!("{place}.sse"), &stream, &mut stale);
        }
    }
    assert!(stale.is_empty(), "written anew; look at them, and commit them: {stale:?}");
}

/// An answer that is sent whole is the same message, and nothing of a call that was taken back is in it.
#[tokio::test]
async fn every_whole_answer_is_the_same() {
    let mut stale = Vec::new();
    for case in transcripts::all() {
        for Whole { folder, tell, fold, seam, tells } in wholes() {
            let place = format!("{folder}/{}", case.name);
            let truth = truth(&case.events, seam);
            let run = run(&case.events, &Form::default());
            let body = match tell(&run.info, &run.look()) {
                Ok(body) => {
                    assert_eq!(fold(&body), tells(truth), "{place}\n{body:#}");
                    let told = body.to_string().contains(&transcripts::COST.to_string());
                    assert_eq!(told, costs(&case.events), "{place}\n{body:#}");
                    body
                }
                Err((error, code)) => {
                    assert_eq!(code, truth.end, "{place}");
                    json!({"error": error, "code": code})
                }
            };
            keep(&format!("{place}.json"), &format!("{body:#}\n"), &mut stale);
        }
    }
    assert!(stale.is_empty(), "written anew; look at them, and commit them: {stale:?}");
}

/// A cursor of one dialect is a cursor of every other.
#[tokio::test]
async fn a_cursor_resumes_in_another_dialect() {
    for case in transcripts::all() {
        let form = Form::of(DialectName::AgUi);
        let whole = run(&case.events, &form);
        let whole_stream = read(&whole, &form, 0);
        let expected = fold::ag_ui(&whole_stream);
        // Even of a client that has the end, or more than there is.
        for after in 1..=case.events.len() + 1 {
            let rest = read(&whole, &form, after as u64);
            // AG-UI begins with all messages as they were: nothing of the other stream is needed.
            assert_eq!(fold::ag_ui(&rest), expected, "{} after {after}\n{rest}", case.name);
            assert_eq!(
                fold::states(&rest),
                fold::states(&whole_stream),
                "{} after {after}\n{rest}",
                case.name
            );
        }
    }
}

/// Before a run waits for a decision, AG-UI's clients get the state and the messages as they are.
#[tokio::test]
async fn an_interruption_tells_the_state_and_the_messages() {
    let of = |name: &str| transcripts::all().into_iter().find(|case| case.name == name).unwrap().events;
    let is_state = |event: &Event| matches!(event, Event::Custom { name, .. } if name.starts_with("state"));
    let mut events = of("approval");
    let call = events.iter().position(|event| matches!(event, Event::ApprovalRequested { .. })).unwrap();
    events.splice(call..call, of("state").into_iter().filter(is_state));
    let form = Form::of(DialectName::AgUi);
    let stream = read(&run(&events, &form), &form, 0);
    let kinds: Vec<_> =
        fold::frames(&stream).iter().map(|(_, data)| fold::json(data)["type"].clone()).collect();
    let end = ["STATE_SNAPSHOT", "STATE_DELTA", "MESSAGES_SNAPSHOT", "RUN_FINISHED"];
    assert_eq!(kinds[kinds.len() - 4..], end, "{stream}");
    assert_eq!(fold::states(&stream), fold::states(&read(&run(&of("state"), &form), &form, 0)));
}

/// Whoever leaves in one dialect reads on in another: no word is missing, and none comes twice.
#[tokio::test]
async fn every_dialect_reads_on_where_another_stopped() {
    // The blank between two paragraphs is all in which they differ.
    let dense = |text: String| text.split_whitespace().collect::<String>();
    // AG-UI tells the messages so far first, and MCP the whole answer last.
    let pieces = |dialect: &&Dialect| !matches!(dialect.form.dialect, DialectName::AgUi | DialectName::Mcp);
    let all = dialects();
    for case in transcripts::all().into_iter().filter(|case| reset_at(&case.events).is_none()) {
        let truth = dense(truth(&case.events, "").text);
        for from in all.iter().filter(pieces) {
            for to in all.iter().filter(pieces) {
                for after in 1..case.events.len() {
                    let first = read(&run(&case.events[..after], &from.form), &from.form, 0);
                    let rest = read(&run(&case.events, &to.form), &to.form, after as u64);
                    let told = dense(fold::pieces(&first) + &fold::pieces(&rest));
                    let place = format!("{}: {} until {after}, then {}", case.name, from.folder, to.folder);
                    assert_eq!(told, truth, "{place}\n{rest}");
                }
            }
        }
    }
}

/// A client whose cursor is beyond what was kept is told the end all the same.
#[tokio::test]
async fn a_cursor_beyond_the_end_gets_the_end() {
    for case in transcripts::all() {
        for Dialect { folder, form, fold, takes_back, .. } in dialects() {
            if !takes_back && reset_at(&case.events).is_some() {
                // Its client has left.
                continue;
            }
            let whole = run(&case.events, &form);
            let rest = read(&whole, &form, case.events.len() as u64 + 5);
            let first = read(&run(&case.events[..case.events.len() - 1], &form), &form, 0);
            assert_eq!(fold(&(first + &rest)), fold(&read(&whole, &form, 0)), "{folder}/{}", case.name);
        }
    }
}

#[test]
fn what_the_client_answered_is_not_told_again() {
    let options = json!({"answered": ["c1"]});
    let form = Form { options, ..Form::of(DialectName::AgUi) };
    let case = transcripts::all().into_iter().find(|case| case.name == "two-tools").unwrap();
    let stream = read(&run(&case.events, &form), &form, 0);
    assert_eq!(stream.matches("TOOL_CALL_RESULT").count(), 1);
}
