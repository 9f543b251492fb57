//! One thread that answers one call after the other, in the order in which they came.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent, ModelRequest};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Something that answers calls. It lives on the worker's thread.
pub(super) trait Backend {
    /// Answers one call: events into the sink, the last of them a stop.
    fn answer(&mut self, request: &ModelRequest, sink: &Sink) -> Result<(), Halt>;
}

/// Why a call ended without a stop.
pub(super) enum Halt {
    /// Nobody reads the answer any more.
    Cancelled,
    /// It failed.
    Failed(ModelError),
}

impl From<candle_core::Error> for Halt {
    fn from(error: candle_core::Error) -> Self {
        Self::Failed(ModelError::new(ModelErrorKind::Internal, format!("The local model failed: {error}")))
    }
}

/// What a call's stream reads.
pub(super) type Events = UnboundedReceiver<Result<ModelEvent, ModelError>>;

/// Where a call's events go. It has no bound: an answer has at most some thousand pieces, and a slow reader must not
/// keep the others waiting.
pub(super) struct Sink(UnboundedSender<Result<ModelEvent, ModelError>>);

impl Sink {
    /// Passes an event on, at once.
    pub(super) fn send(&self, event: ModelEvent) -> Result<(), Halt> {
        self.0.send(Ok(event)).map_err(|_| Halt::Cancelled)
    }

    /// Fails if nobody reads any more.
    pub(super) fn check(&self) -> Result<(), Halt> {
        if self.0.is_closed() { Err(Halt::Cancelled) } else { Ok(()) }
    }

    fn fail(&self, error: ModelError) {
        // The reader may have left in the same moment.
        let _ = self.0.send(Err(error));
    }
}

/// Makes the backend; called again for the next call where it failed.
pub(super) type Load = Box<dyn FnMut() -> Result<Box<dyn Backend>, ModelError> + Send>;

struct Job {
    request: ModelRequest,
    sink: Sink,
}

/// A handle on the thread, which ends when the last handle is dropped and the last call answered.
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// Starts the thread, which begins to load at once.
    pub(super) fn start(load: Load) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel();
        thread::Builder::new().name("local-model".to_owned()).spawn(move || run(&jobs, load))?;
        Ok(Self(sender))
    }

    /// Puts a call at the end of the queue. Dropping what is returned cancels it, in the queue or under way.
    pub(super) fn submit(&self, request: ModelRequest) -> Events {
        let (sender, events) = unbounded_channel();
        // If the thread is gone, so is the sink, and the stream ends without a stop: that is a failure by contract.
        let _ = self.0.send(Job { request, sink: Sink(sender) });
        events
    }
}

