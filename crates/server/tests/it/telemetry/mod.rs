//! What an operator is told, through the front door: metrics, cost, traces, and that none of it holds what users wrote.

mod cost;
mod libraries;
mod traces;

use std::collections::BTreeMap;
use std::time::Duration;

use loquat_bench::mock::{MockServer, Scenario};
use loquat_server::app;
use loquat_server::assemble::assemble;
use loquat_server::config::{Config, Flags};
use loquat_server::host::connections::{self, ConnectionLimits};
use serde_json::Value;

/// A service that is served.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) mock: MockServer,
    _folder: tempfile::TempDir,
}

/// The prices of the mock model.
const PRICES: &str = "[model_settings.\"openai/mock\".prices]\ninput = 2.0\noutput = 8.0\ncache_read = 0.5\n";

/// Serves with these lines of `loquat.toml` and settings of the environment, the mock as the model with [`PRICES`].
pub(crate) async fn serve(file: &str, settings: &[(&str, &str)], words: &str) -> Served {
    serve_with(&format!("{file}\n{PRICES}"), settings, words).await
}

/// The same without prices.
pub(crate) async fn serve_with(file: &str, settings: &[(&str, &str)], words: &str) -> Served {
    loquat_server::tls::install();
    let mock = MockServer::start(Scenario::words(words)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loquat.toml");
    std::fs::write(&path, file).unwrap();
    let mut env: BTreeMap<String, String> = BTreeMap::from([
        ("HOME".into(), folder.path().display().to_string()),
        ("PATH".into(), "/usr/bin:/bin".into()),
        ("LOQUAT_CONFIG".into(), path.display().to_string()),
        ("LOQUAT_DATA_DIR".into(), folder.path().display().to_string()),
        ("LOQUAT_STORE".into(), "memory".into()),
        ("MODEL_ID".into(), "openai/mock".into()),
        ("OPENAI_BASE_URL".into(), format!("{}/v1", mock.url())),
        ("OPENAI_API_KEY".into(), "sk-model".into()),
    ]);
    env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let config = Config::from(&Flags::default(), &env).unwrap();
    let service = assemble(&config).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = app::router(service.state);
    let limits = ConnectionLimits::from(&config.limits);
    tokio::spawn(connections::serve(listener, router, limits, std::future::pending()));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
    Served { url, client, mock, _folder: folder }
}

impl Served {
    /// A message with every event told; the frames as (event, data).
    pub(crate) async fn chat(&self, body: &Value) -> Vec<(String, Value)> {
        let mut body = body.clone();
        body["events"] = "all".into();
        let answer = self.client.post(format!("{}/chat", self.url)).json(&body).send().await.unwrap();
        frames(&answer.error_for_status().unwrap().text().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = self.client.get(format!("{}/metrics", self.url)).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }
}

/// The frames of a stream; text has the event name "".
pub(crate) fn frames(text: &str) -> Vec<(String, Value)> {
    let frames = text.split("\n\n").filter(|frame| !frame.trim().is_empty() && !frame.starts_with(':'));
    frames
        .map(|frame| {
            let line =
                |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            (line("event: ").to_owned(), serde_json::from_str(line("data: ")).unwrap())
        })
        .collect()
}

/// The data of the one frame of this event.
pub(crate) fn only<'a>(frames: &'a [(String, Value)], event: &str) -> &'a Value {
    let mut found = frames.iter().filter(|(name, _)| name == event);
    let (_, data) = found.next().unwrap_or_else(|| panic!("no {event} in {frames:?}"));
    assert!(found.next().is_none(), "more than one {event}");
    data
}

/// A line of the metrics' text.
pub(crate) fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {metrics}")).parse().unwrap()
}
