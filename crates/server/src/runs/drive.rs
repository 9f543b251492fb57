//! The task behind a run: it takes events from the agent, keeps them, shows them, and commits the turn.
//!
//! The order is what the promises rest on: an event is kept before it is shown; an intent is kept before its tool runs
//! (the agent goes on only when the next event is asked for); the session is committed before the terminal event is
//! shown.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use loquat_agent::event::{Event, Outcome};
use loquat_agent::message::Message;
use loquat_agent::transcript::Transcript;
use loquat_agent::{Agent, RunContext, RunInput};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::batch::{BATCH, Neighbours};
use super::journal::{Journal, JournalError};
use super::run::Run;
use crate::clock::later;
use crate::limits::{Admitted, DayUsage};
use crate::sessions::blob::BlobError;
use crate::sessions::repair;
use crate::sessions::service::{Hold, SessionError, Sessions};
use crate::telemetry::tally::{End, Tally};
use crate::telemetry::{Telemetry, scope};

/// How often a live run says that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Everything a run needs.
pub(super) struct Drive {
    pub(super) run: Arc<Run>,
    pub(super) agent: Agent,
    /// What was said before the input.
    pub(super) history: Vec<Message>,
    pub(super) input: RunInput,
    pub(super) cx: RunContext,
    pub(super) journal: Box<dyn Journal>,
    /// `None` where there is no store. A hold is large, and the task of a run has room for it in each of its states.
    pub(super) session: Option<(Sessions, Box<Hold>)>,
    /// Given back when the run has ended.
    pub(super) place: Admitted,
    /// Where figures go.
    pub(super) telemetry: Arc<Telemetry>,
    /// Whether the log outlives this process, so that another one can go on.
    pub(super) durable: bool,
}

/// How the work on a run ended here.
enum Close {
    /// It is over.
    Over(Event),
    /// Another process may go on.
    Paused,
}

impl Drive {
    /// Runs to the end. `held` is told once the session is held (or could not be); nothing was shown before.
    pub(super) async fn run(self, held: oneshot::Sender<Result<(), SessionError>>) {
        let (mut keeper, session, mut events) = self.begin();
        // The start and the end are boxed: a live run should not hold room for them.
        let holding = Box::pin(hold_while_calling(session, &mut keeper, &mut events, held));
        let Ok((session, early)) = holding.await else {
            return;
        };
        keeper.work(early, events, session).await;
    }

    /// Goes on with a run whose session is held already, and which has told these events.
    pub(super) async fn go_on(self, told: &[Event]) {
        let (mut keeper, session, events) = self.begin();
        for event in told {
            keeper.tally.recall(event);
            keeper.note(event);
        }
        keeper.work(Vec::new(), events, session).await;
    }

    fn begin(self) -> (Keeper, Option<(Sessions, Box<Hold>)>, impl Stream<Item = Event> + Send + Unpin) {
        let Self { run, agent, history, input, cx, journal, session, place, telemetry, durable } = self;
        if let (true, RunInput::Message(message)) = (telemetry.log_content, &input) {
            tracing::info!(target: "loquat::content", text = message.text(), "the user wrote");
        }
        let events = agent.run(history, input, cx);
        let session_before = session.as_ref().map(|(_, hold)| hold.cost_usd().unwrap_or_default());
        // Read while the model is called: the end of its call asks for it.
        let day_before = (!telemetry.prices.is_empty()).then(|| tokio::spawn(place.cost_today()));
        let keeper = Keeper {
            can_pause: durable && session.is_some(),
            run,
            journal,
            place,
            transcript: Transcript::new(),
            started: None,
            tally: Tally::new(agent.tools.clone(), session_before),
            day_before,
            telemetry,
            cut_by_host: false,
        };
        (keeper, session, events)
    }
}

/// Writes the hold on the session while the model is already being called. Gives the events that came meanwhile.
async fn hold_while_calling(
    session: Option<(Sessions, Box<Hold>)>,
    keeper: &mut Keeper,
    events: &mut (impl Stream<Item = Event> + Unpin),
    held: oneshot::Sender<Result<(), SessionError>>,
) -> Result<(Option<(Sessions, Box<Hold>)>, Vec<Event>), ()> {
    let mut early = Vec::new();
    let Some((sessions, mut hold)) = session else {
        keeper.run.set_held();
        let _ = held.send(Ok(()));
        return Ok((None, early));
    };
    let outcome = {
        let journal = &mut keeper.journal;
        let mut writing = std::pin::pin!(async {
            // The hold decides whose run it is, and names it; then the log may be written.
            if let Err(error) = sessions.hold(&mut hold).await {
                if let Err(error) = journal.discard().await {
                    tracing::warn!(%error, "the log of a run that could not begin was not taken back");
                }
                return Err(error);
            }
            journal.begin();
            Ok(())
        });
        loop {
            // A tool must not run, and a run must not end, before the session is held.
            let go_on = early.len() < BATCH
                && !early
                    .last()
                    .is_some_and(|e: &Event| e.is_terminal() || matches!(e, Event::ToolCall { .. }));
            tokio::select! {
                biased;
                outcome = &mut writing => break outcome,
                Some(event) = events.next(), if go_on => early.push(event),
            }
        }
    };
    // The caller may have gone; a run that has begun goes on all the same.
    match outcome {
        Ok(()) => {
            keeper.run.set_held();
            let _ = held.send(Ok(()));
            Ok((Some((sessions, hold)), early))
        }
        Err(error) => {
            let _ = held.send(Err(error));
            Err(())
        }
    }
}

