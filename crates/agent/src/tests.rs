//! The loop, driven through its public face by a scripted model.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::context::{Memo, SlidingWindow};
use crate::event::{Event, Outcome, Progress, StopReason};
use crate::message::{Message, ToolContent};
use crate::model::{ModelError, ModelErrorKind, ModelEvent, OnRestart, Params, ToolChoice};
use crate::scripted::{ScriptedModel, Step, asks, ends, says};
use crate::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use crate::tool_set::ToolSet;
use crate::transcript::Transcript;
use crate::{Agent, Decision, Limits, RunContext, RunInput, Verdict, invariants};

mod tools;

/// A tool that does what its input says.
pub(crate) struct Probe(ToolSpec);

impl Probe {
    pub(crate) fn named(name: &str) -> ToolSpec {
        let schema = json!({"type": "object", "properties": {"do": {"type": "string"}}, "required": ["do"]});
        ToolSpec::new(name, "Does what it is told.", schema)
    }
}

#[async_trait]
impl Tool for Probe {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }
    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        match input["do"].as_str().unwrap_or_default() {
            "panic" => panic!("on purpose"),
            "hang" => std::future::pending().await,
            "slow" => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                ToolOutput::text("slow done")
            }
            "report" => {
                cx.progress.report(Progress { message: Some("half".into()), ..Progress::default() });
                ToolOutput::json(json!({"ok": true}))
            }
            "big" => ToolOutput::text("é".repeat(100)),
            "fail" => ToolOutput::error("no luck"),
            other => ToolOutput::text(other),
        }
    }
}

pub(crate) fn agent(model: &Arc<ScriptedModel>, specs: Vec<ToolSpec>) -> Agent {
    Agent {
        model: model.clone(),
        system: Some("Be brief.".into()),
        tools: ToolSet::new(specs.into_iter().map(|spec| Arc::new(Probe(spec)) as Arc<dyn Tool>)),
        context: Arc::new(SlidingWindow::new(20)),
        limits: Limits { result_bytes: 128, ..Limits::default() },
    }
}

pub(crate) fn cx() -> RunContext {
    RunContext {
        session_id: "s".into(),
        run_id: "r".into(),
        user: None,
        cancel: CancellationToken::new(),
        pause: CancellationToken::new(),
        on_restart: OnRestart::Reset,
        client_tools: vec![],
        params: Params::default(),
        skipped: 0,
        memo: Memo::default(),
    }
}

/// One line an event, so that whole runs are compared.
fn line(event: &Event) -> String {
    let text = |content: &[ToolContent]| serde_json::to_string(content).unwrap();
    match event {
        Event::Started { .. } => "started".into(),
        Event::Text { text } => format!("text {text}"),
        Event::ToolStart { id, name } => format!("start {id} {name}"),
        Event::ToolInput { id, delta } => format!("input {id} {delta}"),
        Event::ToolCall { id, name, input, effects } => format!("call {id} {name} {input} effects={effects}"),
        Event::ToolProgress { id, progress } => format!("progress {id} {:?}", progress.message),
        Event::ToolResult { id, content, is_error, rest, .. } => {
            let rest = rest.as_ref().map(|r| format!(" rest={}", r.len())).unwrap_or_default();
            format!("result {id} error={is_error} {}{rest}", text(content))
        }
        Event::Usage { step, stop_reason, .. } => format!("usage {step} {stop_reason:?}"),
        Event::Finished { outcome } => format!("finished {}", outcome.as_str()),
        Event::Failed { code, retryable, .. } => format!("failed {code} retryable={retryable}"),
        other => serde_json::to_string(other).unwrap(),
    }
}

async fn run(agent: &Agent, input: &str) -> Vec<String> {
    run_with(agent, vec![], RunInput::Message(Message::user(input)), cx()).await
}

async fn run_with(agent: &Agent, history: Vec<Message>, input: RunInput, cx: RunContext) -> Vec<String> {
    agent.run(history, input, cx).map(|event| line(&event)).collect().await
}

fn check_requests(model: &ScriptedModel) {
    for request in model.requests() {
        assert_eq!(invariants::check(&request.messages), Ok(()), "{:#?}", request.messages);
    }
}

