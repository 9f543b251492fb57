//! Scripted models under a paused clock.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::*;

/// Answers each call with the next of its scripts, and notes when it was called.
struct Script {
    name: &'static str,
    answers: Mutex<VecDeque<Vec<Result<ModelEvent, ModelError>>>>,
    calls: Mutex<Vec<Instant>>,
}

impl Script {
    fn new(name: &'static str, answers: Vec<Vec<Result<ModelEvent, ModelError>>>) -> Arc<Self> {
        Arc::new(Self { name, answers: Mutex::new(answers.into()), calls: Mutex::default() })
    }

    /// The pauses between its calls.
    fn pauses(&self) -> Vec<Duration> {
        self.calls.lock().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

impl Model for Script {
    fn name(&self) -> &str {
        self.name
    }

    fn stream(&self, _: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        self.calls.lock().push(Instant::now());
        let answer =
            self.answers.lock().pop_front().unwrap_or_else(|| vec![error(ModelErrorKind::Unavailable)]);
        futures_util::stream::iter(answer).boxed()
    }
}

fn text(text: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Text(text.into()))
}

fn end() -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Stop(StopReason::EndTurn))
}

fn usage(model: Option<&str>) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Usage { usage: Usage::default(), model: model.map(str::to_owned) })
}

fn reset(reason: &str) -> Result<ModelEvent, ModelError> {
    Ok(ModelEvent::Reset { reason: reason.into() })
}

fn error(kind: ModelErrorKind) -> Result<ModelEvent, ModelError> {
    Err(ModelError::new(kind, format!("{kind:?}")))
}

async fn run(
    models: &[&Arc<Script>],
    on_restart: OnRestart,
    expected: Vec<Result<ModelEvent, (ModelErrorKind, &str)>>,
) {
    let candidates = models
        .iter()
        .map(|model| Candidate {
            model: Arc::clone(model) as Arc<dyn Model>,
            retry: Retry::default(),
            server: None,
        })
        .collect();
    let request = ModelRequest { on_restart, ..ModelRequest::default() };
    let got: Vec<_> = Resilient::new(candidates).stream(request).collect().await;
    let got: Vec<_> = got
        .iter()
        .map(|item| item.as_ref().map_err(|error| (error.kind, error.message.as_str())).cloned())
        .collect();
    assert_eq!(got, expected);
}

