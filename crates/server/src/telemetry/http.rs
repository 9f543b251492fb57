//! What every request passes: it is counted, and its task is told what it works for.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Telemetry;
use super::names::Metric;
use super::scope::{self, Scope};
use super::trace::TraceContext;

/// The layer.
pub async fn layer(State(telemetry): State<Arc<Telemetry>>, request: Request, next: Next) -> Response {
    let method = known_method(request.method());
    // The route's pattern, never its path: that has ids in it.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let outer = scope::current();
    let scope = Scope {
        telemetry: Some(Arc::clone(&telemetry)),
        invocation: outer.as_ref().and_then(|scope| scope.invocation.clone()),
        run: None,
        trace: TraceContext::from_headers(request.headers(), telemetry.xray_decides()),
    };
    let response = scope::enter(Arc::new(scope), next.run(request)).await;
    let route = route.as_ref().map_or("page", MatchedPath::as_str);
    let status = match response.status().as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    telemetry.metrics.count(Metric::HttpRequests, &[method, route, status]);
    response
}

/// Methods are whatever a client writes.
fn known_method(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
