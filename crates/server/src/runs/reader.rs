//! A reader of a run: a stream of bytes in one dialect, from any cursor, at its own pace.
//!
//! A reader holds a cursor and nothing else. One that falls behind reads the log again when it can, with neighbouring
//! pieces of text joined, so memory does not grow with slow clients.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use loquat_agent::event::Event;
use tokio::sync::watch;
use tokio::time::Instant;

use super::engine::OnDisconnect;
use super::log::{Entry, Pace};
use super::run::Run;
use crate::alarm::Alarm;
use crate::dialects::{Encoder, Flow, facts};
use crate::host::ENDS;
use crate::telemetry::scope;

/// How long a stream may be silent.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a run may go on to the end of its step when its host's time is nearly up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many bytes are handed over at once.
const CHUNK: usize = 16 * 1024;
/// How many events a reader may be behind a live run before it gets neighbouring text joined.
const FAR_BEHIND: u64 = 512;

/// One reader.
pub struct Reader {
    run: Arc<Run>,
    encoder: Box<dyn Encoder>,
    cursor: u64,
    /// The cursor that the client brought.
    began: u64,
    grown: watch::Receiver<u64>,
    last_sent: Instant,
    heartbeat: Alarm,
    over: bool,
    on_disconnect: OnDisconnect,
    /// When the host can no longer carry this answer.
    ends: Option<Instant>,
    /// What is sent before the first event.
    first: Vec<u8>,
}

impl Reader {
    /// A reader of what comes after event number `after`.
    #[must_use]
    pub fn new(
        run: Arc<Run>,
        mut encoder: Box<dyn Encoder>,
        after: u64,
        on_disconnect: OnDisconnect,
    ) -> Self {
        let grown = run.watch();
        if let (true, Some(telemetry)) = (after > 0, scope::telemetry()) {
            telemetry.resumed();
        }
        let mut first = Vec::new();
        let mut cursor = after;
        if encoder.stateful() && after > 0 {
            let mut dropped = Vec::new();
            let look = run.look();
            let facts = facts(&run, &look);
            let (len, ended) = (look.log().len(), look.terminal().is_some());
            if encoder.begins_anew() {
                cursor = after.min(len - u64::from(ended));
            }
            let after = cursor;
            look.log().read(0, Pace::EachPiece, |n, entry| {
                dropped.clear();
                // The end is told again to a client that says it has more than there is.
                n <= after && !(ended && n == len) && {
                    encoder.encode(n, entry, &facts, &mut dropped);
                    n < after
                }
            });
            if after > 0 && !(ended && after == len) {
                encoder.resume(after.min(len), &facts, &mut first);
            }
        }
        let ends = ENDS.try_with(|ends| *ends).ok();
        Self {
            run,
            encoder,
            cursor,
            began: cursor,
            grown,
            last_sent: Instant::now(),
            heartbeat: Alarm::default(),
            over: false,
            on_disconnect,
            ends,
            first,
        }
    }

    /// What is there to send now.
    fn available(&mut self) -> Option<Bytes> {
        let Self { run, encoder, cursor, began, over, first, .. } = self;
        let mut out = std::mem::take(first);
        let mut look = run.look();
        let behind = look.log().len().saturating_sub(*cursor);
        let pace =
            if behind > FAR_BEHIND && look.terminal().is_none() { Pace::Joined } else { Pace::EachPiece };
        let facts = facts(run, &look);
        // The machine that showed the client more is gone with what it had not yet stored. The end is told all the same.
        if let Some(terminal) = look.terminal()
            && *cursor == *began
            && !encoder.begins_anew()
            && (*cursor > look.log().len() || look.diverges_at(*cursor))
        {
            // Text between that client's last event and the end is only in the session.
            let cut = look.is_completed() && matches!(terminal, Event::Finished { .. });
            let told = if cut { &answer_cut() } else { &terminal };
            encoder.encode(look.log().len(), Entry::Other(told), &facts, &mut out);
            *cursor = look.log().len();
            *over = true;
            return Some(out.into());
        }
        look.log().read(*cursor, pace, |n, entry| {
            *cursor = n;
            *over = encoder.encode(n, entry, &facts, &mut out) == Flow::End;
            !*over && out.len() < CHUNK
        });
        *over |= look.terminal().is_some() && *cursor >= look.log().len();
        look.add_sent(out.len());
        (!out.is_empty()).then(|| out.into())
    }

    /// The last frame of an answer that goes on in another one.
    fn tell_to_come_again(&mut self) -> Bytes {
        self.over = true;
        let mut out = Vec::new();
        if !self.encoder.hand_over(&self.run.info, self.cursor, &mut out) {
            let error =
                "The answer takes longer than this connection can last. Load the conversation to read on.";
            self.encoder.failure(error, "answer_moved", true, &mut out);
        }
        out.into()
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.grown.borrow_and_update();
            if !self.over
                && let Some(bytes) = self.available()
            {
                self.last_sent = Instant::now();
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            if self.run.handed_over() {
                return Some(self.tell_to_come_again());
            }
            let (ends, silent) = (self.ends, self.last_sent + HEARTBEAT);
            tokio::select! {
                biased;
                () = async { tokio::time::sleep_until(ends.unwrap_or_else(Instant::now)).await }, if ends.is_some() => {
                    self.ends = None;
                    if self.run.driven() {
                        // The host can do no more for the run either. It is told when the run is paused.
                        self.run.hand_over(PATIENCE);
                    } else {
                        return Some(self.tell_to_come_again());
                    }
                }
                // The sender lives as long as the run, which we hold.
                _ = self.grown.changed() => {}
                () = poll_fn(|cx| self.heartbeat.poll_at(silent, Instant::now(), cx)) => {
                    self.last_sent = Instant::now();
                    let mut out = Vec::new();
                    self.encoder.heartbeat(&mut out);
                    return Some(out.into());
                }
            }
        }
    }

    /// The frames as they come. The stream never yields an error: Lambda would write it into the body.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut reader| async move { reader.next().await.map(|bytes| (Ok(bytes), reader)) })
    }
}

/// The end for a client whose place in the log nobody knows any more.
pub(crate) fn answer_cut() -> Event {
    Event::Failed {
        error: "The rest of this answer is in the conversation. Load it to see the whole.".into(),
        code: "answer_cut".into(),
        retryable: false,
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.over {
            left(&self.run, self.on_disconnect);
        }
    }
}

/// A reader leaves before the end, which is no failure. Whether the run goes on without any is the owner's choice.
fn left(run: &Run, on_disconnect: OnDisconnect) {
    if on_disconnect == OnDisconnect::Cancel && run.readers() <= 1 && !run.ended() {
        run.stop();
    }
}

/// Waits for the end of a run on behalf of a client that wants the answer whole. Dropped before, it is a reader that
/// leaves.
pub async fn attend(run: &Arc<Run>, on_disconnect: OnDisconnect) {
    struct Attending<'a>(
        &'a Run,
        OnDisconnect,
        #[allow(dead_code, reason = "is counted")] watch::Receiver<u64>,
    );
    impl Drop for Attending<'_> {
        fn drop(&mut self) {
            left(self.0, self.1);
        }
    }
    let _attending = Attending(run, on_disconnect, run.watch());
    run.finished().await;
}
