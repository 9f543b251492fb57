//! What browsers are told, and what is refused because a browser could be tricked into sending it.
//!
//! There are no cookies, so a foreign page has nobody's authority to borrow, with one exception: where nobody signs in
//! and the server listens on loopback, being on this machine is the authority, and every page in the user's browser is
//! on this machine. There a request must be for a name of this machine (a page whose name was re-pointed to 127.0.0.1
//! still sends its own name as `Host`), and from a page of it (`Origin`). The name must be known where people sign in,
//! too, if the server listens on loopback: what was re-pointed there has nothing to look for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;

use super::problem::Problem;

/// The `[web]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Pages of which origins may call the API (`LOQUAT_CORS_ORIGINS`); `*` for all. Unset: all where people sign in
    /// (a page without their token reads nothing); else all on `POST /chat` only; pages of this machine on loopback.
    pub cors_origins: Option<Vec<String>>,
    /// The names under which this server may be called (`LOQUAT_ALLOWED_HOSTS`), beside those of this machine. Checked
    /// where it is set, and where the server listens on loopback; there not behind proxies that hand on names of their own
    /// (`trusted_proxies`), if people sign in.
    pub allowed_hosts: Vec<String>,
    /// Whether browsers are told to use TLS only, for the names below this one too. Without it they are told so for this
    /// name where something in front of the server says that they came by TLS (`X-Forwarded-Proto`).
    pub hsts: bool,
}

/// What is wrong with the `[web]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("web.{key}: {expected}")]
pub struct WebConfigError {
    /// The key.
    pub key: &'static str,
    /// What was expected.
    pub expected: String,
}

/// Who can reach the server without any credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody: people sign in.
    SignIn,
    /// Nobody, and no other machine reaches it at all.
    SignInOnLoopback,
    /// Programs of this machine.
    Loopback,
    /// Everybody who can open a connection.
    Open,
}

impl Exposure {
    fn signs_in(self) -> bool {
        matches!(self, Self::SignIn | Self::SignInOnLoopback)
    }
}

/// The rules, as they follow from the configuration.
#[derive(Clone, Debug)]
pub struct Security {
    exposure: Exposure,
    origins: Origins,
    hosts: Option<Vec<String>>,
    page_policy: HeaderValue,
    hsts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    /// Nothing was configured.
    Default,
    Any,
    List(Vec<String>),
}

/// What data answers carry: nothing in them is a page.
const DATA_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The methods that a page of another origin may use.
pub const ALLOW_METHODS: &str = "GET, POST, PATCH, DELETE";
/// The headers that it may send. API Gateway answers preflights itself, from a list of `loquat-cloud` that a test holds
/// to this one.
pub const ALLOW_HEADERS: &str = "authorization, content-type, accept, last-event-id, x-api-key, traceparent, tracestate, x-request-id, \
     x-loquat-session-id, a2a-version, mcp-protocol-version, mcp-method, mcp-name, openai-organization, openai-project, \
     x-stainless-arch, x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version, \
     x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, x-stainless-timeout, x-requested-with";
/// The headers of an answer that it may read.
pub const EXPOSE_HEADERS: &str = "x-loquat-run-id, retry-after, x-request-id, content-disposition, x-should-retry, \
     x-vercel-ai-ui-message-stream";