fn run(jobs: &mpsc::Receiver<Job>, mut load: Load) {
    // Calls that come during the first load wait in the queue. Its error is not lost: the next call tries again.
    let mut backend = load().ok();
    for Job { request, sink } in jobs {
        if sink.check().is_err() {
            continue;
        }
        let ready = match &mut backend {
            Some(ready) => ready,
            None => match load() {
                Ok(loaded) => backend.insert(loaded),
                Err(error) => {
                    sink.fail(error);
                    continue;
                }
            },
        };
        match catch_unwind(AssertUnwindSafe(|| ready.answer(&request, &sink))) {
            Ok(Ok(()) | Err(Halt::Cancelled)) => {}
            Ok(Err(Halt::Failed(error))) => sink.fail(error),
            Err(_) => {
                // Whatever state it was in, it is not to be trusted: the next call loads anew.
                backend = None;
                sink.fail(ModelError::new(ModelErrorKind::Internal, "The local model failed unexpectedly."));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use loquat_agent::event::StopReason;
    use loquat_agent::message::Message;
    use parking_lot::Mutex;

    use super::*;

    /// Answers with the request's first word, waits for a signal before each word, and notes what it was asked.
    struct Fake {
        asked: Arc<Mutex<Vec<String>>>,
        gate: mpsc::Receiver<()>,
        halted: mpsc::Sender<&'static str>,
    }

    impl Backend for Fake {
        fn answer(&mut self, request: &ModelRequest, sink: &Sink) -> Result<(), Halt> {
            let text = request.messages[0].text();
            self.asked.lock().push(text.clone());
            assert!(text != "panic", "as asked");
            for word in text.split_inclusive(' ') {
                self.gate.recv().unwrap();
                let sent = sink.check().and_then(|()| sink.send(ModelEvent::Text(word.to_owned())));
                if sent.is_err() {
                    self.halted.send("cancelled").unwrap();
                }
                sent?;
            }
            sink.send(ModelEvent::Stop(StopReason::EndTurn))
        }
    }

    struct Bench {
        worker: Worker,
        asked: Arc<Mutex<Vec<String>>>,
        gate: mpsc::Sender<()>,
        halted: mpsc::Receiver<&'static str>,
    }

    /// A worker over a [`Fake`] that is made once.
    fn bench() -> Bench {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (gate, gated) = mpsc::channel();
        let (halt, halted) = mpsc::channel();
        let mut fake = Some(Fake { asked: Arc::clone(&asked), gate: gated, halted: halt });
        let worker = Worker::start(Box::new(move || match fake.take() {
            Some(fake) => Ok(Box::new(fake) as Box<dyn Backend>),
            None => Err(ModelError::new(ModelErrorKind::NotInstalled, "gone")),
        }))
        .unwrap();
        Bench { worker, asked, gate, halted }
    }

    fn request(text: &str) -> ModelRequest {
        ModelRequest { messages: vec![Message::user(text)], ..ModelRequest::default() }
    }

    fn drain(mut events: Events) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(event) = events.blocking_recv() {
            seen.push(match event {
                Ok(ModelEvent::Text(text)) => text,
                Ok(ModelEvent::Stop(_)) => "stop".to_owned(),
                Ok(other) => format!("{other:?}"),
                Err(error) => format!("{:?}", error.kind),
            });
        }
        seen
    }

    #[test]
    fn answers_in_the_order_of_the_questions() {
        let bench = bench();
        let events: Vec<Events> =
            ["a", "b", "c"].map(|text| bench.worker.submit(request(text))).into_iter().collect();
        for _ in 0..3 {
            bench.gate.send(()).unwrap();
        }
        for (events, text) in events.into_iter().zip(["a", "b", "c"]) {
            assert_eq!(drain(events), [text, "stop"]);
        }
        assert_eq!(*bench.asked.lock(), ["a", "b", "c"]);
    }

    #[test]
    fn a_piece_is_there_before_the_next_is_made() {
        let bench = bench();
        let mut events = bench.worker.submit(request("one two"));
        bench.gate.send(()).unwrap();
        let first = events.blocking_recv().unwrap().unwrap();
        assert_eq!(first, ModelEvent::Text("one ".to_owned()));
        assert!(events.try_recv().is_err());
        bench.gate.send(()).unwrap();
        assert_eq!(drain(events), ["two", "stop"]);
    }

    #[test]
    fn cancels_in_the_queue_and_under_way() {
        let bench = bench();
        let mut running = bench.worker.submit(request("one two three"));
        let queued = bench.worker.submit(request("never"));
        let last = bench.worker.submit(request("last"));
        bench.gate.send(()).unwrap();
        assert!(running.blocking_recv().is_some());
        drop((running, queued));
        bench.gate.send(()).unwrap();
        assert_eq!(bench.halted.recv().unwrap(), "cancelled");
        bench.gate.send(()).unwrap();
        assert_eq!(drain(last), ["last", "stop"]);
        assert_eq!(*bench.asked.lock(), ["one two three", "last"]);
    }

    #[test]
    fn a_failed_load_is_tried_again_for_each_call() {
        let mut loads = 0;
        let worker = Worker::start(Box::new(move || {
            loads += 1;
            Err(ModelError::new(ModelErrorKind::NotInstalled, format!("load {loads}")))
        }))
        .unwrap();
        for expected in ["load 2", "load 3"] {
            let error = worker.submit(request("x")).blocking_recv().unwrap().unwrap_err();
            assert_eq!((error.kind, error.message.as_str()), (ModelErrorKind::NotInstalled, expected));
        }
    }

    #[test]
    fn a_panic_is_an_error_and_the_backend_is_made_anew() {
        let bench = bench();
        assert_eq!(drain(bench.worker.submit(request("panic"))), ["Internal"]);
        assert_eq!(drain(bench.worker.submit(request("x"))), ["NotInstalled"]);
    }
}
