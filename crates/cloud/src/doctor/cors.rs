//! What browsers need to read the agent's answers, errors above all.

use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::Examination;

/// A message that agents refuse, in bytes; and one that is too large to be sent for a test.
const LARGE: usize = 1_500_000;
const LARGEST: usize = 20_000_000;

impl Examination<'_> {
    /// Whether a page may read this answer.
    pub(super) fn readable(&mut self, response: &Response, what: &str) {
        let allowed = response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        self.answer_readable(allowed, response.status(), what);
    }

    /// The same of an answer that has been read.
    pub(super) fn answer_readable(&mut self, allowed: bool, status: StatusCode, what: &str) {
        match allowed {
            false if !self.must_be_readable() => self.note(
                "cors_unknown",
                format!("{what} carries no CORS header for {}", self.origin),
                "give --origin with the page's own origin to look at this",
            ),
            false if status.is_success() => self.fault(
                "cors_missing",
                format!("{what} carries no CORS header"),
                "set the page's origin in the server's CORS settings, and let proxies pass the header",
            ),
            // Browsers show "CORS error" instead of what really happened.
            false => self.fault(
                match status.as_u16() {
                    401 => "cors_missing_401",
                    403 => "cors_missing_403",
                    413 => "cors_missing_413",
                    429 => "cors_missing_429",
                    500.. => "cors_missing_5xx",
                    _ => "cors_missing_4xx",
                },
                format!("{what} answers {status} without a CORS header: browsers hide the reason"),
                "add Access-Control-Allow-Origin to the gateway's own answers (DEFAULT_4XX and DEFAULT_5XX gateway \
                 responses; `always` with nginx's add_header)",
            ),
            true => self.cors_seen = true,
        }
    }

    /// Whether a missing CORS header is a fault: the page is known to be one of the agent's, or other answers named it.
    fn must_be_readable(&self) -> bool {
        self.options.origin.is_some() || self.cors_seen
    }

    pub(super) async fn preflight(&mut self) {
        let request = self
            .request(Method::OPTIONS, "/chat")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")
            .timeout(self.options.wait);
        let Ok(response) = request.send().await else {
            self.fault("preflight", "OPTIONS /chat has no answer", "let OPTIONS pass to the agent");
            return;
        };
        let status = response.status();
        let names = |name: header::HeaderName| {
            let value =
                response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            value.to_ascii_lowercase()
        };
        let headers = names(header::ACCESS_CONTROL_ALLOW_HEADERS);
        let origin = names(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        if !status.is_success() {
            self.fault(
                "preflight",
                format!("OPTIONS /chat answers {status}"),
                "preflights carry no token: answer them before the authorizer",
            );
        } else if origin.is_empty() && !self.must_be_readable() {
            self.note(
                "cors_unknown",
                format!("OPTIONS /chat allows no page of {}", self.origin),
                "give --origin with the page's own origin",
            );
        } else if origin.is_empty() {
            self.fault(
                "preflight",
                "OPTIONS /chat allows no origin",
                "answer preflights with the CORS headers",
            );
        } else if headers != "*" && !headers.contains("authorization") {
            self.fault(
                "preflight",
                "OPTIONS /chat does not allow the Authorization header",
                "name Authorization in Access-Control-Allow-Headers (`*` does not cover it)",
            );
        }
    }

    /// Asks without a token; true when the agent is open to everybody.
    pub(super) async fn without_token(&mut self) -> bool {
        // An empty message is refused by an open agent, so that this probe costs no tokens.
        let request =
            self.request(Method::POST, "/chat").json(&json!({ "message": "" })).timeout(self.options.wait);
        let Ok(response) = request.send().await else { return false };
        self.clock(&response);
        self.readable(&response, "/chat without a token");
        !matches!(response.status().as_u16(), 401 | 403)
    }

    /// What API Gateway says by itself to a method that it has no route for (403), and the agent (405).
    pub(super) async fn unknown_method(&mut self) {
        let request = self.request(Method::PUT, "/health").timeout(self.options.wait);
        if let Ok(response) = request.send().await
            && !response.status().is_success()
        {
            self.readable(&response, "PUT /health");
        }
    }

    /// What the gateway says to a body that is too large must be readable too.
    pub(super) async fn large_body(&mut self, config: &Value) {
        // Above the agent's own limit, so that no model is asked.
        let limit = config["limits"]["message_bytes"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        let length = limit.map_or(LARGE, |limit| LARGE.max(limit + 1));
        if length > LARGEST {
            return;
        }
        let body = json!({ "message": "x".repeat(length) });
        let request = self.signed(Method::POST, "/chat").json(&body).timeout(self.options.wait);
        if let Ok(response) = request.send().await
            && !response.status().is_success()
        {
            self.readable(&response, "/chat with a message that is too long");
        }
    }
}
