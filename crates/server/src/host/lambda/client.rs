//! The Lambda Runtime API over one kept connection a worker, without Nagle's algorithm.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{LambdaError, Outgoing, response};

/// The version of the runtime API.
const BASE: &str = "/2018-06-01/runtime";

/// One invocation as the runtime API hands it out.
pub(super) struct Next {
    pub(super) request_id: String,
    /// Echoed back where Lambda sends one (managed instances).
    pub(super) invocation_id: Option<String>,
    pub(super) deadline_ms: u64,
    pub(super) trace_id: Option<String>,
    pub(super) event: Bytes,
}

pub(super) struct RuntimeApi {
    authority: String,
    sender: Option<SendRequest<Outgoing>>,
}

impl RuntimeApi {
    pub(super) fn new(authority: String) -> Self {
        Self { authority, sender: None }
    }

    /// Waits for the next invocation; `None` when Lambda closes the connection instead.
    pub(super) async fn next(&mut self) -> Result<Option<Next>, LambdaError> {
        let ask = |api: &Self| api.request(Method::GET, "/invocation/next");
        let kept = self.sender.is_some();
        let mut response = self.send(ask(self), Bytes::new()).await;
        if kept && matches!(response, Err(LambdaError::Connection(_))) {
            // The other side may have closed the last exchange's connection while the question was on its way.
            response = self.send(ask(self), Bytes::new()).await;
        }
        let response = match response {
            Ok(response) => response,
            Err(LambdaError::Connection(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if response.status() != StatusCode::OK {
            return Err(LambdaError::Protocol(format!(
                "{} to a request for the next invocation",
                response.status()
            )));
        }
        let headers = response.headers().clone();
        let request_id = text(&headers, "lambda-runtime-aws-request-id")
            .ok_or_else(|| LambdaError::Protocol("an invocation without an id".into()))?;
        let deadline_ms = text(&headers, "lambda-runtime-deadline-ms").and_then(|value| value.parse().ok());
        let Ok(event) = response.into_body().collect().await else { return Ok(None) };
        Ok(Some(Next {
            request_id,
            invocation_id: text(&headers, "lambda-runtime-invocation-id"),
            deadline_ms: deadline_ms.unwrap_or(u64::MAX / 2_000_000),
            trace_id: text(&headers, "lambda-runtime-trace-id"),
            event: event.to_bytes(),
        }))
    }

    /// Streams a response; ends when Lambda has taken its last byte.
    pub(super) async fn respond(&mut self, next: &Next, response: Response) -> Result<(), LambdaError> {
        let mut request = self.request(Method::POST, &format!("/invocation/{}/response", next.request_id));
        let headers = request.headers_mut();
        echo(headers, next);
        headers
            .insert("lambda-runtime-function-response-mode", header::HeaderValue::from_static("streaming"));
        headers.insert(header::TRANSFER_ENCODING, header::HeaderValue::from_static("chunked"));
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/vnd.awslambda.http-integration-response"),
        );
        headers.insert(header::TRAILER, header::HeaderValue::from_static(response::TRAILERS));
        let answer = self.send_body(request.map(|()| response::outgoing(response))).await?;
        accepted(answer).await
    }

    /// Says that an invocation could not be handled at all.
    pub(super) async fn invocation_error(
        &mut self,
        next: &Next,
        kind: &str,
        message: &str,
    ) -> Result<(), LambdaError> {
        let mut request = self.request(Method::POST, &format!("/invocation/{}/error", next.request_id));
        echo(request.headers_mut(), next);
        self.report(request, kind, message).await
    }

    /// Says that this process cannot start.
    pub(super) async fn init_error(&mut self, message: &str) -> Result<(), LambdaError> {
        let request = self.request(Method::POST, "/init/error");
        self.report(request, "Runtime.InitError", message).await
    }

    async fn report(
        &mut self,
        mut request: Request<()>,
        kind: &str,
        message: &str,
    ) -> Result<(), LambdaError> {
        if let Ok(value) = header::HeaderValue::from_str(kind) {
            request.headers_mut().insert("lambda-runtime-function-error-type", value);
        }
        let body = serde_json::json!({ "errorMessage": message, "errorType": kind, "stackTrace": [] });
        let answer = self.send(request, body.to_string().into()).await?;
        accepted(answer).await
    }

    fn request(&self, method: Method, path: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        // Ids are Lambda's own; one that is no path would be refused by it as well.
        *request.uri_mut() = format!("{BASE}{path}").parse().unwrap_or_default();
        if let Ok(host) = header::HeaderValue::from_str(&self.authority) {
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }

    async fn send(&mut self, request: Request<()>, body: Bytes) -> Result<Response<Incoming>, LambdaError> {
        self.send_body(request.map(|()| Full::new(body).boxed_unsync())).await
    }

    async fn send_body(&mut self, request: Request<Outgoing>) -> Result<Response<Incoming>, LambdaError> {
        let mut sender = match self.kept().await {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        self.sender = Some(sender);
        Ok(response)
    }

    /// The connection of the last exchange, if it is still good.
    async fn kept(&mut self) -> Option<SendRequest<Outgoing>> {
        let mut sender = self.sender.take()?;
        sender.ready().await.ok()?;
        Some(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Outgoing>, LambdaError> {
        let unreachable = |error| LambdaError::Unreachable(self.authority.clone(), error);
        let stream = TcpStream::connect(&self.authority).await.map_err(unreachable)?;
        // Small frames must leave at once: without this each waits for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(unreachable)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Its errors reach the pending request as well.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn echo(headers: &mut HeaderMap, next: &Next) {
    if let Some(value) = next.invocation_id.as_deref().and_then(|id| header::HeaderValue::from_str(id).ok()) {
        headers.insert("lambda-runtime-invocation-id", value);
    }
}

/// Reads the answer to its end, so that the connection can be used again.
async fn accepted(response: Response<Incoming>) -> Result<(), LambdaError> {
    let status = response.status();
    response.into_body().collect().await?;
    if status.is_success() { Ok(()) } else { Err(LambdaError::Protocol(format!("{status} to an answer"))) }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
