//! `loquat doctor URL`: looks at a deployed agent from outside and names what is wrong on the way to it.

mod cors;
mod stream;
#[cfg(test)]
mod tests;
mod token;

use std::time::{Duration, SystemTime};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Users are affected.
    Fault,
    /// Could not be looked at, or worth knowing.
    Note,
}

/// Something the doctor found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A stable word for programs.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// How the doctor looks.
#[derive(Clone, Debug)]
pub struct Options {
    /// A token of a user, for what only users may do.
    pub token: Option<String>,
    /// The page's origin. Without it the agent's own is used, and a CORS header that is missing everywhere may just mean
    /// that its pages are elsewhere.
    pub origin: Option<String>,
    /// What to ask the agent.
    pub message: String,
    /// The longest answer waited for.
    pub wait: Duration,
    /// Silence after which a heartbeat is missing. A quarter of it before a cut makes the cut one for silence.
    pub silence: Duration,
    /// Time to the first byte that is too long. The first frame does not wait for the model.
    pub slow: Duration,
    /// A difference of clocks that breaks tokens.
    pub skew: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            origin: None,
            message: "Count from one to forty in words.".into(),
            wait: Duration::from_secs(120),
            // Heartbeats come after ten seconds.
            silence: Duration::from_secs(12),
            slow: Duration::from_secs(3),
            skew: Duration::from_secs(60),
        }
    }
}

/// What the doctor saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong, in the order it was met; empty for a healthy agent.
    pub findings: Vec<Finding>,
    /// What was measured: name and value.
    pub measured: Vec<(&'static str, String)>,
}

/// The state of one examination.
struct Examination<'a> {
    url: String,
    options: &'a Options,
    client: Client,
    report: Report,
    clock_checked: bool,
    /// As which page the doctor asks.
    origin: String,
    /// Whether any answer could be read by that page: then all must be.
    cors_seen: bool,
}

/// Examines the agent at `url`: the address that `/chat` is under.
pub async fn examine(url: &str, options: &Options) -> Report {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No decompression and no redirects: the doctor wants to see what is there.
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .build();
    let Ok(client) = client else { return Report::default() };
    let url = url.trim_end_matches('/').trim_end_matches("/chat").to_owned();
    let own = reqwest::Url::parse(&url).map(|url| url.origin().ascii_serialization());
    let mut examination = Examination {
        origin: options.origin.clone().or(own.ok()).unwrap_or_default(),
        url,
        options,
        client,
        report: Report::default(),
        clock_checked: false,
        cors_seen: false,
    };
    if examination.reach().await {
        let config = examination.config().await;
        examination.preflight().await;
        examination.unknown_method().await;
        let open = examination.without_token().await;
        if let Some(token) = &options.token {
            examination.token(token, &config);
        }
        if open || options.token.is_some() {
            examination.large_body(&config).await;
            examination.chat().await;
        } else {
            examination.note(
                "no_token",
                "the stream was not looked at",
                "give --token with an id token of a user",
            );
        }
    }
    examination.report
}

impl Examination<'_> {
    fn fault(&mut self, code: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(code, Severity::Fault, what.into(), fix.into());
    }

    fn note(&mut self, code: &'static str, what: impl Into<String>, fix: impl Into<String>) {
        self.add(code, Severity::Note, what.into(), fix.into());
    }

    /// Whether this was found.
    fn found(&self, code: &str) -> bool {
        self.report.findings.iter().any(|known| known.code == code)
    }

    /// A finding once; what is met again on another probe is the same fault.
    fn add(&mut self, code: &'static str, severity: Severity, what: String, fix: String) {
        if !self.found(code) {
            self.report.findings.push(Finding { code, severity, what, fix });
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .header(header::ORIGIN, self.origin.as_str())
    }

    /// A request as a signed-in page makes it.
    fn signed(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.request(method, path);
        match &self.options.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Whether the agent is there at all.
    async fn reach(&mut self) -> bool {
        let response = match self.request(Method::GET, "/health").timeout(self.options.wait).send().await {
            Ok(response) => response,
            Err(error) => {
                let what = if error.is_timeout() { "no answer in time".to_owned() } else { cause(&error) };
                self.fault(
                    "unreachable",
                    format!("{}/health: {what}", self.url),
                    "check the address and that the stack is deployed",
                );
                return false;
            }
        };
        self.clock(&response);
        let status = response.status();
        if status.is_redirection() {
            let to = response
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok())
                .unwrap_or("?")
                .to_owned();
            self.fault(
                "redirect",
                format!("/health is redirected to {to}"),
                "use that address: browsers do not follow it with a token",
            );
            return false;
        }
        let cors = response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        let body = response.bytes().await.unwrap_or_default();
        let healthy = serde_json::from_slice::<Value>(&body).is_ok_and(|body| body["status"].is_string());
        if status == StatusCode::OK && healthy {
            return true;
        }
        let text = String::from_utf8_lossy(&body);
        if text.contains("Missing Authentication Token")
            || text.contains("\"Forbidden\"")
            || status == StatusCode::NOT_FOUND
        {
            self.fault(
                "wrong_path",
                format!("{}/health answers {status}: this is not the agent's path", self.url),
                "with API Gateway the address ends in the stage (…amazonaws.com/prod); behind a proxy, forward the whole path",
            );
        } else if status == StatusCode::OK {
            self.fault(
                "not_the_agent",
                "/health answers with something else than the agent's health",
                "a page or a proxy answers here: use the API's own address",
            );
        } else if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.fault(
                "wrong_path",
                format!("{}/health answers {status}, but the agent's own is open to everybody", self.url),
                "with API Gateway the address ends in the stage, once (…amazonaws.com/prod); a proxy must let /health pass",
            );
        } else {
            self.answer_readable(cors, status, "/health");
            let (code, fix) = match status {
                StatusCode::TOO_MANY_REQUESTS => ("throttled", "wait, or raise the limits"),
                _ => ("unhealthy", "see `loquat logs`"),
            };
            self.fault(code, format!("/health answers {status}"), fix);
        }
        false
    }

    /// Tokens are good for minutes: a clock that is wrong by some makes them worthless.
    fn clock(&mut self, response: &Response) {
        if self.clock_checked {
            return;
        }
        let date =
            response.headers().get(header::DATE).and_then(|value| value.to_str().ok()).and_then(http_date);
        let Some(date) = date else { return };
        self.clock_checked = true;
        let now = SystemTime::now();
        let skew = now.duration_since(date).unwrap_or_else(|error| error.duration());
        if skew > self.options.skew {
            self.fault(
                "clock_skew",
                format!("this machine's clock and the agent's differ by {} s", skew.as_secs()),
                "set the clock (NTP): tokens are refused as expired or not yet valid",
            );
        }
    }

    async fn config(&mut self) -> Value {
        let Ok(response) = self.request(Method::GET, "/config.json").timeout(self.options.wait).send().await
        else {
            return Value::Null;
        };
        self.readable(&response, "/config.json");
        response.json().await.unwrap_or_default()
    }
}

/// The innermost cause of a failed request.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn http_date(text: &str) -> Option<SystemTime> {
    let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(SystemTime::from(zoned.timestamp()))
}
