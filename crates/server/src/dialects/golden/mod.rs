//! Every dialect tells every run, whole and cut after every event, and the message is the same.
//!
//! The streams are kept in `fixtures/wire/{dialect}/{case}.sse`; the page's tests read those of `chat`. A dialect joins
//! with a row in [`dialects`]: its form, and a fold of its frames to what its client ends up with.

mod fold;
mod transcripts;

use std::path::Path;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use loquat_agent::event::Event;
use loquat_agent::message::Message;
use serde_json::{Value, json};

use crate::auth::Principal;
use crate::dialects::{ag_ui, encoder};
use crate::ids::Id;
use crate::runs::engine::OnDisconnect;
use crate::runs::reader::Reader;
use crate::runs::run::{DialectName, Form, Run, RunInfo, Terms};

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
    /// What of the whole truth its clients learn.
    tells: fn(Final) -> Final,
}

fn dialects() -> Vec<Dialect> {
    let all = |dialect| Form::of(dialect);
    vec![
        Dialect { folder: "chat", form: all(DialectName::Chat), fold: fold::chat, tells: |all| all },
        Dialect { folder: "ag_ui", form: all(DialectName::AgUi), fold: fold::ag_ui, tells: |all| all },
        Dialect { folder: "ai_sdk", form: all(DialectName::AiSdk), fold: fold::ai_sdk, tells: |all| all },
    ]
}

/// A run that has come as far as these events.
fn run(events: &[Event], form: &Form) -> Arc<Run> {
    let id = |text: &str| Id::parse(text).unwrap();
    let info = RunInfo {
        id: id("run-1"),
        session_id: id("session-1"),
        created_at: jiff::Timestamp::UNIX_EPOCH,
        history_length: 0,
        form: form.clone(),
        continues: None,
        client_tools: vec!["locate".into()],
        terms: Terms::default(),
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
fn truth(events: &[Event]) -> Final {
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
    for message in transcript.messages() {
        for block in &message.content {
            fold::block(block, &mut told);
        }
    }
    told
}

#[tokio::test]
async fn every_dialect_tells_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let mut stale = Vec::new();
    for case in transcripts::all() {
        let truth = truth(&case.events);
        for Dialect { folder, form, fold, tells } in dialects() {
            let place = format!("{folder}/{}", case.name);
            let whole = run(&case.events, &form);
            let stream = read(&whole, &form, 0);
            assert_eq!(fold(&stream), tells(truth.clone()), "{place}\n{stream}");
            assert!(!stream.contains("null"), "{place}: optional fields are left out\n{stream}");
            for after in 1..=case.events.len() {
                let first = read(&run(&case.events[..after], &form), &form, 0);
                assert!(stream.starts_with(&first), "{place}: the same bytes live and later");
                let rest = read(&whole, &form, after as u64);
                assert_eq!(fold(&(first + &rest)), fold(&stream), "{place} cut after {after}\n{rest}");
            }
            let path = root.join(format!("{place}.sse"));
            if std::fs::read_to_string(&path).ok().as_deref() != Some(stream.as_str()) {
                std::fs::create_dir_all(root.join(folder)).unwrap();
                std::fs::write(&path, &stream).unwrap();
                stale.push(place);
            }
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
        let expected = fold::ag_ui(&read(&whole, &form, 0));
        for after in 1..case.events.len() {
            let rest = read(&whole, &form, after as u64);
            // AG-UI begins with all messages as they were: nothing of the other stream is needed.
            assert_eq!(fold::ag_ui(&rest), expected, "{} after {after}\n{rest}", case.name);
        }
    }
}

/// A client whose cursor is beyond what was kept is told the end all the same.
#[tokio::test]
async fn a_cursor_beyond_the_end_gets_the_end() {
    for case in transcripts::all() {
        for Dialect { folder, form, fold, .. } in dialects() {
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
