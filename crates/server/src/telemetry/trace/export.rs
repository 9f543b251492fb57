//! Sends spans in batches, in the background or at once. Nothing waits for it but a flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;

use super::encode;
use super::span::{SpanData, Value};
use crate::config::TraceConfig;
use crate::tls;

/// How often a batch is tried.
const ATTEMPTS: u32 = 4;

/// Keeps spans until they are sent.
#[derive(Debug)]
pub(super) struct Exporter {
    config: TraceConfig,
    resource: Vec<(String, Value)>,
    client: Option<reqwest::Client>,
    waiting: Mutex<Vec<SpanData>>,
    enough: Notify,
    /// One batch at a time; a flush waits for the one under way.
    sending: tokio::sync::Mutex<()>,
    /// Whether the last batch was lost: a failure is told once, not once a batch.
    failing: AtomicBool,
}

impl Exporter {
    /// Begins to send what is added. The task ends with the exporter.
    pub(super) fn start(config: &TraceConfig) -> Arc<Self> {
        let exporter = Arc::new(Self {
            resource: config
                .resource
                .iter()
                .map(|(name, text)| (name.clone(), text.as_str().into()))
                .collect(),
            client: client(config),
            config: config.clone(),
            waiting: Mutex::default(),
            enough: Notify::new(),
            sending: tokio::sync::Mutex::default(),
            failing: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&exporter);
        let pause = config.schedule_delay;
        tokio::spawn(async move {
            while let Some(exporter) = weak.upgrade() {
                let _ = tokio::time::timeout(pause, exporter.enough.notified()).await;
                exporter.flush().await;
            }
        });
        exporter
    }

    /// Takes a span that ended. One that does not fit is lost: the service does not wait for its telemetry.
    pub(super) fn add(&self, span: SpanData) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < self.config.max_queue {
            waiting.push(span);
        }
        if waiting.len() >= self.config.max_batch {
            self.enough.notify_one();
        }
    }

    /// Sends what is there.
    pub(super) async fn flush(&self) {
        let _one = self.sending.lock().await;
        loop {
            let batch: Vec<SpanData> = {
                let mut waiting = self.waiting.lock();
                let n = waiting.len().min(self.config.max_batch);
                waiting.drain(..n).collect()
            };
            if batch.is_empty() {
                return;
            }
            let lost = self.send(&batch).await.err();
            let failing = lost.is_some();
            if let (Some(error), false) = (lost, self.failing.swap(failing, Ordering::Relaxed)) {
                tracing::warn!(error, spans = batch.len(), "spans could not be sent and are lost");
            }
        }
    }

    async fn send(&self, batch: &[SpanData]) -> Result<(), String> {
        let client = self.client.as_ref().ok_or("the HTTP client cannot start")?;
        let (body, kind) = if self.config.json {
            (encode::json(&self.resource, batch), "application/json")
        } else {
            (encode::protobuf(&self.resource, batch), "application/x-protobuf")
        };
        let mut pause = Duration::from_millis(250);
        for attempt in 1.. {
            let request = client
                .post(&self.config.endpoint)
                .timeout(self.config.timeout)
                .headers(self.headers())
                .header(CONTENT_TYPE, kind)
                .body(body.clone());
            let error = match request.send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let error = format!("the receiver answered {}", answer.status());
                    if !may_pass(answer.status()) {
                        return Err(error);
                    }
                    error
                }
                // Without the URL: it may hold a credential.
                Err(error) => error.without_url().to_string(),
            };
            if attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, secret) in &self.config.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(secret.expose())) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers
    }
}

/// The answers after which OTLP says to try again.
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn client(config: &TraceConfig) -> Option<reqwest::Client> {
    tls::install();
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if !config.endpoint.starts_with("https:") {
        // No certificate is ever looked at: spare loading the machine's.
        builder = builder.tls_certs_only([]).no_proxy();
    }
    builder.build().map_err(|error| tracing::error!(%error, "spans cannot be sent")).ok()
}
