//! A client that does what clients do: asks, retries, asks twice, stops, and resumes elsewhere.

use std::sync::Arc;
use std::time::Duration;

use loquat_agent::event::Event;
use loquat_agent::message::Message;
use loquat_agent::model::Params;
use tokio::time::timeout;

use super::World;
use super::process::Process;
use crate::auth::Principal;
use crate::ids::{RunId, SessionId};
use crate::runs::engine::{Ask, OnBusy, StartError, StartRequest};
use crate::runs::log::Pace;
use crate::runs::reader::answer_cut;
use crate::runs::run::{Form, Run};

/// What a client saw of one of its turns.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) session: SessionId,
    pub(super) run: RunId,
    pub(super) question: String,
    /// The server said that the run had begun.
    pub(super) accepted: bool,
    pub(super) events: Vec<Event>,
    pub(super) stopped: bool,
}

impl Seen {
    pub(super) fn text(&self) -> String {
        text_of(&self.events)
    }

    pub(super) fn terminal(&self) -> Option<&Event> {
        self.events.last().filter(|event| event.is_terminal())
    }
}

/// The text of events.
pub(super) fn text_of(events: &[Event]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

pub(super) fn session(number: u64) -> SessionId {
    SessionId::parse(&format!("session-{number}")).unwrap()
}

/// How long a client waits for anything before it tries elsewhere.
const PATIENCE: Duration = Duration::from_secs(40);

/// A few turns.
pub(super) async fn converse(world: Arc<World>, client: u64, sessions: u64) {
    for turn in 0..3 {
        let (session_number, pause) = {
            let mut random = world.random.lock();
            (random.below(sessions), random.millis(4_000))
        };
        tokio::time::sleep(pause).await;
        let number = 1 + client * 10 + turn;
        let seen = Seen {
            session: session(session_number),
            run: RunId::parse(&format!("run-{number}")).unwrap(),
            question: format!("q{number}"),
            accepted: false,
            events: Vec::new(),
            stopped: false,
        };
        let seen = ask(&world, seen).await;
        world.seen.lock().push(seen);
    }
}

fn request(seen: &Seen, on_busy: OnBusy) -> StartRequest {
    StartRequest {
        principal: Principal::anonymous(),
        session_id: Some(seen.session.clone()),
        run_id: Some(seen.run.clone()),
        ask: Ask::Message { message: Message::user(seen.question.clone()), history_length: None },
        form: Form { all: true, ..Form::default() },
        on_busy,
        client_tools: Vec::new(),
        params: Params::default(),
        wants: crate::runs::engine::Wants::default(),
    }
}

/// One turn, to its end or until the client gives up.
async fn ask(world: &Arc<World>, mut seen: Seen) -> Seen {
    let (twice, stops, on_busy) = {
        let mut random = world.random.lock();
        let on_busy = [OnBusy::Reject, OnBusy::Queue, OnBusy::Interrupt];
        (random.percent(15), random.percent(15), on_busy[usize::try_from(random.below(3)).unwrap_or(0)])
    };
    if twice {
        // The same request through another connection, whose answer nobody reads.
        let (process, request) = (world.any_process(), request(&seen, on_busy));
        tokio::spawn(async move { drop(process.engine.start(request).await) });
    }
    for attempt in 0..12 {
        let process = world.any_process();
        let run = if seen.accepted {
            // Resume.
            let owner = Principal::anonymous();
            let found = process.engine.find_in(owner.owner(), &seen.run, Some(&seen.session));
            timeout(PATIENCE, found).await.ok().map(|found| {
                found.inspect(|run| {
                    if run.is_none() {
                        world.disk.violation(format!("{} was accepted and is not found", seen.run));
                    }
                })
            })
        } else {
            timeout(PATIENCE, process.engine.start(request(&seen, on_busy)))
                .await
                .ok()
                .map(|run| run.map(Some))
        };
        match run {
            Some(Ok(Some(run))) => {
                seen.accepted = true;
                if stops && !seen.stopped && attempt < 3 {
                    seen.stopped = true;
                    stop_later(world, &seen.run);
                }
                read(world, &process, &run, &mut seen).await;
                match seen.terminal() {
                    // It never began: the client sends it again.
                    Some(Event::Failed { code, .. }) if code == "run_not_started" => {
                        seen.events.clear();
                        seen.accepted = false;
                    }
                    Some(_) => return seen,
                    None => {}
                }
            }
            Some(Ok(None)) => return seen,
            Some(Err(StartError::RunConflict)) => {
                world.disk.violation(format!("{} conflicts with itself", seen.run));
                return seen;
            }
            // Busy, unavailable, or no answer: a little later, perhaps elsewhere.
            Some(Err(_)) | None => {}
        }
        let pause = world.random.lock().millis(6_000);
        tokio::time::sleep(pause).await;
    }
    seen
}

fn stop_later(world: &Arc<World>, run: &RunId) {
    let (world, run) = (Arc::clone(world), run.clone());
    tokio::spawn(async move {
        let pause = world.random.lock().millis(4_000);
        tokio::time::sleep(pause).await;
        let process = world.any_process();
        drop(timeout(PATIENCE, process.engine.stop(Principal::anonymous().owner(), &run)).await);
    });
}

/// Reads a run from where the client is, until it ends or its process is silent for too long.
async fn read(world: &World, process: &Process, run: &Arc<Run>, seen: &mut Seen) {
    let mut grown = run.watch();
    loop {
        grown.borrow_and_update();
        let mut shown = Vec::new();
        run.look().log().read(0, Pace::EachPiece, |_, entry| {
            shown.push(entry.to_event());
            true
        });
        // What was shown before is shown again, event by event; a log that lost its tail with its machine was given
        // another by the process that ended it.
        let same = shown.iter().zip(&seen.events).take_while(|(new, old)| new == old).count();
        let differs = same < shown.len().min(seen.events.len());
        let (may_differ, is_completed) = {
            let look = run.look();
            (look.diverges_at(same as u64 + 1), look.is_completed())
        };
        if differs && !may_differ {
            world.disk.violation(format!(
                "{}: event {} is {:?} and was {:?}",
                seen.run,
                same + 1,
                shown[same],
                seen.events[same]
            ));
        }
        if shown.len() > seen.events.len() && !differs {
            seen.events = shown;
        } else if run.ended() && !seen.events.last().is_some_and(Event::is_terminal) {
            // The tail is gone; the end is told all the same, or where the rest is.
            match run.look().terminal() {
                Some(Event::Finished { .. }) if is_completed => seen.events.push(answer_cut()),
                terminal => seen.events.extend(terminal),
            }
        }
        if run.ended() || process.is_dead() {
            return;
        }
        if timeout(PATIENCE, grown.changed()).await.is_err() {
            return;
        }
    }
}
