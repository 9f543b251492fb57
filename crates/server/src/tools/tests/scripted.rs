//! A scripted model drives servers through the agent's loop: list, read, ask before harm, stop.

use std::sync::Arc;

use futures_util::StreamExt as _;
use loquat_agent::context::{Memo, SlidingWindow};
use loquat_agent::event::{Event, Outcome};
use loquat_agent::message::Message;
use loquat_agent::model::{OnRestart, Params};
use loquat_agent::scripted::{ScriptedModel, Step, asks, says};
use loquat_agent::tool_set::ToolSet;
use loquat_agent::transcript::Transcript;
use loquat_agent::{Agent, Decision, Limits, RunContext, RunInput, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use tokio_util::sync::CancellationToken;

use crate::tools::Toolbox;
use crate::tools::testing::{fixture, npm_server, toolbox};

async fn agent(toolbox: &Toolbox, scripts: Vec<Vec<Step>>) -> Agent {
    Agent {
        model: ScriptedModel::new(scripts),
        system: None,
        tools: ToolSet::new(toolbox.tools().await.iter().cloned()),
        context: Arc::new(SlidingWindow::new(20)),
        limits: Limits::default(),
    }
}

fn cx(cancel: &CancellationToken) -> RunContext {
    RunContext {
        session_id: "s".into(),
        run_id: "r".into(),
        user: None,
        cancel: cancel.clone(),
        pause: CancellationToken::new(),
        on_restart: OnRestart::Reset,
        client_tools: vec![],
        params: Params::default(),
        skipped: 0,
        memo: Memo::default(),
    }
}

async fn run(agent: &Agent, history: Vec<Message>, input: RunInput) -> Vec<Event> {
    agent.run(history, input, cx(&CancellationToken::new())).collect().await
}

fn results(events: &[Event]) -> Vec<(String, bool, String)> {
    let result = |event: &Event| match event {
        Event::ToolResult { id, is_error, content, .. } => {
            Some((id.clone(), *is_error, serde_json::to_string(content).unwrap()))
        }
        _ => None,
    };
    events.iter().filter_map(result).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_server_reads_at_once_and_asks_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().canonicalize().unwrap();
    std::fs::write(inside.join("note.txt"), "the secret word is loquat").unwrap();
    let script = npm_server("server-filesystem");
    let toolbox = toolbox(&format!(
        "connect_wait_ms = 30000\n[[mcp]]\nname = \"files\"\ncommand = \"node\"\nargs = [{script:?}, {inside:?}]\n"
    ));
    let file = |name: &str| inside.join(name).to_string_lossy().into_owned();
    let read = format!("{{\"path\":{:?}}}", file("note.txt"));
    let write = format!("{{\"path\":{:?},\"content\":\"new\"}}", file("new.txt"));
    let outside = "{\"path\":\"/etc/passwd\"}";
    let scripts = vec![
        asks(&[
            ("r", "read_text_file", &read),
            ("o", "read_text_file", outside),
            ("w", "write_file", &write),
        ]),
        says(&["Written."]),
    ];
    let agent = agent(&toolbox, scripts).await;

    let events = run(&agent, vec![], RunInput::Message(Message::user("go"))).await;
    let found = results(&events);
    assert!(!found[0].1 && found[0].2.contains("the secret word is loquat"), "{found:?}");
    assert!(found[1].1 && found[1].2.contains("denied"), "{found:?}");
    let asked: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::ApprovalRequested { id, .. } if id == "w"))
        .collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(events.last(), Some(&Event::Finished { outcome: Outcome::Interrupted }));
    assert!(!inside.join("new.txt").exists(), "nothing was written without consent");

    let mut transcript = Transcript::new();
    events.iter().for_each(|event| transcript.apply(event));
    let mut history = vec![Message::user("go")];
    history.extend(transcript.messages());
    let decisions = vec![Decision { id: "w".into(), verdict: Verdict::Approve }];
    let events = run(&agent, history, RunInput::Resume(decisions)).await;
    assert_eq!(events.last(), Some(&Event::Finished { outcome: Outcome::Complete }));
    assert_eq!(std::fs::read_to_string(inside.join("new.txt")).unwrap(), "new");
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_and_a_stop_ends_the_call() {
    let script = npm_server("server-everything");
    let toolbox = toolbox(&format!(
        "connect_wait_ms = 30000\n[[mcp]]\nname = \"e\"\ncommand = \"node\"\nargs = [{script:?}, \"stdio\"]\n"
    ));
    let scripts = vec![asks(&[("l", "trigger-long-running-operation", "{\"duration\":60,\"steps\":600}")])];
    let agent = agent(&toolbox, scripts).await;
    let cancel = CancellationToken::new();
    let mut stream = agent.run(vec![], RunInput::Message(Message::user("go")), cx(&cancel));
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        if matches!(event, Event::ToolProgress { .. }) {
            cancel.cancel();
        }
        events.push(event);
    }
    assert!(results(&events)[0].1);
    assert_eq!(events.last(), Some(&Event::Finished { outcome: Outcome::Cancelled }));
    toolbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_servers_and_models_send_a_run_ends_by_the_rules() {
    let garbage = fixture("garbage", &[], "call_timeout_seconds = 1");
    let odd = fixture("odd_results", &[], "call_timeout_seconds = 1");
    let mut runner =
        proptest::test_runner::TestRunner::new(ProptestConfig { cases: 24, ..Default::default() });
    let inputs = prop::collection::vec(
        ("ping|slow|grow|nope|", "[{}\\[\\]\":,a-z0-9\\\\ ]{0,30}|\\{\"a\":1\\}"),
        1..4,
    );
    for _ in 0..24 {
        let calls = inputs.new_tree(&mut runner).unwrap().current();
        for toolbox in [&garbage, &odd] {
            let ids: Vec<String> = (0..calls.len()).map(|i| format!("c{i}")).collect();
            let script: Vec<(&str, &str, &str)> = ids
                .iter()
                .zip(&calls)
                .map(|(id, (name, input))| (id.as_str(), name.as_str(), input.as_str()))
                .collect();
            let agent = agent(toolbox, vec![asks(&script), says(&["done"])]).await;
            let events = run(&agent, vec![], RunInput::Message(Message::user("go"))).await;
            assert_eq!(results(&events).len(), calls.len(), "{calls:?}: {events:?}");
            assert_eq!(events.iter().filter(|event| event.is_terminal()).count(), 1);
            assert_eq!(events.last(), Some(&Event::Finished { outcome: Outcome::Complete }), "{calls:?}");
        }
    }
    garbage.shutdown().await;
    odd.shutdown().await;
}
