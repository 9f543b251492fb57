//! Secrets never reach a log, a model or an error: planted ones are looked for in all that this suite logged.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// The model provider's key.
pub(super) const MODEL_KEY: &str = "sk-canary-model-key";
/// What `cargo xtask test` looks for in everything that is printed.
const PLANTED: &str = "sk-canary";

static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();

#[derive(Clone, Copy)]
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The test below sees what was logged until it ran; `cargo xtask test` sees the rest, if it is printed. Not by
        // `eprint!`, which the harness swallows where a test passes.
        if String::from_utf8_lossy(bytes).contains(PLANTED) {
            io::stderr().write_all(bytes)?;
        }
        if let Some(log) = LOG.get() {
            log.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

/// Everything that any test of this binary logs from here on, at the most talkative level.
pub(super) fn capture() {
    LOG.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(Sink)
            .with_ansi(false)
            .finish();
        // Another test may have set one; then there is nothing to read, and the test below says so.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Mutex::default()
    });
}

/// What was logged until now.
pub(super) fn log() -> String {
    let log = LOG.get().unwrap().lock().unwrap();
    String::from_utf8_lossy(&log).into_owned()
}

#[tokio::test]
async fn planted_secrets_are_in_no_log_no_error_and_no_request_to_the_model() {
    let (ann, entry) = key("ann");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &entry)], "say=\"hi\"").await;
    let canaries =
        ["canary-bearer", "canary-x-key", "canary-cookie", "canary-query", "canary-message", "canary-basic"];
    let mut answers = String::new();
    for request in [
        served.request("GET", "/sessions").bearer_auth("canary-bearer"),
        served.request("GET", "/sessions").header("x-api-key", "canary-x-key"),
        served.request("GET", "/sessions").header("authorization", "Basic canary-basic"),
        served.request("GET", "/sessions").header("cookie", "session=canary-cookie"),
        served.request("GET", "/sessions?token=canary-query"),
        served.request("GET", "/runs/x/events?access_token=canary-query").bearer_auth(&ann),
        served.request("POST", "/chat").bearer_auth(&ann).json(&json!({"message": 1, "x": "canary-message"})),
    ] {
        answers.push_str(&request.send().await.unwrap().text().await.unwrap());
    }
    let (status, text) = served.chat(&ann, &json!({"message": "canary-message to the model"})).await;
    assert_eq!(status, StatusCode::OK);
    answers.push_str(&text);
    // The provider refuses, with the key in the answer, as some do.
    let (_, text) = served.chat(&ann, &json!({"message": "error=401 canary-message"})).await;
    answers.push_str(&text);

    let log = log();
    assert!(log.contains("run ended"), "the log is captured");
    assert!(log.contains("key_unknown") && log.contains("credential_not_bearer"), "reasons are logged");
    for canary in canaries.into_iter().chain([ann.as_str(), MODEL_KEY]) {
        if let Some(place) = log.find(canary) {
            let from = log[..place].rfind('\n').map_or(0, |line| line + 1);
            panic!("{canary} is in the log: {}", log[from..].lines().next().unwrap_or_default());
        }
    }
    for secret in [&ann, MODEL_KEY, "canary-bearer", "canary-x-key", "canary-basic", "canary-cookie"] {
        assert!(!answers.contains(secret), "{secret} is in an answer");
    }
    for request in served.mock.requests() {
        let body = request.body.to_string();
        assert!(!body.contains(&ann) && !body.contains(MODEL_KEY) && !body.contains("canary-bearer"));
    }
}
