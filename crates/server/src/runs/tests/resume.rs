//! Left after any event and resumed, a stream has the same bytes as an uncut one: live and from the log, in the same
//! process and in another.

use super::*;
use crate::sessions::memory::MemoryBlobs;

/// What a model may do in a turn.
fn transcripts() -> Vec<(&'static str, Vec<Vec<Step>>)> {
    let thought = |text: &str| Step::Say(ModelEvent::Reasoning(text.into()));
    let mut thinking =
        vec![thought("Let me "), thought("see"), Step::Say(ModelEvent::ReasoningSignature("s".into()))];
    thinking.extend(says(&["I will look", " at it."])[..2].to_vec());
    thinking.extend(asks(&[("c1", "look", "{\"at\":"), ("c2", "look", "{}")]));
    let mut restarted = says(&["Wrong ", "beginning"])[..2].to_vec();
    restarted.push(Step::Say(ModelEvent::Reset { reason: "the stream broke".into() }));
    restarted.extend(says(&["Right.", " Yes."]));
    let failure = loquat_agent::model::ModelError::new(loquat_agent::model::ModelErrorKind::BadRequest, "no");
    let mut failing = says(&["Half an ", "answer"])[..2].to_vec();
    failing.push(Step::Fail(failure));
    vec![
        ("text", vec![says(&["One ", "two", " thr€e\n\n", "data: four", " 🦀"])]),
        ("tools", vec![thinking, says(&["It is ", "a crab."])]),
        ("restarted", vec![restarted]),
        ("failed", vec![failing]),
        ("silent", vec![ends(loquat_agent::event::StopReason::EndTurn)]),
    ]
}

/// The frames of a stream up to an event, and the number of its last event.
fn upto(whole: &str, n: u64) -> String {
    let number = |frame: &str| frame.strip_prefix("id: ")?.lines().next()?.parse::<u64>().ok();
    whole.split_inclusive("\n\n").filter(|frame| number(frame).is_some_and(|id| id <= n)).collect()
}

#[derive(Clone, Copy)]
enum Place {
    Objects,
    Files,
}

async fn everywhere(place: Place) {
    let clock = Clock::tokio();
    let folder = tempfile::tempdir().unwrap();
    let process = |store: &Arc<dyn BlobStore>, scripts: Vec<Vec<Step>>| {
        let model = ScriptedModel::new(scripts);
        match place {
            Place::Objects => Process::on_objects(store, clock, model),
            Place::Files => Process::on_files(store, folder.path(), clock, model),
        }
    };
    for (name, scripts) in transcripts() {
        let store: Arc<dyn BlobStore> = Arc::new(MemoryBlobs::new());
        let scripts = scripts.into_iter().map(|script| paced(script, Duration::from_millis(400))).collect();
        let here = process(&store, scripts);
        let there = process(&store, Vec::new());
        let run = here.engine.start(request(name, name, "hi")).await.unwrap();
        let whole: Vec<_> = [false, true]
            .map(|all| {
                tokio::spawn({
                    let run = Arc::clone(&run);
                    async move { read(&run, all, 0).await }
                })
            })
            .into_iter()
            .collect();

        // Whenever an event is there, clients come with this cursor, to this process and to the other.
        let mut live = Vec::new();
        let mut grown = run.watch();
        let mut seen = 0;
        while !run.ended() {
            let shown = *grown.borrow_and_update();
            for n in seen..=shown {
                for all in [false, true] {
                    let (run, engine, id) =
                        (Arc::clone(&run), Arc::clone(&there.engine), run.info.id.clone());
                    let session = run.info.session_id.clone();
                    live.push(tokio::spawn(async move {
                        let owner = Principal::anonymous();
                        let other =
                            engine.find_in(owner.owner(), &id, Some(&session)).await.unwrap().unwrap();
                        assert!(!other.driven());
                        let (here, there) = tokio::join!(read(&run, all, n), read(&other, all, n));
                        (n, all, here, there)
                    }));
                }
            }
            seen = shown + 1;
            if !run.ended() {
                grown.changed().await.unwrap();
            }
        }
        let mut uncut = Vec::new();
        for reader in whole {
            uncut.push(reader.await.unwrap());
        }
        assert!(
            uncut[1].starts_with("id: 1\nevent: metadata\n") && uncut[1].matches("\n\n").count() > 1,
            "{}",
            uncut[1]
        );
        // The text form ends where it cannot go on: there the reader is told to load the conversation.
        let ends = |all: bool| {
            uncut[usize::from(all)].matches("event: done").count()
                + uncut[usize::from(all)].matches("event: error").count()
        };
        assert_eq!((ends(false), ends(true)), (1, 1), "{name}");
        let mut cuts = 0;
        for reader in live {
            let (n, all, here, there) = reader.await.unwrap();
            let whole = &uncut[usize::from(all)];
            let resumed_after_its_end = !all && name == "restarted" && upto(whole, n) == *whole;
            if !resumed_after_its_end {
                assert_eq!(upto(whole, n) + &here, *whole, "{name}, live, after {n}, all: {all}");
                assert_eq!(upto(whole, n) + &there, *whole, "{name}, live, elsewhere, after {n}, all: {all}");
                cuts += 1;
            }
        }
        let events = run.look().log().len();
        assert!(cuts >= events, "{name}: {cuts} cuts in {events} events");

        let fresh = process(&store, Vec::new());
        let owner = Principal::anonymous();
        let replayed = fresh.engine.find(owner.owner(), &run.info.id).await.unwrap().unwrap();
        for (n, all) in (0..=events).flat_map(|n| [(n, false), (n, true)]) {
            let whole = &uncut[usize::from(all)];
            if !all && name == "restarted" && upto(whole, n) == *whole {
                continue;
            }
            assert_eq!(upto(whole, n) + &read(&run, all, n).await, *whole, "{name}, after {n}, all: {all}");
            let there = read(&replayed, all, n).await;
            assert_eq!(upto(whole, n) + &there, *whole, "{name}, elsewhere, after {n}, all: {all}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_any_event_over_objects() {
    everywhere(Place::Objects).await;
}

#[tokio::test(start_paused = true)]
async fn after_any_event_over_files() {
    everywhere(Place::Files).await;
}