#[tokio::test]
async fn a_plain_answer() {
    let model = ScriptedModel::new([says(&["Hel", "lo"])]);
    let events = run(&agent(&model, vec![]), "hi").await;
    assert_eq!(events, ["started", "text Hel", "text lo", "usage 1 EndTurn", "finished complete"]);
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_a_tool_is_a_result_in_call_order() {
    let calls = [
        ("1", "probe", r#"{"do":"slow"}"#),
        ("2", "probe", r#"{"do":"panic"}"#),
        ("3", "probe", r#"{"do":"hang"}"#),
        ("4", "probe", r#"{"do":5}"#),
        ("5", "nope", "{}"),
        ("6", "probe", "{not json"),
        ("7", "probe", r#"{"do":"fail"}"#),
        ("8", "probe", r#"{"do":"big"}"#),
    ];
    let model = ScriptedModel::new([asks(&calls), says(&["ok"])]);
    let events = run(&agent(&model, vec![Probe::named("probe")]), "go").await;
    let results: Vec<&str> = events.iter().filter(|e| e.starts_with("result")).map(String::as_str).collect();
    insta::assert_snapshot!(results.join("\n"), @r#"
    result 1 error=false [{"text":"slow done"}]
    result 2 error=true [{"text":"The tool `probe` crashed. Its outcome is unknown."}]
    result 3 error=true [{"text":"The tool `probe` timed out after 60 s. Its outcome is unknown."}]
    result 4 error=true [{"text":"The input does not fit the schema of `probe`: /do: 5 is not of type \"string\""}]
    result 5 error=true [{"text":"There is no tool `nope`. The tools are: probe."}]
    result 6 error=true [{"text":"The input is not valid JSON (key must be a string at line 1 column 2)."}]
    result 7 error=true [{"text":"no luck"}]
    result 8 error=false [{"text":"éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé\n[cut here: 72 more bytes were left out]"}] rest=72
    "#);
    assert_eq!(events.last().unwrap(), "finished complete");
    check_requests(&model);
}

#[tokio::test(start_paused = true)]
async fn the_intent_stands_before_the_call_and_reports_before_the_result() {
    let model = ScriptedModel::new([asks(&[("1", "probe", r#"{"do":"report"}"#)]), says(&["ok"])]);
    let events = run(&agent(&model, vec![Probe::named("probe")]), "go").await;
    insta::assert_snapshot!(events.join("\n"), @r#"
    started
    start 1 probe
    input 1 {"do":"report"}
    usage 1 ToolUse
    call 1 probe {"do":"report"} effects=true
    progress 1 Some("half")
    result 1 error=false [{"json":{"ok":true}}]
    text ok
    usage 2 EndTurn
    finished complete
    "#);
}

/// The tool has not begun while its intent has not been taken from the stream.
#[tokio::test]
async fn nothing_runs_between_two_polls() {
    struct Flag(ToolSpec, Arc<Semaphore>);
    #[async_trait]
    impl Tool for Flag {
        fn spec(&self) -> &ToolSpec {
            &self.0
        }
        async fn call(&self, _: Value, _: ToolContext) -> ToolOutput {
            self.1.add_permits(1);
            ToolOutput::text("x")
        }
    }
    let ran = Arc::new(Semaphore::new(0));
    let model = ScriptedModel::new([asks(&[("1", "flag", "{}")]), says(&["ok"])]);
    let mut agent = agent(&model, vec![]);
    let spec = ToolSpec::new("flag", "", json!({"type": "object"}));
    agent.tools = ToolSet::new([Arc::new(Flag(spec, Arc::clone(&ran))) as Arc<dyn Tool>]);
    let mut events = agent.run(vec![], RunInput::Message(Message::user("go")), cx());
    while let Some(event) = events.next().await {
        if matches!(event, Event::ToolCall { .. }) {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(ran.available_permits(), 0);
        }
    }
    assert_eq!(ran.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn budgets_end_a_run() {
    let again = || asks(&[("1", "probe", r#"{"do":"x"}"#)]);
    let model = ScriptedModel::new([again(), again(), again()]);
    let mut endless = agent(&model, vec![Probe::named("probe")]);
    endless.limits.max_steps = 2;
    assert_eq!(run(&endless, "go").await.last().unwrap(), "finished max_steps");
    check_requests(&model);

    let model =
        ScriptedModel::new([vec![Step::Say(ModelEvent::Text("a".into())), Step::Wait(Duration::MAX)]]);
    let events = run(&agent(&model, vec![]), "go").await;
    assert_eq!(events, ["started", "text a", "finished max_seconds"]);

    let model = ScriptedModel::new([again(), says(&["never"])]);
    let mut short = agent(&model, vec![Probe::named("probe")]);
    short.limits.max_output_tokens = Some(5);
    assert_eq!(run(&short, "go").await.last().unwrap(), "finished max_tokens");
    assert_eq!(model.requests()[0].params.max_output_tokens, Some(5));
}

/// A call that has to be made is made once: forced again, the model would never answer.
#[tokio::test(start_paused = true)]
async fn a_tool_is_forced_once() {
    let model = ScriptedModel::new([asks(&[("1", "probe", r#"{"do":"x"}"#)]), says(&["done"])]);
    let mut cx = cx();
    cx.params.tool_choice = Some(ToolChoice::Required);
    let agent = agent(&model, vec![Probe::named("probe")]);
    let events = agent.run(vec![], RunInput::Message(Message::user("go")), cx);
    assert!(matches!(events.collect::<Vec<_>>().await.last(), Some(Event::Finished { .. })));
    let forced: Vec<_> = model.requests().into_iter().map(|request| request.params.tool_choice).collect();
    assert_eq!(forced, [Some(ToolChoice::Required), None]);
}

#[tokio::test(start_paused = true)]
async fn cancelling_answers_every_open_call() {
    let model =
        ScriptedModel::new([asks(&[("1", "probe", r#"{"do":"x"}"#), ("2", "probe", r#"{"do":"hang"}"#)])]);
    let cx = cx();
    let cancel = cx.cancel.clone();
    let agent = agent(&model, vec![Probe::named("probe")]);
    let mut events = agent.run(vec![], RunInput::Message(Message::user("go")), cx);
    let mut lines = vec![];
    while let Some(event) = events.next().await {
        lines.push(line(&event));
        if matches!(event, Event::ToolResult { .. }) {
            cancel.cancel();
        }
    }
    assert!(lines.iter().any(|l| l.starts_with("result 2 error=true")), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "finished cancelled");
}

#[tokio::test]
async fn a_stream_without_its_end_is_a_failure() {
    let model = ScriptedModel::new([vec![Step::Say(ModelEvent::Text("half".into()))]]);
    let events = run(&agent(&model, vec![]), "hi").await;
    assert_eq!(events, ["started", "text half", "failed model_stream_cut retryable=true"]);
}

#[tokio::test]
async fn a_context_that_is_too_long_is_shrunk_once() {
    let too_long = || vec![Step::Fail(ModelError::new(ModelErrorKind::ContextTooLong, "too long"))];
    let history: Vec<Message> =
        (0..8).flat_map(|n| [Message::user(format!("q{n}")), Message::assistant("a")]).collect();
    let model = ScriptedModel::new([too_long(), says(&["ok"])]);
    let input = || RunInput::Message(Message::user("new"));
    let events = run_with(&agent(&model, vec![]), history.clone(), input(), cx()).await;
    assert_eq!(events.last().unwrap(), "finished complete");
    let requests = model.requests();
    assert!(requests[1].messages.len() < requests[0].messages.len());

    let model = ScriptedModel::new([too_long(), too_long()]);
    let events = run_with(&agent(&model, vec![]), history, input(), cx()).await;
    assert_eq!(events.last().unwrap(), "failed context_too_long retryable=false");
}

#[tokio::test]
async fn an_unreadable_tool_call_is_told_to_the_model_once() {
    let model = ScriptedModel::new([ends(StopReason::MalformedToolUse), says(&["ok"])]);
    let events = run(&agent(&model, vec![]), "hi").await;
    assert_eq!(events.last().unwrap(), "finished complete");
    assert!(model.requests()[1].messages[0].text().contains("valid JSON"));

    let model = ScriptedModel::new([ends(StopReason::MalformedToolUse), ends(StopReason::MalformedToolUse)]);
    let events = run(&agent(&model, vec![]), "hi").await;
    assert_eq!(events.last().unwrap(), "failed model_malformed_output retryable=true");
}

#[tokio::test]
async fn consent_interrupts_and_resumes() {
    let spec = Probe::named("probe").needs_approval();
    let call = asks(&[("1", "probe", r#"{"do":"pay"}"#), ("2", "free", r#"{"do":"look"}"#)]);
    let model = ScriptedModel::new([call.clone(), says(&["paid"])]);
    let agent = agent(&model, vec![spec, Probe::named("free")]);
    let user = Message::user("go");
    let mut transcript = Transcript::new();
    let mut lines = vec![];
    let mut events = agent.run(vec![], RunInput::Message(user.clone()), cx());
    while let Some(event) = events.next().await {
        transcript.apply(&event);
        lines.push(line(&event));
    }
    assert_eq!(lines.last().unwrap(), "finished interrupted");
    assert!(lines.iter().any(|l| l.contains("approval_requested")), "{lines:#?}");
    assert!(lines.iter().any(|l| l.starts_with("result 2")), "{lines:#?}");

    let mut history = vec![user];
    history.extend(transcript.messages());
    let approve = |id: &str, verdict| RunInput::Resume(vec![Decision { id: id.into(), verdict }]);
    let events = run_with(&agent, history.clone(), approve("1", Verdict::Approve), cx()).await;
    assert!(events.contains(&r#"result 1 error=false [{"text":"pay"}]"#.to_owned()), "{events:#?}");
    assert_eq!(events.last().unwrap(), "finished complete");
    check_requests(&model);

    let model = ScriptedModel::new([says(&["pity"])]);
    let agent = Agent { model: model.clone(), ..agent };
    let events =
        run_with(&agent, history.clone(), approve("1", Verdict::Refuse(Some("too dear".into()))), cx()).await;
    assert!(events.iter().any(|l| l.contains("too dear")), "{events:#?}");
    let events = run_with(&agent, history, approve("9", Verdict::Approve), cx()).await;
    assert_eq!(events.last().unwrap(), "finished interrupted");
}

#[tokio::test]
async fn a_clients_tool_waits_for_the_clients_answer() {
    let call = asks(&[("1", "locate", r#"{"do":"here"}"#), ("2", "pay", r#"{"do":"pay"}"#)]);
    let model = ScriptedModel::new([call, says(&["there"])]);
    let agent = agent(&model, vec![Probe::named("pay").needs_approval()]);
    let with_tool = || RunContext { client_tools: vec![Probe::named("locate")], ..cx() };
    let user = Message::user("go");
    let mut transcript = Transcript::new();
    let mut lines = vec![];
    let mut events = agent.run(vec![], RunInput::Message(user.clone()), with_tool());
    while let Some(event) = events.next().await {
        transcript.apply(&event);
        lines.push(line(&event));
    }
    let waits = [
        r#"{"type":"client_call","id":"1","name":"locate","input":{"do":"here"}}"#,
        r#"{"type":"approval_requested","id":"2","name":"pay","input":{"do":"pay"}}"#,
        "finished interrupted",
    ];
    assert!(lines.ends_with(&waits.map(str::to_owned)), "{lines:#?}");
    let mut history = vec![user];
    history.extend(transcript.messages());

    // Neither can the server run the client's tool, nor the client answer for the server's.
    let decide = |one, two| {
        let [one, two] = [("1", one), ("2", two)].map(|(id, verdict)| Decision { id: id.into(), verdict });
        RunInput::Resume(vec![one, two])
    };
    let faked = Verdict::Answer(ToolOutput::text("paid"));
    let events = run_with(&agent, history.clone(), decide(Verdict::Approve, faked), with_tool()).await;
    assert_eq!(events[1..], waits);

    let answer = Verdict::Answer(ToolOutput::text("Rome"));
    let events = run_with(&agent, history, decide(answer, Verdict::Approve), with_tool()).await;
    let results = [r#"result 1 error=false [{"text":"Rome"}]"#, r#"result 2 error=false [{"text":"pay"}]"#];
    for result in results {
        assert!(events.contains(&result.to_owned()), "{events:#?}");
    }
    assert_eq!(events.last().unwrap(), "finished complete");
    check_requests(&model);
    assert_eq!(model.requests()[0].tools.len(), 2);
}

#[tokio::test]
async fn a_repeated_call_id_is_changed() {
    let twice = || asks(&[("1", "probe", r#"{"do":"a"}"#), ("1", "probe", r#"{"do":"b"}"#)]);
    let model = ScriptedModel::new([twice(), asks(&[("", "probe", r#"{"do":"c"}"#)]), says(&["ok"])]);
    let events = run(&agent(&model, vec![Probe::named("probe")]), "go").await;
    assert_eq!(events.last().unwrap(), "finished complete");
    for said in ["a", "b", "c"] {
        assert!(
            events.iter().any(|l| l.contains(&format!(r#"error=false [{{"text":"{said}"}}]"#))),
            "{events:#?}"
        );
    }
    check_requests(&model);
}

fn step() -> impl Strategy<Value = Vec<Step>> {
    let say = |event| Just(Step::Say(event));
    let one = prop_oneof![
        say(ModelEvent::Text("x".into())),
        say(ModelEvent::Text(String::new())),
        say(ModelEvent::Reasoning("r".into())),
        say(ModelEvent::ReasoningSignature("s".into())),
        say(ModelEvent::ToolStart { id: "1".into(), name: "probe".into() }),
        say(ModelEvent::ToolInput { id: "1".into(), delta: r#"{"do":"x"}"#.into() }),
        say(ModelEvent::ToolInput { id: "9".into(), delta: "x".into() }),
        say(ModelEvent::Reset { reason: "again".into() }),
        say(ModelEvent::Stop(StopReason::ToolUse)),
        say(ModelEvent::Stop(StopReason::EndTurn)),
        Just(Step::Fail(ModelError::new(ModelErrorKind::Unavailable, "down"))),
    ];
    prop::collection::vec(one, 0..8)
}

proptest! {
    /// Whatever a model says: one terminal event, last; every request obeys the providers' rules; what would be stored
    /// can be sent again.
    #[test]
    fn any_model_ends_in_one_terminal_event(scripts in prop::collection::vec(step(), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let model = ScriptedModel::new(scripts);
            let agent = agent(&model, vec![Probe::named("probe")]);
            let events: Vec<Event> =
                agent.run(vec![], RunInput::Message(Message::user("go")), cx()).collect().await;
            let terminal = events.iter().filter(|event| event.is_terminal()).count();
            assert_eq!(terminal, 1);
            assert!(events.last().unwrap().is_terminal());
            assert!(!matches!(events.last(), Some(Event::Finished { outcome: Outcome::Interrupted })));
            check_requests(&model);
            let mut transcript = Transcript::new();
            events.iter().for_each(|event| transcript.apply(event));
            let mut stored = vec![Message::user("go")];
            stored.extend(transcript.messages());
            stored.push(Message::user("next"));
            assert_eq!(invariants::check(&invariants::prepare(stored)), Ok(()));
        });
    }
}

/// A turn with an effect, a harmless call, and an answer in two pieces.
fn turn_with_tools() -> Vec<Vec<Step>> {
    let calls = [("1", "effect", r#"{"do":"a"}"#), ("2", "look", r#"{"do":"b"}"#)];
    vec![asks(&calls), says(&["Hel", "lo"])]
}

fn harmless() -> ToolSpec {
    ToolSpec { read_only: true, ..Probe::named("look") }
}

#[tokio::test]
async fn a_paused_run_goes_on_elsewhere_from_any_event() {
    let tools = || vec![Probe::named("effect"), harmless()];
    let whole: Vec<Event> = agent(&ScriptedModel::new(turn_with_tools()), tools())
        .run(vec![], RunInput::Message(Message::user("hi")), cx())
        .collect()
        .await;
    let fold = |events: &[Event]| {
        let mut transcript = Transcript::new();
        events.iter().for_each(|event| transcript.apply(event));
        transcript.messages()
    };
    let calls = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::Usage { .. })).count();
    for cut in 1..whole.len() {
        let told = &whole[..cut];
        // All calls of a step are told before the run can be paused again.
        if matches!(told.last(), Some(Event::Usage { step: 1, .. } | Event::ToolCall { .. }))
            && !matches!(whole[cut], Event::ToolResult { .. })
        {
            continue;
        }
        let model = ScriptedModel::new(turn_with_tools().split_off(calls(told).min(1)));
        let rest: Vec<Event> = agent(&model, tools())
            .run(vec![Message::user("hi")], RunInput::GoOn(told.to_vec()), cx())
            .collect()
            .await;
        check_requests(&model);
        let all: Vec<Event> = told.iter().chain(&rest).cloned().collect();
        assert_eq!(all.iter().filter(|event| event.is_terminal()).count(), 1, "{cut}: {all:?}");
        let (mut messages, expected) = (fold(&all), fold(&whole));
        // The effect's outcome is unknown where its result was not told; it is not run again.
        if !told.iter().any(|e| matches!(e, Event::ToolResult { id, .. } if id == "1"))
            && told.iter().any(|e| matches!(e, Event::ToolCall { .. }))
        {
            assert!(serde_json::to_string(&messages[1]).unwrap().contains("outcome is unknown"), "{cut}");
            messages[1].content[0] = expected[1].content[0].clone();
        }
        assert_eq!(messages, expected, "{cut}");
    }
}

#[tokio::test]
async fn a_run_pauses_between_steps_without_a_terminal_event() {
    let model = ScriptedModel::new(turn_with_tools());
    let cx = cx();
    let pause = cx.pause.clone();
    let mut events = agent(&model, vec![Probe::named("effect"), harmless()]).run(
        vec![],
        RunInput::Message(Message::user("hi")),
        cx,
    );
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        if matches!(event, Event::ToolCall { .. }) {
            pause.cancel();
        }
        told.push(event);
    }
    assert!(matches!(told.last(), Some(Event::ToolResult { id, .. }) if id == "2"), "{told:?}");
    assert_eq!(model.requests().len(), 1);
}
