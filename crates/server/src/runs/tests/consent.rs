//! Calls that wait for the user's word, over processes and days.

use std::sync::atomic::{AtomicUsize, Ordering};

use loquat_agent::event::{Event, Outcome};
use loquat_agent::{Decision, Verdict};

use super::*;
use crate::runs::engine::StartError;
use crate::sessions::memory::MemoryBlobs;
use crate::sessions::service::SessionError;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A tool with an effect, which is counted.
struct Pay(ToolSpec, Arc<AtomicUsize>);

#[async_trait]
impl Tool for Pay {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }
    async fn call(&self, _: Value, _: ToolContext) -> ToolOutput {
        self.1.fetch_add(1, Ordering::SeqCst);
        ToolOutput::text("paid")
    }
}

/// A process of a service whose sessions live three days. All count the payments together.
fn process(
    store: &Arc<dyn BlobStore>,
    clock: Clock,
    model: &Arc<ScriptedModel>,
    paid: &Arc<AtomicUsize>,
) -> Process {
    let times = Times { ttl: 72 * HOUR, ..Times::default() };
    let journals = SegmentJournals::new(Arc::clone(store), clock, times.lease, times.patience);
    let spec = ToolSpec::new("pay", "Pays", json!({"type": "object"})).needs_approval();
    let tools: Vec<Arc<dyn Tool>> = vec![Arc::new(Pay(spec, Arc::clone(paid)))];
    Process::with_times(store, Arc::new(journals), clock, Arc::clone(model) as _, tools, times)
}

fn approve(session: &str, run: &str, asked_by: &str) -> StartRequest {
    let decisions = vec![Decision { id: "c".into(), verdict: Verdict::Approve }];
    let ask = Ask::Resume { asked_by: RunId::parse(asked_by).unwrap(), decisions };
    StartRequest { ask, ..request(session, run, "") }
}

async fn ends(run: &Arc<Run>, outcome: Outcome) {
    run.finished().await;
    assert_eq!(run.look().terminal(), Some(Event::Finished { outcome }));
}

#[tokio::test(start_paused = true)]
async fn a_question_is_open_for_a_day_and_for_every_process() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::new());
    let (clock, paid) = (Clock::tokio(), Arc::new(AtomicUsize::new(0)));
    let asks = || loquat_agent::scripted::asks(&[("c", "pay", "{}")]);
    let model = ScriptedModel::new([asks(), says(&["Paid."]), asks(), says(&["As you wish."])]);
    let here = process(&store, clock, &model, &paid);
    let there = process(&store, clock, &model, &paid);

    let asked = here.engine.start(request("s", "r1", "Pay it.")).await.unwrap();
    ends(&asked, Outcome::Interrupted).await;
    tokio::time::sleep(24 * HOUR - Duration::from_secs(60)).await;
    assert_eq!(paid.load(Ordering::SeqCst), 0);
    let going_on = there.engine.start(approve("s", "r2", "r1")).await.unwrap();
    ends(&going_on, Outcome::Complete).await;
    assert_eq!(paid.load(Ordering::SeqCst), 1);

    let asked = here.engine.start(request("s", "r3", "And that.")).await.unwrap();
    ends(&asked, Outcome::Interrupted).await;
    tokio::time::sleep(24 * HOUR + Duration::from_secs(60)).await;
    let late = there.engine.start(approve("s", "r4", "r3")).await;
    let Err(StartError::Session(SessionError::Invalid(why))) = late else { panic!("{late:?}") };
    assert!(why.contains("the time for a decision is over"), "{why}");
    let next = there.engine.start(request("s", "r5", "Well?")).await.unwrap();
    ends(&next, Outcome::Complete).await;
    assert_eq!(paid.load(Ordering::SeqCst), 1, "what nobody decided was not run");
    let told = json!(model.requests().last().unwrap().messages).to_string();
    assert!(told.contains("Nobody decided on this call in time. It was not run."), "{told}");
}
