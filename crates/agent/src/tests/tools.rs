//! Tools: how many run at once, how much they may say, and what is told when one is gone.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A tool whose calls take a second and are counted while they run.
struct Busy {
    spec: ToolSpec,
    running: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Tool for Busy {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }
    async fn call(&self, _: Value, _: ToolContext) -> ToolOutput {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        ToolOutput::text("x".repeat(100 * 1024))
    }
}

/// An agent with the limits that hold where nobody sets others.
fn by_default(model: &Arc<ScriptedModel>, tool: Arc<dyn Tool>) -> Agent {
    Agent { tools: ToolSet::new([tool]), limits: Limits::default(), ..agent(model, vec![]) }
}

#[tokio::test(start_paused = true)]
async fn eight_calls_run_at_once_and_each_says_64_kib_to_the_model() {
    let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let calls: Vec<(&str, &str, &str)> = ids.iter().map(|id| (id.as_str(), "busy", "{}")).collect();
    let model = ScriptedModel::new([asks(&calls), says(&["ok"])]);
    let spec = ToolSpec::new("busy", "", json!({"type": "object"}));
    let tool = Arc::new(Busy { spec, running: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let began = tokio::time::Instant::now();
    let agent = by_default(&model, Arc::clone(&tool) as _);
    let events: Vec<Event> = agent.run(vec![], RunInput::Message(Message::user("go")), cx()).collect().await;
    assert_eq!(tool.most.load(Ordering::SeqCst), 8);
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    let mut results = 0;
    for event in &events {
        let Event::ToolResult { id, content, rest, .. } = event else { continue };
        assert_eq!(*id, ids[results], "in the order of the calls");
        results += 1;
        // What the model does not get is in the log, and the model is told so.
        let [ToolContent::Text(text)] = content.as_slice() else { panic!("{content:?}") };
        let kept = text.trim_end_matches("\n[cut here: 36864 more bytes were left out]");
        assert_eq!((kept.len(), rest.as_ref().map(String::len)), (64 * 1024, Some(36 * 1024)));
        assert!(text.len() > kept.len());
    }
    assert_eq!(results, 20);
}

#[tokio::test(start_paused = true)]
async fn a_runs_time_ends_its_tools() {
    let model = ScriptedModel::new([asks(&[("1", "busy", "{}")]), says(&["never"])]);
    let spec = ToolSpec::new("busy", "", json!({"type": "object"}));
    let tool = Arc::new(Busy { spec, running: AtomicUsize::new(0), most: AtomicUsize::new(0) });
    let mut agent = by_default(&model, Arc::clone(&tool) as _);
    agent.limits.max_time = Duration::from_millis(500);
    let events = run(&agent, "go").await;
    assert!(events.iter().any(|line| line.contains("time was up")), "{events:#?}");
    assert_eq!(events.last().unwrap(), "finished max_seconds");
    assert_eq!(model.requests().len(), 1);
}

/// The server of a tool may still be starting in the process that takes over: what it began elsewhere has an unknown
/// outcome, it did not fail to begin.
#[tokio::test]
async fn an_effect_whose_tool_is_gone_has_an_unknown_outcome() {
    let call = |id: &str, name: &str, effects| Event::ToolCall {
        id: id.into(),
        name: name.into(),
        input: json!({"do": "a"}),
        effects,
    };
    let start = |id: &str, name: &str| Event::ToolStart { id: id.into(), name: name.into() };
    let told = vec![
        Event::Started { model: "m".into() },
        start("1", "effect"),
        start("2", "look"),
        call("1", "effect", true),
        call("2", "look", false),
    ];
    let model = ScriptedModel::new([says(&["ok"])]);
    let history = vec![Message::user("hi")];
    let events = run_with(&agent(&model, vec![]), history, RunInput::GoOn(told), cx()).await;
    let result = |id: &str| events.iter().find(|line| line.starts_with(&format!("result {id}"))).unwrap();
    assert!(result("1").contains("outcome is unknown"), "{events:#?}");
    assert!(result("2").contains("There is no tool `look`"), "{events:#?}");
    assert_eq!(events.last().unwrap(), "finished complete");
}