impl Security {
    /// `connect` are the origins beside its own that the page talks to: those of the sign-in provider and of the API.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn new(config: &WebConfig, exposure: Exposure, connect: &[String]) -> Result<Self, WebConfigError> {
        let wrong = |key, expected: String| WebConfigError { key, expected };
        let origins = match &config.cors_origins {
            None => Origins::Default,
            Some(list) if list.iter().any(|origin| origin.trim() == "*") => Origins::Any,
            Some(list) => Origins::List(
                list.iter()
                    .filter(|origin| !origin.trim().is_empty())
                    .map(|origin| {
                        parse_origin(origin.trim()).ok_or_else(|| {
                            wrong(
                                "cors_origins",
                                format!("origins such as https://chat.example (`{origin}` is none)"),
                            )
                        })
                    })
                    .collect::<Result<_, _>>()?,
            ),
        };
        let named: Vec<String> =
            config.allowed_hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        if let Some(host) = named.iter().find(|host| host.is_empty() || host.contains(['/', '*', ' '])) {
            return Err(wrong("allowed_hosts", format!("`{host}` is no name such as chat.example")));
        }
        let local = matches!(exposure, Exposure::Loopback | Exposure::SignInOnLoopback);
        let hosts = (local || !named.is_empty()).then_some(named);
        let mut sources = String::new();
        for origin in connect {
            let origin = parse_origin(origin).ok_or_else(|| {
                wrong("connect", format!("origins such as https://api.example (`{origin}` is none)"))
            })?;
            sources.push(' ');
            sources.push_str(&origin);
        }
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
             img-src 'self' data: blob:; connect-src 'self'{sources}; manifest-src 'self'; form-action 'none'; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let page_policy = HeaderValue::from_str(&policy).map_err(|_| wrong("connect", "text".to_owned()))?;
        Ok(Self { exposure, origins, hosts, page_policy, hsts: config.hsts })
    }

    /// Whether a request may be looked at at all.
    fn check(&self, request: &Request) -> Result<(), Problem> {
        if let Some(hosts) = &self.hosts
            && named_host(request).is_none_or(|host| !is_known(host, hosts))
        {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "unknown_host",
                "This server does not go by that name. Its operator can add it to web.allowed_hosts.",
            ));
        }
        if self.exposure == Exposure::Loopback
            && let Some(origin) = request.headers().get(header::ORIGIN)
            && !self.is_allowed(origin, request.uri().path())
        {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "A page of another site asks. The operator can add its origin to web.cors_origins.",
            ));
        }
        Ok(())
    }

    /// Whether a page of this origin may call this path.
    fn is_allowed(&self, origin: &HeaderValue, path: &str) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        match &self.origins {
            Origins::Any => true,
            Origins::List(list) => {
                list.iter().any(|known| known == origin)
                    || (self.exposure == Exposure::Loopback && self.is_own(origin))
            }
            Origins::Default => match self.exposure {
                Exposure::SignIn | Exposure::SignInOnLoopback => true,
                Exposure::Open => path == "/chat",
                Exposure::Loopback => self.is_own(origin),
            },
        }
    }

    fn is_own(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| is_known(host, self.hosts.as_deref().unwrap_or_default()))
    }

    fn allow_origin(&self, origin: Option<&HeaderValue>, path: &str) -> Option<HeaderValue> {
        let everybody = match self.origins {
            Origins::Any => true,
            Origins::Default => {
                self.exposure.signs_in() || self.exposure == Exposure::Open && path == "/chat"
            }
            Origins::List(_) => false,
        };
        // No browser asks across origins without naming its own: what programs of this machine read is no secret to them.
        let program = origin.is_none() && matches!(self.origins, Origins::Default);
        if everybody || program {
            return Some(HeaderValue::from_static("*"));
        }
        origin.filter(|origin| self.is_allowed(origin, path)).cloned()
    }

    /// Writes the headers of an answer. Each is written once: API Gateway cannot stream an answer that repeats one.
    fn dress(&self, headers: &mut HeaderMap, asked: &Asked) {
        let (origin, path) = (asked.origin.as_ref(), asked.path.as_str());
        if let Some(allowed) = self.allow_origin(origin, path) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSE_HEADERS));
        }
        // Whether or not this answer names an origin, another request for the same thing may get one that does.
        headers.insert(header::VARY, HeaderValue::from_static("origin, accept-encoding"));
        let is_page =
            headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        let policy = if is_page { self.page_policy.clone() } else { DATA_POLICY };
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        );
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        if self.hsts || asked.by_tls {
            let names = if self.hsts { "max-age=31536000; includeSubDomains" } else { "max-age=31536000" };
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(names));
        }
    }
}

/// What of a request decides on the headers of its answer.
struct Asked {
    origin: Option<HeaderValue>,
    path: String,
    /// What is in front says so; one that a client made up concerns that client alone.
    by_tls: bool,
}

/// The outermost layer: whatever is answered, errors and panics included, goes out through here.
pub async fn layer(State(security): State<Arc<Security>>, request: Request, next: Next) -> Response {
    let asked = Asked {
        origin: request.headers().get(header::ORIGIN).cloned(),
        path: request.uri().path().to_owned(),
        by_tls: came_by_tls(request.headers()),
    };
    let preflight = request.method() == Method::OPTIONS
        && asked.origin.is_some()
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match security.check(&request) {
        Err(problem) => {
            // The refusal itself may be read by the page that is refused, or its author sees a bare "CORS error".
            let mut refused = problem.into_response();
            security.dress(refused.headers_mut(), &asked);
            refused.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return refused;
        }
        Ok(()) if preflight => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            if security.allow_origin(asked.origin.as_ref(), &asked.path).is_some() {
                let headers = response.headers_mut();
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(ALLOW_METHODS));
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOW_HEADERS));
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            }
            response
        }
        Ok(()) => next.run(request).await,
    };
    security.dress(response.headers_mut(), &asked);
    response
}

/// The name that a request is for; `None` where it names none, or two.
fn named_host(request: &Request) -> Option<&str> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let (host, None) = (named.next(), named.next()) else { return None };
    request.uri().host().or_else(|| host.and_then(|host| host.to_str().ok()))
}

/// Whether the client's own connection had TLS: of several proxies the first in the list is the one it spoke to.
fn came_by_tls(headers: &HeaderMap) -> bool {
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    let first = scheme.and_then(|schemes| schemes.split(',').next());
    first.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// Whether a host, with or without its port, is one of this machine or of the list.
fn is_known(host: &str, hosts: &[String]) -> bool {
    let host = host.to_ascii_lowercase();
    let name = match host.strip_prefix('[') {
        Some(v6) => match v6.split_once(']') {
            Some((address, "")) => address,
            Some((address, port)) if is_port(port) => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
            Some(_) => return false,
            None => &host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        || hosts.iter().any(|known| known == name || *known == host)
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

/// An origin in the form browsers send: scheme, host, port if unusual, nothing after it.
fn parse_origin(text: &str) -> Option<String> {
    let address = reqwest::Url::parse(text).ok()?;
    let plain = address.path() == "/" && address.query().is_none() && address.fragment().is_none();
    let web = matches!(address.scheme(), "http" | "https");
    (plain && web && !text.contains('@')).then(|| address.origin().ascii_serialization())
}

#[cfg(test)]
mod tests;
