//! The agent's HTTP API as the terminal needs it.

use anyhow::{Context as _, bail};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// A connection to an agent.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// One line of the list of conversations.
#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) session_id: String,
    pub(super) title: String,
    pub(super) updated_at: String,
    pub(super) message_count: u64,
}

/// An id for a new conversation or run.
pub(super) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

impl Client {
    pub(super) fn new(base: &str, token: Option<String>) -> anyhow::Result<Self> {
        loquat_server::tls::install();
        let url: reqwest::Url = base.parse().with_context(|| format!("--url {base}: not a URL"))?;
        let mut http = reqwest::Client::builder();
        if matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            http = http.no_proxy();
        }
        let http = http.build().context("cannot make an HTTP client")?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response =
            request.send().await.with_context(|| format!("cannot reach the agent at {}", self.base))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        match problem["detail"].as_str() {
            Some(detail) => bail!("{detail}"),
            None if status == StatusCode::UNAUTHORIZED => bail!("The agent wants a sign-in: give --token."),
            None => bail!("The agent answered {status}."),
        }
    }

    /// Sends a message; the answer is an event stream. The same `run` again attaches to the same run.
    pub(super) async fn chat(&self, session: &str, run: &str, message: &str) -> anyhow::Result<Response> {
        let body = json!({"message": message, "session_id": session, "run_id": run, "events": "all"});
        self.send(self.http.post(format!("{}/chat", self.base)).json(&body)).await
    }

    /// The events of a run after a cursor.
    pub(super) async fn events(&self, run: &str, after: &str) -> anyhow::Result<Response> {
        let url = format!("{}/runs/{run}/events?events=all", self.base);
        let request = self.http.get(url);
        self.send(if after.is_empty() { request } else { request.header("last-event-id", after) }).await
    }

    pub(super) async fn stop(&self, run: &str) -> anyhow::Result<()> {
        self.send(self.http.post(format!("{}/runs/{run}/stop", self.base))).await.map(drop)
    }

    /// Decides on calls that wait; the answer is the event stream of run `next`.
    pub(super) async fn decide(
        &self,
        run: &str,
        next: &str,
        decisions: &[(String, bool)],
    ) -> anyhow::Result<Response> {
        let approvals: Vec<Value> =
            decisions.iter().map(|(id, approved)| json!({"id": id, "approved": approved})).collect();
        let body = json!({"approvals": approvals, "events": "all", "run_id": next});
        self.send(self.http.post(format!("{}/runs/{run}/approvals", self.base)).json(&body)).await
    }

    pub(super) async fn sessions(&self) -> anyhow::Result<Vec<Listed>> {
        #[derive(Deserialize)]
        struct Page {
            sessions: Vec<Listed>,
        }
        let page: Page =
            self.send(self.http.get(format!("{}/sessions?limit=20", self.base))).await?.json().await?;
        Ok(page.sessions)
    }

    /// The text of a conversation.
    pub(super) async fn open(&self, session: &str) -> anyhow::Result<String> {
        let valid =
            !session.is_empty() && session.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !valid {
            bail!("Say which: /open and a number of /sessions, or an id.");
        }
        let url = format!("{}/sessions/{session}/export?format=md", self.base);
        Ok(self.send(self.http.get(url)).await?.text().await?)
    }
}
