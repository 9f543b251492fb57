//! Sign-in, ownership and limits, through the front door: the service as it is put together from its settings, a real
//! socket, the mock model server.

mod attacks;
mod bodies;
mod described;
mod keys;
mod limits;
mod marked;
mod memory;
mod real;
mod routes;
mod secrets;

use std::collections::BTreeMap;
use std::time::Duration;

use loquat_bench::mock::{MockServer, Scenario};
use loquat_server::app;
use loquat_server::assemble::assemble;
use loquat_server::auth::NamedKey;
use loquat_server::config::{Config, Flags};
use loquat_server::host::connections::{self, ConnectionLimits};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// A service that is served.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) mock: MockServer,
    _folder: tempfile::TempDir,
}

/// A key of the configuration: the key, and its entry in `LOQUAT_API_KEYS`.
pub(crate) fn key(name: &str) -> (String, String) {
    let (stored, key) = NamedKey::generate(name, None, false);
    let entry = format!("{name}={}", stored.sha256);
    (key, entry)
}

/// Serves with these settings of the environment, the mock as the model, and sessions in memory.
pub(crate) async fn serve(settings: &[(&str, &str)], words: &str) -> Served {
    loquat_server::tls::install();
    secrets::capture();
    let mock =
        MockServer::start_with_key(Scenario::words(words), Some(secrets::MODEL_KEY.into())).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut env: BTreeMap<String, String> = BTreeMap::from([
        ("HOME".into(), folder.path().display().to_string()),
        ("LOQUAT_DATA_DIR".into(), folder.path().display().to_string()),
        ("LOQUAT_STORE".into(), "memory".into()),
        ("MODEL_ID".into(), "openai/mock".into()),
        ("OPENAI_BASE_URL".into(), format!("{}/v1", mock.url())),
        ("OPENAI_API_KEY".into(), secrets::MODEL_KEY.into()),
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
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{}{path}", self.url))
    }

    /// A message, as `token`; the status and the whole answer.
    pub(crate) async fn chat(&self, token: &str, body: &Value) -> (StatusCode, String) {
        let answer = self.request("POST", "/chat").bearer_auth(token).json(body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Waits until a key that was just made is let in: the file of keys is looked at every second.
    pub(crate) async fn until_known(&self, token: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while self.request("GET", "/sessions").bearer_auth(token).send().await.unwrap().status() != 200 {
            assert!(std::time::Instant::now() < deadline, "a new key counts within a second");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A conversation with one turn; the session's and the run's id.
    pub(crate) async fn converse(&self, token: &str) -> (String, String) {
        let run = new_id();
        let session = new_id();
        let body = json!({"message": "hello", "session_id": session, "run_id": run});
        let (status, text) = self.chat(token, &body).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        assert!(text.contains("event: done"), "{text}");
        (session, run)
    }
}

/// An id of the length of every other.
pub(crate) fn new_id() -> String {
    let (stored, _) = NamedKey::generate("id", None, false);
    stored.sha256[..36].to_owned()
}
