//! Everything that breaks: at every byte, at every frame, by every exception. A call ends as the clean one does or in
//! one typed error; text that is not whole never passes for an answer.

use std::sync::Arc;
use std::time::Duration;

use loquat_agent::model::{Model, ModelErrorKind, ModelRequest, OnRestart};
use loquat_bench::mock::{Fault, MockServer, Scenario};

use super::{PROVIDERS, Transcript, ask, config, model, once, renumbered, run};

const ANSWER: &str = "reasoning=1 say=\"Hi you\" tool=add {\"a\":1}";

/// One provider, called with and without retries.
struct Subject {
    id: &'static str,
    mock: MockServer,
    single: Arc<dyn Model>,
    retried: Arc<dyn Model>,
    clean: Transcript,
}

impl Subject {
    async fn new(id: &'static str) -> Self {
        let mock = MockServer::start(Scenario::default()).await.unwrap();
        let (single, retried) = (model(once(config(id, &mock.url()))), model(config(id, &mock.url())));
        let got = Transcript::of(run(&single, ask(ANSWER)).await);
        assert_eq!(got.failure, None, "{id}");
        let clean = Transcript { said: renumbered(got.said), ..got };
        Self { id, mock, single, retried, clean }
    }

    /// One call that goes wrong, without a retry: the clean answer, or its beginning and an error.
    async fn fails(&self, words: &str) -> Option<ModelErrorKind> {
        let got = Transcript::of(run(&self.single, ask(&format!("{ANSWER} {words}"))).await);
        if got.failure.is_none() {
            assert_eq!(renumbered(got.said), self.clean.said, "{}: {words}", self.id);
        }
        got.failure
    }

    /// One call that goes wrong the first time only.
    async fn recovers(&self, words: &str, on_restart: OnRestart, transient: bool) {
        let place = format!("{}, {on_restart:?}: {words}", self.id);
        let request = ask(&format!("{ANSWER} {words} times=1 mode:{on_restart:?}"));
        let got = Transcript::of(run(&self.retried, ModelRequest { on_restart, ..request }).await);
        // What a client that cannot take text back was shown is never said again.
        assert!(on_restart == OnRestart::Reset || !got.text_taken_back, "{place}");
        match got.failure {
            None => assert_eq!(renumbered(got.said), self.clean.said, "{place}"),
            Some(kind) if transient => {
                // Only such a client gets an error that may pass, and only once it was shown something.
                assert!(on_restart == OnRestart::Fail && got.has_text(), "{place}: {kind:?} {:?}", got.said);
            }
            Some(kind) => assert!(!kind.is_transient(), "{place}: {kind:?}"),
        }
    }
}

async fn cut_at_every_byte(id: &'static str) {
    let subject = Subject::new(id).await;
    // What HTTP adds to a chunk is counted as well: an upper bound of the body, and beyond its end a cut is none.
    let length = usize::try_from(subject.mock.stats().bytes_sent).unwrap();
    let mut kinds = Vec::new();
    for at in 0..=length {
        let words = format!("cut={at}");
        kinds.push(subject.fails(&words).await);
        match at % 3 {
            0 => subject.recovers(&words, OnRestart::Reset, true).await,
            1 => subject.recovers(&words, OnRestart::Fail, true).await,
            _ => {}
        }
    }
    assert_eq!((kinds[0], kinds[length]), (Some(ModelErrorKind::Truncated), None), "{id}");
    let cuts = kinds.iter().take_while(|kind| kind.is_some()).count();
    assert!(kinds[..cuts].iter().all(|kind| *kind == Some(ModelErrorKind::Truncated)), "{id}: {kinds:?}");
    assert!(kinds[cuts..].iter().all(Option::is_none), "{id}: whole at {cuts} and not after it");
}

// One test a provider: they run side by side.
#[tokio::test]
async fn openai_cut_at_every_byte() {
    cut_at_every_byte(PROVIDERS[0]).await;
}

#[tokio::test]
async fn anthropic_cut_at_every_byte() {
    cut_at_every_byte(PROVIDERS[1]).await;
}

