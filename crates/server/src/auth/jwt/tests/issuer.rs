//! An issuer of tokens on a port of this machine, whose keys and moods the test decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::TestKey;

/// How the issuer answers a request for its keys.
#[derive(Clone, Debug)]
pub(super) enum Mood {
    Keys(Vec<Value>),
    Broken(StatusCode),
    Text(String),
    Redirects,
}

struct Shared {
    mood: Mutex<Mood>,
    asked: AtomicUsize,
    name: String,
    says_it_is: Mutex<Option<String>>,
}

pub(super) struct Issuer {
    shared: Arc<Shared>,
}

impl Issuer {
    pub(super) async fn start(keys: &[&TestKey]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            mood: Mutex::new(Mood::Keys(Vec::new())),
            asked: AtomicUsize::new(0),
            name,
            says_it_is: Mutex::new(None),
        });
        let routes = Router::new()
            .route("/keys", get(keys_route))
            .route("/elsewhere", get(elsewhere))
            .route("/.well-known/openid-configuration", get(discovery))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let issuer = Self { shared };
        issuer.publish(keys);
        issuer
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    pub(super) fn keys_address(&self) -> String {
        format!("{}/keys", self.shared.name)
    }

    pub(super) fn publish(&self, keys: &[&TestKey]) {
        self.set(Mood::Keys(keys.iter().map(|key| key.public()).collect()));
    }

    pub(super) fn set(&self, mood: Mood) {
        *self.shared.mood.lock() = mood;
    }

    pub(super) fn says_it_is(&self, name: &str) {
        *self.shared.says_it_is.lock() = Some(name.to_owned());
    }

    /// How often the keys were fetched.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

async fn keys_route(State(shared): State<Arc<Shared>>) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let mood = shared.mood.lock().clone();
    match mood {
        Mood::Keys(keys) => axum::Json(json!({"keys": keys})).into_response(),
        Mood::Broken(status) => status.into_response(),
        Mood::Text(text) => text.into_response(),
        Mood::Redirects => Redirect::temporary("/elsewhere").into_response(),
    }
}

async fn elsewhere() -> Response {
    axum::Json(json!({"keys": [TestKey::ec("ec").public()]})).into_response()
}

async fn discovery(State(shared): State<Arc<Shared>>) -> Response {
    let issuer = shared.says_it_is.lock().clone().unwrap_or_else(|| shared.name.clone());
    axum::Json(json!({"issuer": issuer, "jwks_uri": format!("{}/keys", shared.name)})).into_response()
}
