//! Calls of providers over HTTP: the shared clients, and a response body turned into model events.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use loquat_agent::model::{ModelError, ModelErrorKind, ModelEvent};
use parking_lot::Mutex;
use reqwest::{Client, Url};
use tokio::time::timeout;

use super::body::{self, Transcode, root, silent};
use super::config::Timeouts;
use super::sse::{SseEvent, SseParser};
use crate::telemetry::scope;
use crate::tls;

/// The most of an error's body that is read.
const MAX_ERROR_BODY: usize = 64 * 1024;

/// The clients all providers share, so that connections are used again. Made at first use: loading the machine's
/// certificates costs milliseconds that a start without a call need not spend.
#[derive(Debug, Default)]
pub struct Http {
    /// By connect timeout, whether the server is on this machine, and whether TLS is spoken.
    clients: Mutex<HashMap<(Duration, bool, bool), Client>>,
}

impl Http {
    /// The client for a URL. A proxy of the environment is used for other machines only: a model server on this one
    /// is never behind it.
    pub(crate) fn client(&self, url: &Url, connect: Duration) -> Result<Client, ModelError> {
        let key = (connect, is_loopback(url), url.scheme() == "https");
        let (_, loopback, https) = key;
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        tls::install();
        let mut builder = Client::builder()
            .connect_timeout(connect)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("loquat/", env!("CARGO_PKG_VERSION")));
        if loopback {
            builder = builder.no_proxy();
        }
        if !https {
            // Redirects are not followed, so no certificate is ever looked at: spare loading the machine's.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            ModelError::new(ModelErrorKind::Internal, format!("the HTTP client cannot start: {error}"))
        })?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// Joins a base URL that may end in a slash and a path that does not begin with one.
pub(crate) fn endpoint(base: &str, path: &str) -> Result<Url, String> {
    let url =
        Url::parse(&format!("{}/{path}", base.trim_end_matches('/'))).map_err(|error| error.to_string())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err("it must begin with http:// or https://".to_owned())
    }
}

/// Host and port of a URL, for messages: never its path, query or credentials.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What makes one provider's stream into model events.
pub(crate) trait Decode: Send + 'static {
    /// Takes one event of the stream. `Ok(true)` means the stream is at its end.
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelEvent>) -> Result<bool, ModelError>;

    /// The bytes are over without a proper end (`cause` says how). The decoder may still know that the answer is
    /// whole; otherwise it returns the cause.
    fn end(&mut self, cause: ModelError, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError>;

    /// Who is talking, for messages.
    fn provider(&self) -> &str;
}

/// Sends a request and answers with its body, waiting no longer than `first_byte` for the head. Every status but
/// success goes through `refused`.
pub(crate) async fn send(
    request: reqwest::RequestBuilder,
    url: &Url,
    timeouts: Timeouts,
    provider: &str,
    refused: impl FnOnce(u16, &[u8]) -> ModelError,
) -> Result<reqwest::Response, ModelError> {
    let request = request.headers(scope::headers().into_iter().collect());
    let response = match timeout(timeouts.first_byte, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(unreachable(&error, url, provider)),
        Err(_) => return Err(silent(provider, timeouts.first_byte, true)),
    };
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let wait = retry_after(response.headers());
    let body = timeout(timeouts.between_bytes, error_body(response)).await.unwrap_or_default();
    let mut error = refused(status.as_u16(), &body);
    error.retry_after = error.retry_after.or(wait);
    Err(error)
}

async fn error_body(response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ERROR_BODY {
            body.truncate(MAX_ERROR_BODY);
            break;
        }
    }
    body
}

/// `Retry-After` in seconds or as a date, and the `retry-after-ms` of OpenAI and Anthropic.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    // A date in the past means: now.
    Some(Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

fn unreachable(error: &reqwest::Error, url: &Url, provider: &str) -> ModelError {
    let place = authority(url);
    if error.is_timeout() {
        let what = format!("{provider} at {place} did not accept a connection in time; check the address");
        return ModelError::new(ModelErrorKind::Timeout, what);
    }
    if error.is_connect() {
        let what = format!(
            "cannot reach {provider} at {place} ({}); check the address and that it runs",
            root(error)
        );
        return ModelError::new(ModelErrorKind::Unavailable, what);
    }
    if error.is_builder() {
        return ModelError::new(ModelErrorKind::Internal, format!("{provider}: the request cannot be built"));
    }
    let what = format!("the connection to {provider} at {place} broke ({})", root(error));
    ModelError::new(ModelErrorKind::Unavailable, what)
}

/// Turns the body of a response, a stream of events, into model events.
pub(crate) fn events<D: Decode>(
    body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    decoder: D,
    timeouts: Timeouts,
) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
    body::events(body, Sse { parser: SseParser::default(), decoder }, timeouts)
}

struct Sse<D> {
    parser: SseParser,
    decoder: D,
}

impl<D: Decode> Transcode for Sse<D> {
    fn bytes(&mut self, bytes: &[u8], out: &mut VecDeque<ModelEvent>) -> Result<bool, ModelError> {
        self.parser.feed(bytes);
        loop {
            match self.parser.next_event() {
                Ok(None) => return Ok(false),
                Ok(Some(event)) => {
                    if self.decoder.event(&event, out)? {
                        return Ok(true);
                    }
                }
                Err(_) => {
                    let what = format!("{} sent an event that is too large", self.decoder.provider());
                    return Err(ModelError::new(ModelErrorKind::Protocol, what));
                }
            }
        }
    }

    fn end(&mut self, cause: ModelError, out: &mut VecDeque<ModelEvent>) -> Result<(), ModelError> {
        self.decoder.end(cause, out)
    }

    fn provider(&self) -> &str {
        self.decoder.provider()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_retry_after() {
        let check = |name: &'static str, value: &str, expected: Option<Duration>| {
            let mut headers = http::HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(retry_after(&headers), expected, "{name}: {value}");
        };
        check("retry-after", "3", Some(Duration::from_secs(3)));
        check("retry-after", "1.5", Some(Duration::from_millis(1500)));
        check("retry-after-ms", "250", Some(Duration::from_millis(250)));
        check("retry-after", "-1", None);
        check("retry-after", "soon", None);
        check("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(Duration::ZERO));
    }

    #[test]
    fn knows_this_machine() {
        for (url, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.2", true),
            ("http://[::1]:8", true),
            ("http://10.0.0.1", false),
            ("https://api.openai.com", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn joins_urls() {
        assert_eq!(endpoint("http://h:1/v1/", "chat").unwrap().as_str(), "http://h:1/v1/chat");
        assert_eq!(endpoint("http://h:1/v1", "chat").unwrap().as_str(), "http://h:1/v1/chat");
        assert!(endpoint("h:1", "chat").is_err());
        assert!(endpoint("", "chat").is_err());
        assert_eq!(authority(&Url::parse("https://me:pw@h:1/x?k=v").unwrap()), "h:1");
    }
}
