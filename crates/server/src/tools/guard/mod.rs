//! The address guard: what a model asks for over HTTP may reach the public internet and the hosts the owner allows,
//! never the machine's own network (metadata services, databases, the server itself).
//!
//! Names are resolved here, every address of a name is checked, and the connection goes to the addresses that were
//! checked: a name that changes its mind between check and use gains nothing. Redirects are followed by hand, each
//! one checked like the first request, and credentials stay with the origin they were meant for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// What may be reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowance {
    /// Exact names or `*.example.com`; empty: every host.
    pub(crate) hosts: Vec<String>,
    /// Whether private addresses may be reached.
    pub(crate) private: bool,
}

/// Why a request was not made or not finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GuardError {
    /// The address is not one that may be reached.
    #[error("{0}")]
    Refused(String),
    /// The request failed on its way.
    #[error("{0}")]
    Failed(String),
}

impl Allowance {
    /// Checks what an address says before its name is resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<(), GuardError> {
        let refuse = |why: String| Err(GuardError::Refused(why));
        if !matches!(url.scheme(), "http" | "https") {
            return refuse(format!("only http and https addresses can be fetched, not {}:", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("addresses with a user name or password are not fetched".to_owned());
        }
        let Some(host) = url.host() else {
            return refuse("the address has no host".to_owned());
        };
        if !self.hosts.is_empty() && !self.hosts.iter().any(|pattern| host_matches(pattern, &host)) {
            return refuse(format!("the host {host} is not on the list of allowed hosts"));
        }
        let literal = match host {
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
            Host::Domain(_) => None,
        };
        match literal {
            Some(ip) if !self.private && !is_public(ip) => {
                refuse(format!("{ip} is an address of a private or special network"))
            }
            _ => Ok(()),
        }
    }
}

fn host_matches(pattern: &str, host: &Host<&str>) -> bool {
    let host = host.to_string();
    let host = host.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            host.len() > parent.len() + 1
                && host.to_ascii_lowercase().ends_with(&format!(".{}", parent.to_ascii_lowercase()))
        }
        None => host.eq_ignore_ascii_case(pattern.trim_end_matches('.')),
    }
}

/// Whether an address belongs to the public internet: not private, local, shared, reserved, documentation, multicast,
/// nor an IPv6 form that carries such an IPv4 address.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 192 && b == 168)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // IPv4-mapped, and NAT64's well-known prefix: as the IPv4 address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, benchmarking, ORCHID and other special uses of 2001::/23; documentation.
        [0x2001, b, ..] if b < 0x200 || b == 0xdb8 => false,
        [0x3fff, b, ..] if b < 0x1000 => false,
        // Only 2000::/3 is given out to the public internet.
        [a, ..] => (0x2000..0x4000).contains(&a),
    }
}

/// Resolves a name to addresses. The port of the answers is not used.
pub(crate) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver.
pub(crate) fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// A resolver that gives out only names whose every address may be reached. The client connects to what it returns,
/// so the addresses that were checked are the addresses that are used.
struct GuardedResolver {
    lookup: Lookup,
    private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = Arc::clone(&self.lookup);
        let private = self.private;
        Box::pin(async move {
            let addresses = lookup(name.as_str().to_owned()).await?;
            if let Some(bad) = addresses.iter().find(|ip| !private && !is_public(**ip)) {
                let why = format!(
                    "{} resolves to {bad}, an address of a private or special network",
                    name.as_str()
                );
                return Err(GuardError::Refused(why).into());
            }
            Ok(Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

/// An HTTP client behind the guard.
#[derive(Clone)]
pub(crate) struct GuardedClient {
    client: reqwest::Client,
    allowance: Arc<Allowance>,
}

/// An answer, its body read up to the limit.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body was longer than the limit.
    pub(crate) cut: bool,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Sent to every host.
    pub(crate) headers: HeaderMap,
    /// Sent to the first address's origin only.
    pub(crate) credentials: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) max_bytes: usize,
}

impl GuardedClient {
    /// A client that may reach what `allowance` says.
    ///
    /// # Errors
    /// The TLS provider is not installed.
    pub(crate) fn new(allowance: Allowance, lookup: Lookup) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(GuardedResolver { lookup, private: allowance.private }))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("loquat/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, allowance: Arc::new(allowance) })
    }

    /// Sends a request and reads the answer, through redirects.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Answer, GuardError> {
        let origin = ask.url.origin();
        let Ask { mut method, mut url, headers, credentials, mut body, max_bytes } = ask;
        for _ in 0..=MAX_REDIRECTS {
            self.allowance.check(&url)?;
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            if url.origin() == origin {
                request = request.headers(credentials.clone());
            }
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(|error| explain(&error))?;
            match redirect(&response, &url)? {
                Some(next) => {
                    // As browsers do: 303 always, 301 and 302 after a POST, become a GET without a body.
                    let status = response.status();
                    let rewrite = status == StatusCode::SEE_OTHER
                        || (method == Method::POST
                            && matches!(status, StatusCode::FOUND | StatusCode::MOVED_PERMANENTLY));
                    if rewrite {
                        method = Method::GET;
                        body = None;
                    }
                    if next.origin() != origin && body.is_some() {
                        return Err(GuardError::Refused(
                            "the server wants the request's body sent to another host".to_owned(),
                        ));
                    }
                    url = next;
                }
                None => return read(response, url, max_bytes).await,
            }
        }
        Err(GuardError::Failed(format!("more than {MAX_REDIRECTS} redirects")))
    }
}

fn redirect(response: &reqwest::Response, base: &Url) -> Result<Option<Url>, GuardError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(header::LOCATION) else {
        return Ok(None);
    };
    let next = location.to_str().ok().and_then(|location| base.join(location).ok());
    next.map(Some)
        .ok_or_else(|| GuardError::Failed("a redirect to an address that cannot be read".to_owned()))
}

async fn read(response: reqwest::Response, url: Url, max_bytes: usize) -> Result<Answer, GuardError> {
    let status = response.status();
    let headers = response.headers().clone();
    let mut stream = response.bytes_stream();
    let mut body = BytesMut::new();
    let mut cut = false;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| explain(&error))?;
        let room = max_bytes - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            cut = true;
            break;
        }
    }
    Ok(Answer { url, status, headers, body: body.freeze(), cut })
}

/// The innermost cause in words, without the address (which may carry secrets in its query).
fn explain(error: &reqwest::Error) -> GuardError {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(GuardError::Refused(why)) = cause.downcast_ref::<GuardError>() {
            return GuardError::Refused(why.clone());
        }
        match cause.source() {
            Some(next) => cause = next,
            None => break,
        }
    }
    let what = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        format!("could not connect: {cause}")
    } else {
        cause.to_string()
    };
    GuardError::Failed(what)
}

#[cfg(test)]
mod tests;
