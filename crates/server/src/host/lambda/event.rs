//! An invocation's event as the request the router would have got over a socket.
//!
//! REST APIs, function URLs (and HTTP APIs) and load balancers; each spells the same request differently. The
//! stage and a custom domain's base path are not part of the path here.

use axum::body::Body;
use http::{Request, Uri, uri::PathAndQuery};
use lambda_http::{RequestExt as _, request::RequestContext};
use serde_json::{Map, Value};

/// The request in an event.
pub(super) fn request(event: &[u8]) -> Result<Request<Body>, String> {
    let text = std::str::from_utf8(event).map_err(|error| error.to_string())?;
    let event = lambda_http::request::from_str(text)
        .or_else(|error| completed(text).ok_or(error).and_then(|text| lambda_http::request::from_str(&text)))
        .map_err(|error| error.to_string())?;
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

/// An event as API Gateway would have made it, where somebody wrote it by hand (`aws lambda invoke`, a console's test): the
/// method is said twice, and what is not there is left out rather than null.
fn completed(event: &str) -> Option<String> {
    let mut event: Value = serde_json::from_str(event).ok()?;
    let fields = event.as_object_mut()?;
    fields.retain(|_, value| !value.is_null());
    let method = fields.get("httpMethod").cloned();
    let context =
        fields.entry("requestContext").or_insert_with(|| Value::Object(Map::new())).as_object_mut()?;
    context.retain(|_, value| !value.is_null());
    if let (Some(method), false) = (method, context.contains_key("elb")) {
        context.entry("httpMethod").or_insert(method);
    }
    Some(event.to_string())
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
    // What else there is tells the path as it was asked for: an HTTP API's begins with its stage.
    let stage = match event.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.as_deref(),
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    let raw = event.raw_http_path();
    let below = stage
        .filter(|stage| !matches!(*stage, "" | "$default"))
        .and_then(|stage| raw.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .unwrap_or(raw);
    if below.is_empty() { "/".into() } else { below.to_owned() }
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
