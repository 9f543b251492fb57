//! An invocation's event as the request the router would have got over a socket.
//!
//! REST APIs, function URLs (and HTTP APIs) and load balancers; each spells the same request differently. The
//! stage and a custom domain's base path are not part of the path here.

use axum::body::Body;
use http::{Request, Uri, uri::PathAndQuery};
use lambda_http::{RequestExt as _, request::RequestContext};

/// The request in an event.
pub(super) fn request(event: &[u8]) -> Result<Request<Body>, String> {
    let text = std::str::from_utf8(event).map_err(|error| error.to_string())?;
    let event = lambda_http::request::from_str(text).map_err(|error| error.to_string())?;
    let path = path(&event);
    let query = event.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("{}{query}", escape(&path))
        .parse::<PathAndQuery>()
        .map(Uri::from)
        .map_err(|error| format!("path: {error}"))?;
    let (mut parts, body) = event.into_parts();
    parts.uri = uri;
    let body = match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    };
    Ok(Request::from_parts(parts, body))
}

/// The path below the stage and below a custom domain's base path.
///
/// A REST API names the resource that matched, `/chat` or `/{proxy+}` with its value: that is exact whatever
/// stands before it.
fn path(event: &lambda_http::Request) -> String {
    if let Some(RequestContext::ApiGatewayV1(context)) = event.request_context_ref()
        && let Some(resource) = context.resource_path.as_deref()
    {
        if !resource.contains('{') {
            return resource.to_owned();
        }
        if let Some(start) = resource.strip_suffix("{proxy+}")
            && let Some(rest) = event.path_parameters().first("proxy")
        {
            return format!("{start}{rest}");
        }
    }
    let raw = event.raw_http_path();
    if raw.is_empty() { "/".into() } else { raw.to_owned() }
}

/// API Gateway hands paths out decoded; what a path cannot hold is encoded again.
fn escape(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