/// What comes between the events of a run.
enum Interruption {
    /// It is time to say that the run is alive.
    SignOfLife,
    /// The host's time is up.
    OutOfTime,
}

async fn sign_of_life() -> Interruption {
    tokio::time::sleep(SIGN_OF_LIFE).await;
    Interruption::SignOfLife
}

async fn out_of_time(run: Arc<Run>) -> Interruption {
    run.pause.cancelled().await;
    if let Some(by) = run.pause_by() {
        tokio::time::sleep_until(by).await;
    }
    Interruption::OutOfTime
}

/// Keeps and shows events.
struct Keeper {
    run: Arc<Run>,
    journal: Box<dyn Journal>,
    place: Admitted,
    transcript: Transcript,
    started: Option<Event>,
    tally: Tally,
    /// What the user's earlier runs of today cost, where anything has a price; until it is asked for.
    day_before: Option<JoinHandle<Option<f64>>>,
    telemetry: Arc<Telemetry>,
    /// Whether another process could go on.
    can_pause: bool,
    /// The host's time was up, and nobody can go on.
    cut_by_host: bool,
}

impl Keeper {
    /// Works on the run until it is over, or paused.
    async fn work(
        mut self,
        early: Vec<Event>,
        mut events: impl Stream<Item = Event> + Unpin,
        session: Option<(Sessions, Box<Hold>)>,
    ) {
        let end = match self.keep_until_the_end(early, &mut events, session.as_ref()).await {
            Ok(end) => end,
            Err(error) => {
                tracing::error!(run_id = %self.run.info.id, %error, "the run log could not be written");
                Close::Over(not_kept(&error))
            }
        };
        // The model's connection is closed before the slower work of saving.
        drop(events);
        match (end, session) {
            (Close::Over(terminal), session) => Box::pin(self.end(session, terminal)).await,
            (Close::Paused, Some((sessions, hold))) => Box::pin(self.pause(sessions, hold)).await,
            (Close::Paused, None) => Box::pin(self.end(None, repair::lost())).await,
        }
    }

    async fn keep_until_the_end(
        &mut self,
        early: Vec<Event>,
        events: &mut (impl Stream<Item = Event> + Unpin),
        session: Option<&(Sessions, Box<Hold>)>,
    ) -> Result<Close, JournalError> {
        if let Some(terminal) = self.keep(early, session).await? {
            return Ok(Close::Over(terminal));
        }
        // Looked at only when one of them wakes up, not with every piece of text.
        let mut interruptions = FuturesUnordered::new();
        interruptions.push(sign_of_life().left_future());
        interruptions.push(out_of_time(Arc::clone(&self.run)).right_future());
        let mut neighbours = Neighbours::default();
        loop {
            let first = tokio::select! {
                biased;
                Some(interruption) = interruptions.next() => match interruption {
                    Interruption::SignOfLife => {
                        interruptions.push(sign_of_life().left_future());
                        if let Some((sessions, _)) = session {
                            self.journal.alive(later(sessions.clock.now(), sessions.times.lease)).await?;
                        }
                        continue;
                    }
                    Interruption::OutOfTime if self.can_pause => return Ok(Close::Paused),
                    Interruption::OutOfTime => {
                        self.cut_by_host = true;
                        self.run.cancel.cancel();
                        continue;
                    }
                },
                event = events.next() => event,
            };
            // An agent ends without a terminal event when it was paused.
            let Some(first) = first else {
                return Ok(if self.can_pause { Close::Paused } else { Close::Over(repair::lost()) });
            };
            let batch = neighbours.of(first, events).await;
            if let Some(terminal) = self.keep(batch, session).await? {
                return Ok(Close::Over(terminal));
            }
        }
    }

    fn note(&mut self, event: &Event) {
        self.transcript.apply(event);
        if let Event::Started { .. } = event {
            self.started = Some(event.clone());
        }
    }

