//! The HTTP client of streamable HTTP servers: `reqwest`, with tokens where the server wants them, and with answers
//! that belong to their requests.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
    StreamableHttpResponseLimits,
};
use sse_stream::Sse;

use super::oauth::TokenSource;
use crate::telemetry::trace::TraceContext;

/// The client of one server.
#[derive(Clone)]
pub(super) struct Http {
    inner: reqwest::Client,
    tokens: Option<Arc<TokenSource>>,
}

pub(super) type Failure = StreamableHttpError<reqwest::Error>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

impl Http {
    pub(super) fn new(inner: reqwest::Client, tokens: Option<Arc<TokenSource>>) -> Self {
        Self { inner, tokens }
    }

    /// Calls with a token of ours, or with the fixed one where there is no OAuth.
    async fn with_token<T, F, Fut>(&self, fixed: Option<String>, call: F) -> Result<T, Failure>
    where
        F: Fn(Option<String>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let Some(tokens) = &self.tokens else { return call(fixed).await };
        let fail = |why: String| Failure::Io(std::io::Error::other(format!("OAuth: {why}")));
        let token = tokens.token(None).await.map_err(fail)?;
        match call(Some(token.clone())).await {
            Err(StreamableHttpError::AuthRequired(_)) => {
                call(Some(tokens.token(Some(&token)).await.map_err(fail)?)).await
            }
            answer => answer,
        }
    }
}

/// Makes an error without a number the answer to the request that got it, so that nobody waits for another one. Servers
/// that have lost a session often say so in this way instead of by a 404; then the session is made anew.
fn correlate(
    answer: Result<StreamableHttpPostResponse, Failure>,
    message: &ClientJsonRpcMessage,
    in_session: bool,
) -> Result<StreamableHttpPostResponse, Failure> {
    match (answer, message) {
        (
            Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(mut error), session)),
            ClientJsonRpcMessage::Request(request),
        ) => {
            if in_session && lost_session(&error.error) {
                return Err(StreamableHttpError::SessionExpired);
            }
            error.id.get_or_insert_with(|| request.id.clone());
            Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), session))
        }
        (answer, _) => answer,
    }
}

/// The trace a tool call belongs to, as headers. The transport works on a task of its own, so it is read from the message.
fn trace(message: &ClientJsonRpcMessage) -> Vec<(HeaderName, HeaderValue)> {
    let ClientJsonRpcMessage::Request(request) = message else { return Vec::new() };
    let ClientRequest::CallToolRequest(call) = &request.request else { return Vec::new() };
    let text = |name: &str| call.params.meta.as_ref()?.0.get(name)?.as_str();
    let context = text("traceparent").and_then(TraceContext::parse_traceparent).map(|mut context| {
        context.state = text("tracestate").map(str::to_owned);
        context
    });
    context.map(|context| context.headers()).unwrap_or_default()
}

/// The words of the official SDKs, which refuse such a request before they look at it: repeating it is safe.
fn lost_session(error: &ErrorData) -> bool {
    let text = error.message.to_ascii_lowercase();
    matches!(error.code.0, -32000 | -32001 | -32600)
        && ["no valid session id", "session not found", "session has been terminated"]
            .iter()
            .any(|words| text.contains(words))
}

impl StreamableHttpClient for Http {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let limits = StreamableHttpResponseLimits::default();
        self.post_message_with_response_limits(uri, message, session_id, auth_header, custom_headers, limits)
            .await
    }

    async fn post_message_with_response_limits(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        mut custom_headers: HashMap<HeaderName, HeaderValue>,
        limits: StreamableHttpResponseLimits,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        custom_headers.extend(trace(&message));
        let answer = self.with_token(auth_header, |token| {
            self.inner.post_message_with_response_limits(
                Arc::clone(&uri),
                message.clone(),
                session_id.clone(),
                token,
                custom_headers.clone(),
                limits,
            )
        });
        correlate(answer.await, &message, session_id.is_some())
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        self.with_token(auth_header, |token| {
            self.inner.delete_session(
                Arc::clone(&uri),
                Arc::clone(&session_id),
                token,
                custom_headers.clone(),
            )
        })
        .await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Events, Failure> {
        let limit = StreamableHttpResponseLimits::default().max_sse_event_size;
        self.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            limit,
        )
        .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max_sse_event_size: usize,
    ) -> Result<Events, Failure> {
        self.with_token(auth_header, |token| {
            self.inner.get_stream_with_max_sse_event_size(
                Arc::clone(&uri),
                session_id.clone(),
                last_event_id.clone(),
                token,
                custom_headers.clone(),
                max_sse_event_size,
            )
        })
        .await
    }
}
