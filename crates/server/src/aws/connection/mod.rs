//! The connections of the AWS SDK, to Bedrock and to where credentials come from: whoever reads an answer drives its
//! connection.
//!
//! hyper-util's client, which the SDK brings, gives each connection a task of its own. Every piece of text then goes through
//! that task before it reaches the run's: two more wake-ups a token, which at a thousand streams cost more than reading
//! it. Here a connection stands in the body of the answer that comes over it, and between two requests it rests in a pool.
//!
//! HTTP/1.1 only: a stream of HTTP/2 shares its connection, and so needs somebody else to drive it.

mod driven;
mod pool;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tower::ServiceExt as _;

pub(crate) use driven::Driven;
use driven::Link;
use pool::{Origin, Pool};

/// A request as it goes over a connection. Boxed: hyper has room for 32 of them on each.
type Sent = Request<Box<SdkBody>>;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the body of a good answer goes, if it is an extension of the request: to who reads it, past the SDK, which would
/// decode it, and wrap it in four layers for that. Errors go to the SDK.
#[derive(Clone, Default)]
pub(crate) struct KeptBody(Arc<Mutex<Option<Driven>>>);

impl KeptBody {
    pub(crate) fn take(&self) -> Option<Driven> {
        self.0.lock().take()
    }
}

/// Makes connections and uses them again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    pool: Arc<Pool>,
    /// Made for the first address that needs it: it reads the machine's certificates.
    tls: Arc<OnceLock<Tls>>,
}

struct Tls(HttpsConnector<TcpConnector>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl HttpClient for Connections {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            connections: self.clone(),
            connect_timeout: settings.connect_timeout(),
            read_timeout: settings.read_timeout(),
        })
    }
}

#[derive(Debug)]
struct Connector {
    connections: Connections,
    connect_timeout: Option<Duration>,
    /// For the head of an answer.
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connections, within, silent) =
            (self.connections.clone(), self.connect_timeout, self.read_timeout);
        HttpConnectorFuture::new(async move { connections.send(request, within, silent).await })
    }
}

impl Connections {
    async fn send(
        &self,
        request: HttpRequest,
        connect_timeout: Option<Duration>,
        read_timeout: Option<Duration>,
    ) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (origin, mut request) = addressed(request).map_err(ConnectorError::user)?;
        let keep = request.extensions_mut().remove::<KeptBody>();
        loop {
            let kept = self.pool.take(&origin);
            let is_new = kept.is_none();
            let link = match kept {
                Some(link) => link,
                None => self.connect(&origin, connect_timeout).await?,
            };
            match in_time(read_timeout, "no answer", link.send(request)).await? {
                Ok((head, link)) => {
                    let (head, body) = head.into_parts();
                    let body = Driven::new(body, link, origin, Arc::clone(&self.pool));
                    let body = match keep {
                        Some(keep) if head.status.is_success() => {
                            *keep.0.lock() = Some(body);
                            SdkBody::empty()
                        }
                        _ => SdkBody::from_body_1_x(body),
                    };
                    return HttpResponse::try_from(Response::from_parts(head, body))
                        .map_err(|error| ConnectorError::other(error.into(), None));
                }
                // The service closed a kept connection before it was asked anything over it.
                Err((_, Some(unsent))) if !is_new => request = unsent,
                Err((error, _)) => return Err(ConnectorError::io(error.into())),
            }
        }
    }

    async fn connect(&self, origin: &Origin, within: Option<Duration>) -> Result<Box<Link>, ConnectorError> {
        let connecting = async {
            let uri = origin.uri()?;
            let mut tcp = TcpConnector::new();
            tcp.enforce_http(false);
            tcp.set_nodelay(true);
            if origin.scheme == Scheme::HTTPS {
                let tls = self.tls.get_or_init(|| Tls(encrypted(tcp, trusted())));
                Link::over(Box::new(tls.0.clone().oneshot(uri).await?)).await
            } else {
                Link::over(Box::new(tcp.oneshot(uri).await?)).await
            }
        };
        in_time(within, "no connection", connecting).await?.map_err(ConnectorError::io)
    }
}

/// What a future gives, or the error of a limit that it takes longer than.
async fn in_time<T>(
    limit: Option<Duration>,
    missing: &str,
    future: impl Future<Output = T>,
) -> Result<T, ConnectorError> {
    let Some(limit) = limit else { return Ok(future.await) };
    timeout(limit, future).await.map_err(|_| {
        let why = format!("timed out: {missing} within {limit:?}");
        ConnectorError::timeout(io::Error::new(io::ErrorKind::TimedOut, why).into())
    })
}

/// The certificates that this machine trusts.
fn trusted() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!(errors = ?found.errors, "this machine has no certificates: no service can be trusted");
    }
    roots
}

fn encrypted(tcp: TcpConnector, roots: RootCertStore) -> HttpsConnector<TcpConnector> {
    crate::tls::install();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().wrap_connector(tcp)
}

/// Takes the address out of a request's URI: over a connection to its origin go the path and a `Host`.
fn addressed(request: Request<SdkBody>) -> Result<(Origin, Sent), Failure> {
    let (mut head, body) = request.into_parts();
    let uri = std::mem::take(&mut head.uri).into_parts();
    let authority = uri.authority.ok_or("the endpoint has no host")?;
    let scheme = uri.scheme.unwrap_or(Scheme::HTTPS);
    if !head.headers.contains_key(HOST) {
        let default = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let host = match authority.port_u16() {
            Some(port) if port != default => format!("{}:{port}", authority.host()),
            _ => authority.host().to_owned(),
        };
        head.headers.insert(HOST, HeaderValue::try_from(host)?);
    }
    head.uri = Uri::from(uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Ok((Origin { scheme, authority }, Request::from_parts(head, Box::new(body))))
}