#[tokio::test]
async fn bedrock_cut_at_every_byte() {
    cut_at_every_byte(PROVIDERS[2]).await;
}

/// Frames of the longest of the streams; a place beyond the end is the end.
const FRAMES: usize = 16;

#[tokio::test]
async fn every_exception_at_every_frame() {
    for id in PROVIDERS {
        let subject = Subject::new(id).await;
        for fault in Fault::ALL {
            let word = format!("error={}", fault.word());
            let kind = expected(id, *fault);
            assert_eq!(subject.fails(&word).await, Some(kind), "{id}: {word}");
            subject.recovers(&word, OnRestart::Reset, kind.is_transient()).await;
            subject.recovers(&word, OnRestart::Fail, kind.is_transient()).await;
            for at in 0..FRAMES {
                let words = format!("{word} at={at}");
                let kind = subject.fails(&words).await;
                if let Some(kind) = kind.filter(|_| is_named_in_streams(*fault)) {
                    assert_eq!(kind, expected(id, *fault), "{id}: {words}");
                }
                let transient = kind.is_none_or(ModelErrorKind::is_transient);
                let on_restart = if at % 2 == 0 { OnRestart::Reset } else { OnRestart::Fail };
                subject.recovers(&words, on_restart, transient).await;
            }
        }
    }
}

/// What the providers tell apart inside a stream, where there is no HTTP status to go by.
fn is_named_in_streams(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Throttling
            | Fault::InternalServer
            | Fault::ServiceUnavailable
            | Fault::Overloaded
            | Fault::ModelStreamError
            | Fault::TooLong
    )
}

/// The class of a fault before the stream.
fn expected(id: &str, fault: Fault) -> ModelErrorKind {
    let (bedrock, anthropic) = (id.starts_with("bedrock/"), id.starts_with("anthropic/"));
    match fault {
        Fault::Validation => ModelErrorKind::BadRequest,
        Fault::TooLong => ModelErrorKind::ContextTooLong,
        Fault::Credentials | Fault::AccessDenied => ModelErrorKind::Auth,
        Fault::NotFound => ModelErrorKind::NotFound,
        Fault::ModelTimeout => ModelErrorKind::Timeout,
        Fault::GatewayTimeout if anthropic => ModelErrorKind::Timeout,
        Fault::Throttling => ModelErrorKind::Throttled,
        // Only Bedrock has a name for it; at the others it is a limit like any other.
        Fault::ModelNotReady if !bedrock => ModelErrorKind::Throttled,
        Fault::ModelError
        | Fault::ModelStreamError
        | Fault::ModelNotReady
        | Fault::InternalServer
        | Fault::BadGateway
        | Fault::ServiceUnavailable
        | Fault::GatewayTimeout
        | Fault::Overloaded => ModelErrorKind::Unavailable,
    }
}

#[tokio::test]
async fn a_stream_without_its_end_is_no_answer() {
    for id in PROVIDERS {
        let subject = Subject::new(id).await;
        assert_eq!(subject.fails("nostop").await, Some(ModelErrorKind::Truncated), "{id}");
        subject.recovers("nostop", OnRestart::Reset, true).await;
        subject.recovers("nostop", OnRestart::Fail, true).await;
    }
}

#[tokio::test]
async fn silence_ends_in_a_timeout_wherever_it_begins() {
    for id in PROVIDERS {
        let subject = Subject::new(id).await;
        let mut config = once(config(id, &subject.mock.url()));
        config.timeouts.first_byte = Duration::from_millis(100);
        config.timeouts.between_bytes = Duration::from_millis(100);
        let impatient = Subject { single: model(config), ..subject };
        let mut timeouts = 0;
        for words in (0..FRAMES).map(|at| format!("stall at={at}")).chain(["headers_delay=60s".to_owned()]) {
            match impatient.fails(&words).await {
                // The silence came after everything that matters.
                None => {}
                Some(kind) => {
                    assert_eq!(kind, ModelErrorKind::Timeout, "{id}: {words}");
                    timeouts += 1;
                }
            }
        }
        assert!(timeouts >= 8, "{id}: {timeouts}");
    }
}
