//! Calls as a whole: the first token, a client that leaves, fallbacks, keys, and the check.

use std::time::Duration;

use futures_util::StreamExt as _;
use loquat_agent::model::{ModelErrorKind, ModelEvent};
use loquat_bench::mock::{MockServer, Scenario};
use loquat_server::models::{BuildContext, BuildError, ModelConfig, build, check};
use loquat_server::secret::Secret;

use super::{PROVIDERS, Transcript, ask, config, mock_model, model, once, run};

async fn until(what: &str, test: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !test() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn the_first_token_comes_before_the_second_is_sent_and_leaving_closes_the_connection() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    for id in PROVIDERS {
        let mut answer = mock_model(id, &mock).stream(ask("tokens=1000 delay=60s"));
        let first = tokio::time::timeout(Duration::from_secs(20), answer.next()).await.unwrap();
        assert_eq!(first.unwrap().unwrap(), ModelEvent::Text("a".into()), "{id}");
        assert_eq!(mock.stats().open_streams, 1, "{id}");
        drop(answer);
        until(id, || mock.stats().open_streams == 0).await;
    }
    assert_eq!(mock.stats().bytes_after_client_left, 0);
}

#[tokio::test]
async fn nothing_is_sent_before_the_stream_is_polled() {
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    for id in PROVIDERS {
        drop(mock_model(id, &mock).stream(ask("Hello")));
    }
    assert_eq!((mock.stats().connections, mock.requests().len()), (0, 0));
}

#[tokio::test]
async fn the_next_model_answers() {
    let broken = MockServer::start(Scenario::words("error=503")).await.unwrap();
    let mock = MockServer::start(Scenario::default()).await.unwrap();
    let configs = [config(PROVIDERS[2], &broken.url()), config(PROVIDERS[0], &mock.url())];
    let model = build(&configs, &BuildContext::default()).unwrap();
    assert_eq!(model.name(), PROVIDERS[2]);
    let events = run(&model, ask("Hello")).await;
    assert!(events.iter().any(|event| {
        matches!(event, Ok(ModelEvent::Usage { model: Some(model), .. }) if model == PROVIDERS[0])
    }));
    assert_eq!(Transcript::of(events).failure, None);
    assert_eq!(broken.stats().requests, 4);
}

#[tokio::test]
async fn retry_after_is_read_from_every_provider() {
    let mock = MockServer::start(Scenario::words("error=429 retry_after=300")).await.unwrap();
    for id in PROVIDERS {
        // Longer than the budget of retries: told at once, with the time.
        let error = run(&mock_model(id, &mock), ask("Hello")).await.pop().unwrap().unwrap_err();
        assert_eq!(
            (error.kind, error.retry_after),
            (ModelErrorKind::Throttled, Some(Duration::from_secs(300))),
            "{id}"
        );
    }
    assert_eq!(mock.stats().requests, 3);
}

#[tokio::test]
async fn keys_are_sent_and_never_shown() {
    let key = "key-of-the-tests";
    let mock = MockServer::start_with_key(Scenario::default(), Some(key.into())).await.unwrap();
    for id in PROVIDERS {
        let got = Transcript::of(run(&mock_model(id, &mock), ask("Hello")).await);
        assert_eq!(got.failure, None, "{id}");
        let wrong = ModelConfig { api_key: Some(Secret::new("sk-wrong-one")), ..config(id, &mock.url()) };
        assert!(!format!("{wrong:?}").contains("sk-wrong-one"));
        let error = run(&model(wrong), ask("Hello")).await.pop().unwrap().unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Auth, "{id}");
        assert!(!error.message.contains("sk-wrong-one"), "{id}: {error}");
        let hint = match id {
            "openai/mock" => "OPENAI_API_KEY",
            "anthropic/claude-mock" => "ANTHROPIC_API_KEY",
            _ => "AWS_BEARER_TOKEN_BEDROCK",
        };
        assert!(error.message.contains(hint), "{id}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_with_the_place() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for id in PROVIDERS {
        let error = run(&model(once(config(id, &url))), ask("Hello")).await.pop().unwrap().unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unavailable, "{id}");
        assert!(error.message.contains("cannot reach"), "{id}: {error}");
    }
}

#[tokio::test]
async fn the_check_tells_latency_or_what_to_do() {
    let mock = MockServer::start(Scenario::words("first=30ms tokens=1")).await.unwrap();
    let broken = MockServer::start(Scenario::words("error=accessDeniedException")).await.unwrap();
    let configs: Vec<ModelConfig> = PROVIDERS
        .into_iter()
        .map(|id| config(id, &mock.url()))
        .chain([config(PROVIDERS[2], &broken.url())])
        .collect();
    let checked = check(&configs, &BuildContext::default()).await;
    assert_eq!(checked.len(), 4);
    for model in &checked[..3] {
        let latency = model.result.as_ref().unwrap();
        assert!(
            latency.first_token >= Duration::from_millis(30) && latency.total >= latency.first_token,
            "{model:?}"
        );
    }
    assert_eq!(checked[3].id, PROVIDERS[2]);
    assert!(checked[3].result.as_ref().unwrap_err().contains("grant model access"), "{:?}", checked[3]);
    // One tiny request each, and no retry.
    assert_eq!((mock.stats().requests, broken.stats().requests), (3, 1));
}

#[test]
fn wrong_configuration_is_refused_before_any_call() {
    let refused = |config: ModelConfig| match build(&[config], &BuildContext::default()) {
        Ok(model) => panic!("{} was made", model.name()),
        Err(error) => error,
    };
    let of = |id: &str| ModelConfig { id: id.to_owned(), ..ModelConfig::default() };
    assert!(matches!(build(&[], &BuildContext::default()), Err(BuildError::None)));
    assert!(matches!(refused(of("openai/")), BuildError::NoName { .. }));
    assert!(matches!(refused(of("local/x")), BuildError::NoLocal { .. }));
    assert!(refused(of("openai/gpt-x")).to_string().contains("OPENAI_API_KEY"));
    assert!(refused(of("anthropic/claude-x")).to_string().contains("ANTHROPIC_API_KEY"));
    let wrong = ModelConfig { base_url: Some("localhost:1".into()), ..of("openai/x") };
    assert!(matches!(refused(wrong), BuildError::BaseUrl { .. }));
    let mut wrong = ModelConfig { base_url: Some("http://localhost:1".into()), ..of("openai/x") };
    wrong.params.reasoning_budget = Some(2000);
    let message = refused(wrong).to_string();
    assert!(message.contains("OpenAI has no setting like reasoning_budget"), "{message}");
    let wrong = ModelConfig {
        base_url: Some("http://localhost:1".into()),
        headers: vec![("bad name".into(), Secret::new("x"))],
        ..of("openai/x")
    };
    assert!(matches!(refused(wrong), BuildError::Header { .. }));
}