    /// Keeps and shows events up to a terminal one, which it gives back.
    async fn keep(
        &mut self,
        mut batch: Vec<Event>,
        session: Option<&(Sessions, Box<Hold>)>,
    ) -> Result<Option<Event>, JournalError> {
        let terminal = batch.iter().position(Event::is_terminal).map(|at| {
            batch.truncate(at + 1);
            batch.remove(at)
        });
        if batch.is_empty() {
            return Ok(terminal);
        }
        if batch.iter().any(|event| matches!(event, Event::Usage { .. }))
            && let Some(day) = self.day_before.take()
        {
            self.tally.know_the_day(day.await.ok().flatten());
        }
        let age = self.run.age_ms();
        for event in &mut batch {
            self.tally.take(&self.telemetry, event, age);
            if let (Event::ApprovalRequested { expires_at, .. }, Some((sessions, _))) = (&mut *event, session)
            {
                *expires_at = Some(sessions.undecided_until().to_string());
            }
            self.note(event);
        }
        let first = self.run.look().log().len() + 1;
        match self.journal.append(first, age, &batch).await {
            Ok(()) => self.run.show(batch),
            // An intent that could not be made certain: its tool does not run. It has its number in the log all the same.
            Err(error @ JournalError::Store(BlobError::Unavailable(_) | BlobError::Refused(_))) => {
                self.run.show(batch);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok(terminal)
    }

    /// Lets the run go, so that another process can go on with it.
    async fn pause(mut self, sessions: Sessions, mut hold: Box<Hold>) {
        let paused = match self.journal.pause().await {
            Ok(()) => sessions.pause(&mut hold).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = paused {
            tracing::error!(run_id = %self.run.info.id, error, "the run could not be handed over");
            return Box::pin(self.end(Some((sessions, hold)), repair::lost())).await;
        }
        tracing::info!(run_id = %self.run.info.id, session_id = %self.run.info.session_id,
            events = self.run.look().log().len(), "run paused: it goes on where it is asked for next");
        let Self { run, journal, place, .. } = self;
        // Its lock and its place are free before anybody is told to come again.
        drop((journal, place));
        run.set_handed_over();
    }

    /// Commits the session, keeps the terminal event, and shows it.
    async fn end(mut self, session: Option<(Sessions, Box<Hold>)>, mut terminal: Event) {
        if matches!(terminal, Event::Finished { outcome: Outcome::Cancelled }) && self.cut_by_host {
            terminal = repair::lost();
        }
        let turn = self.turn(&terminal);
        if self.telemetry.log_content {
            let said: Vec<String> = turn.iter().map(Message::text).filter(|text| !text.is_empty()).collect();
            tracing::info!(target: "loquat::content", text = said.join("\n"), "the model answered");
        }
        let mut spent = DayUsage::of_run(self.tally.usage(), self.tally.cost_usd());
        // A stopped call costs its tokens too; only that nobody has counted them.
        let untold = scope::current().and_then(|scope| Some(scope.run.as_ref()?.untold_tokens()));
        spent.tokens = spent.tokens.saturating_add(untold.unwrap_or_default());
        let committing = async {
            let (sessions, hold) = session?;
            let usage = spent.for_message();
            Some(sessions.commit(*hold, turn, &terminal, self.started.as_ref(), usage).await)
        };
        // Two writes to two places: neither waits for the other.
        let (today, committed) = tokio::join!(self.place.count(spent.clone()), committing);
        let mut count = None;
        match committed {
            None => {}
            Some(Ok(messages)) => count = Some(messages),
            Some(Err(error)) => {
                tracing::error!(run_id = %self.run.info.id, session_id = %self.run.info.session_id, %error,
                    "the turn was not committed");
                if matches!(error, SessionError::LeaseLost) {
                    self.telemetry.lease_conflict();
                }
                terminal = not_saved(&error);
            }
        }
        if let Some(count) = count {
            self.run.set_message_count(count);
        }
        let n = self.run.look().log().len() + 1;
        if let Err(error) = self.journal.finish(n, self.run.age_ms(), &terminal, count).await {
            // The turn is committed; only a later replay of its events will miss the end, and repair adds it.
            tracing::warn!(run_id = %self.run.info.id, %error, "the end of the run log was not written");
        }
        let bytes = self.run.look().sent();
        let end = End {
            run_id: self.run.info.id.as_str(),
            session_id: self.run.info.session_id.as_str(),
            terminal: &terminal,
            total_ms: self.run.age_ms(),
            events: n,
            bytes,
            readers: self.run.readers(),
            day_cost_usd: today.and_then(|today| today.cost_usd),
        };
        let record = self.tally.end(&self.telemetry, &end);
        self.telemetry.run_ended(&record);
        self.telemetry.before_last_event().await;
        self.run.show([terminal]);
    }

    /// The messages to store.
    fn turn(&self, terminal: &Event) -> Vec<Message> {
        if matches!(terminal, Event::Finished { outcome: Outcome::Interrupted }) {
            return self.transcript.messages();
        }
        repair::answer_open_calls(&self.transcript)
    }
}

fn not_kept(error: &JournalError) -> Event {
    let (error, code, retryable) = match error {
        JournalError::Exists => ("The id of this run was used before.", "run_conflict", false),
        _ => ("The answer could not be kept, so the run was ended.", "run_log_unavailable", true),
    };
    Event::Failed { error: error.into(), code: code.into(), retryable }
}

fn not_saved(error: &SessionError) -> Event {
    let (error, code, retryable) = match error {
        SessionError::LeaseLost => (
            "Another request took this conversation over, or it was deleted. This answer was not saved in it.",
            "session_taken_over",
            false,
        ),
        _ => ("The answer could not be saved. Please send the message again.", "session_not_saved", true),
    };
    Event::Failed { error: error.into(), code: code.into(), retryable }
}