fn ok(items: Vec<Result<ModelEvent, ModelError>>) -> Vec<Result<ModelEvent, (ModelErrorKind, &'static str)>> {
    items.into_iter().map(|item| Ok(item.unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_shown_is_retried_without_a_word() {
    for kind in [
        ModelErrorKind::Throttled,
        ModelErrorKind::Unavailable,
        ModelErrorKind::Timeout,
        ModelErrorKind::Truncated,
        ModelErrorKind::Protocol,
    ] {
        for on_restart in [OnRestart::Reset, OnRestart::Fail] {
            let model = Script::new("a", vec![vec![error(kind)], vec![], vec![text("Hi"), end()]]);
            run(&[&model], on_restart, ok(vec![text("Hi"), end()])).await;
            assert_eq!(model.calls.lock().len(), 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn shown_text_is_taken_back() {
    let cut = || vec![text("Hel"), error(ModelErrorKind::Truncated)];
    let model = Script::new("a", vec![cut(), cut(), vec![text("Hello"), end()]]);
    let again = || reset("a broke off; trying again");
    let expected = ok(vec![text("Hel"), again(), text("Hel"), again(), text("Hello"), end()]);
    run(&[&model], OnRestart::Reset, expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_take_back_gets_the_error() {
    let model = Script::new("a", vec![vec![text("Hel"), error(ModelErrorKind::Truncated)], vec![end()]]);
    let expected = vec![Ok(ModelEvent::Text("Hel".into())), Err((ModelErrorKind::Truncated, "Truncated"))];
    run(&[&model], OnRestart::Fail, expected).await;
    assert_eq!(model.calls.lock().len(), 1);

    // Reasoning is not shown to such a client: it can be taken back.
    let thought = || Ok(ModelEvent::Reasoning("hm".into()));
    let model =
        Script::new("a", vec![vec![thought(), error(ModelErrorKind::Timeout)], vec![text("Hi"), end()]]);
    let expected = ok(vec![thought(), reset("a broke off; trying again"), text("Hi"), end()]);
    run(&[&model], OnRestart::Fail, expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_is_not_repeated() {
    for kind in [ModelErrorKind::BadRequest, ModelErrorKind::ContextTooLong, ModelErrorKind::Internal] {
        let model = Script::new("a", vec![vec![error(kind)]]);
        let other = Script::new("b", vec![vec![end()]]);
        run(&[&model, &other], OnRestart::Reset, vec![Err((kind, &format!("{kind:?}")))]).await;
        assert_eq!((model.calls.lock().len(), other.calls.lock().len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_model_answers_and_is_named() {
    let model = Script::new("a", vec![vec![text("Hel"), error(ModelErrorKind::Auth)]]);
    let other = Script::new("b", vec![vec![text("Hi"), usage(None), end()]]);
    let expected = ok(vec![text("Hel"), reset("a failed; asking b"), text("Hi"), usage(Some("b")), end()]);
    run(&[&model, &other], OnRestart::Reset, expected).await;
    assert_eq!(model.calls.lock().len(), 1);

    let model = Script::new("a", vec![]);
    let other = Script::new("b", vec![vec![text("Hi"), end()]]);
    run(&[&model, &other], OnRestart::Reset, ok(vec![text("Hi"), usage(Some("b")), end()])).await;
    assert_eq!(model.calls.lock().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_failure_that_may_pass_is_told() {
    let model = Script::new("a", vec![vec![error(ModelErrorKind::Auth)]]);
    let other = Script::new("b", vec![]);
    let expected = "Unavailable (1 more of the configured models failed too)";
    run(&[&model, &other], OnRestart::Reset, vec![Err((ModelErrorKind::Unavailable, expected))]).await;
    assert_eq!(other.calls.lock().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_vary() {
    let mut first = Vec::new();
    for _ in 0..20 {
        let model = Script::new("a", vec![]);
        run(&[&model], OnRestart::Reset, vec![Err((ModelErrorKind::Unavailable, "Unavailable"))]).await;
        let pauses = model.pauses();
        assert_eq!(pauses.len(), 3);
        for (pause, bound) in pauses.iter().zip([500, 1000, 2000]) {
            // The clock of the tests counts whole milliseconds.
            assert!(*pause <= Duration::from_millis(bound + 1), "{pauses:?}");
        }
        first.push(pauses[0]);
    }
    first.dedup();
    assert!(first.len() > 1, "all the same: {first:?}");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_within_the_budget() {
    let wait = |seconds| {
        let mut error = ModelError::new(ModelErrorKind::Throttled, "slow down");
        error.retry_after = Some(Duration::from_secs(seconds));
        vec![Err(error)]
    };
    let model = Script::new("a", vec![wait(7), vec![end()]]);
    run(&[&model], OnRestart::Reset, ok(vec![end()])).await;
    assert!(model.pauses()[0] >= Duration::from_secs(7));

    // Longer than the budget: the failure is told at once, the other model asked at once.
    let model = Script::new("a", vec![wait(600)]);
    let began = Instant::now();
    run(&[&model], OnRestart::Reset, vec![Err((ModelErrorKind::Throttled, "slow down"))]).await;
    let model = Script::new("a", vec![wait(600)]);
    let other = Script::new("b", vec![vec![usage(None), end()]]);
    run(&[&model, &other], OnRestart::Reset, ok(vec![usage(Some("b")), end()])).await;
    assert!(began.elapsed() < Duration::from_secs(1));
}
