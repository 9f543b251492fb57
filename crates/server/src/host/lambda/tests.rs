//! Events of each kind become the same request; responses become Lambda's format.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use http_body_util::BodyExt as _;
use lambda_http::request::RequestContext;
use serde_json::{Value, json};

use super::{event, response};

fn rest(resource: &str, path: &str, proxy: Option<&str>) -> Value {
    json!({
        "resource": resource, "path": path, "httpMethod": "POST",
        "headers": { "Content-Type": "application/json", "Host": "abc.execute-api.eu-west-1.amazonaws.com" },
        "multiValueHeaders": { "Content-Type": ["application/json"], "X-Two": ["1", "2"] },
        "queryStringParameters": { "after": "3" },
        "multiValueQueryStringParameters": { "after": ["3"] },
        "pathParameters": proxy.map(|proxy| json!({ "proxy": proxy })),
        "stageVariables": null,
        "requestContext": {
            "resourceId": "r", "resourcePath": resource, "httpMethod": "POST", "path": format!("/prod{path}"),
            "accountId": "1", "protocol": "HTTP/1.1", "stage": "prod", "requestTimeEpoch": 1, "requestId": "q",
            "identity": { "sourceIp": "127.0.0.1" }, "apiId": "abc",
            "authorizer": { "claims": { "sub": "u1", "token_use": "id" } }
        },
        "body": "{\"message\":\"hi\"}", "isBase64Encoded": false
    })
}

fn request(event: &Value) -> http::Request<Body> {
    event::request(event.to_string().as_bytes()).unwrap()
}

async fn body(request: http::Request<Body>) -> Bytes {
    request.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn rest_events_lose_stage_and_base_path() {
    for (event, uri) in [
        (rest("/chat", "/chat", None), "/chat?after=3"),
        (rest("/chat", "/base/chat", None), "/chat?after=3"),
        (rest("/{proxy+}", "/runs/r1/events", Some("runs/r1/events")), "/runs/r1/events?after=3"),
        (rest("/{proxy+}", "/prod/runs/a b", Some("runs/a b")), "/runs/a%20b?after=3"),
    ] {
        let request = request(&event);
        assert_eq!(request.uri(), uri);
        assert_eq!(request.method(), "POST");
        assert_eq!(request.headers().get_all("x-two").iter().count(), 2);
        assert_eq!(request.headers().get_all("content-type").iter().count(), 1);
        assert!(matches!(request.extensions().get(), Some(RequestContext::ApiGatewayV1(_))));
        assert_eq!(body(request).await, "{\"message\":\"hi\"}");
    }
}

#[tokio::test]
async fn function_url_events_keep_path_query_and_binary_bodies() {
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/runs/r1/events", "rawQueryString": "after=3&dialect=chat",
        "cookies": ["a=1", "b=2"], "headers": { "host": "x.lambda-url.eu-west-1.on.aws" },
        "requestContext": { "accountId": "1", "apiId": "x", "domainName": "x", "domainPrefix": "x", "requestId": "q",
            "routeKey": "$default", "stage": "$default", "time": "t", "timeEpoch": 1,
            "http": { "method": "GET", "path": "/runs/r1/events", "protocol": "HTTP/1.1", "sourceIp": "1.1.1.1", "userAgent": "u" } },
        "body": "AAEC", "isBase64Encoded": true
    });
    let request = request(&event);
    assert_eq!(request.uri(), "/runs/r1/events?after=3&dialect=chat");
    assert_eq!(request.headers()[header::COOKIE], "a=1; b=2");
    assert_eq!(body(request).await, [0_u8, 1, 2].as_slice());
}

#[tokio::test]
async fn load_balancer_events_are_requests_too() {
    let event = json!({
        "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/t/1" } },
        "httpMethod": "POST", "path": "/chat", "queryStringParameters": {},
        "headers": { "content-type": "application/json", "host": "lb" }, "body": "{}", "isBase64Encoded": false
    });
    let request = request(&event);
    assert_eq!(request.uri().path(), "/chat");
    assert_eq!(body(request).await, "{}");
}

#[tokio::test]
async fn a_stage_before_the_path_is_taken_off_and_nothing_else_is() {
    let http_api = |stage: &str, path: &str| {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": {},
            "requestContext": { "stage": stage, "timeEpoch": 1, "http": { "method": "GET", "path": path } }
        })
    };
    for (stage, path, expected) in [
        ("prod", "/prod/health", "/health"),
        ("prod", "/prod", "/"),
        ("prod", "/production/health", "/production/health"),
        ("prod", "/health", "/health"),
        ("$default", "/prod/health", "/prod/health"),
    ] {
        assert_eq!(request(&http_api(stage, path)).uri().path(), expected, "{stage} {path}");
    }
    let mut without_resource = rest("/chat", "/prod/chat", None);
    without_resource["requestContext"].as_object_mut().unwrap().remove("resourcePath");
    assert_eq!(request(&without_resource).uri(), "/chat?after=3");
}

#[tokio::test]
async fn an_event_written_by_hand_is_a_request_too() {
    for event in [
        json!({ "httpMethod": "POST", "path": "/chat", "body": "{}" }),
        json!({
            "resource": "/{proxy+}", "httpMethod": "POST", "path": "/chat", "headers": null, "body": "{}",
            "pathParameters": { "proxy": "chat" }, "queryStringParameters": null,
            "requestContext": { "stage": "prod", "path": "/prod/chat", "identity": null, "authorizer": null }
        }),
        json!({
            "httpMethod": "POST", "path": "/chat", "body": "{}", "queryStringParameters": null, "headers": null,
            "requestContext": { "elb": { "targetGroupArn": "arn" } }
        }),
    ] {
        let request = request(&event);
        assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/chat"), "{event}");
        assert_eq!(body(request).await, "{}");
    }
}

#[test]
fn other_events_are_refused() {
    assert!(event::request(b"{\"Records\":[]}").is_err());
    assert!(event::request(b"\xff").is_err());
}

/// Status and headers as a caller of the prelude sees them, the frames after it, the trailers.
async fn sent(response: Response) -> (Value, Vec<Bytes>, http::HeaderMap) {
    let mut body = response::outgoing(response);
    let mut frames = Vec::new();
    let mut trailers = http::HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => frames.push(data),
            Err(frame) => trailers = frame.into_trailers().unwrap(),
        }
    }
    let first = frames.remove(0);
    let end = first.windows(8).position(|window| window == [0; 8]).unwrap();
    frames.insert(0, first.slice(end + 8..));
    (serde_json::from_slice(&first[..end]).unwrap(), frames, trailers)
}

#[tokio::test]
async fn headers_are_never_repeated_and_the_first_frame_rides_along() {
    let frames: [Result<&str, std::io::Error>; 2] = [Ok("data: 1\n\n"), Ok("data: 2\n\n")];
    let mut response = Response::new(Body::from_stream(stream::iter(frames)));
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.append(header::VARY, HeaderValue::from_static("accept"));
    headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1"));
    headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
    let (prelude, frames, trailers) = sent(response).await;
    assert_eq!(
        prelude,
        json!({ "statusCode": 200, "headers": { "vary": "origin, accept" }, "cookies": ["a=1", "b=2"] })
    );
    assert_eq!(frames, ["data: 1\n\n", "data: 2\n\n"]);
    assert!(trailers.is_empty());
}

#[tokio::test]
async fn headers_do_not_wait_for_a_body_that_is_not_there() {
    let mut body = response::outgoing(Response::new(Body::from_stream(stream::pending::<
        Result<&str, std::io::Error>,
    >())));
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(frame.ends_with(&[0; 8]));
}

#[tokio::test]
async fn an_empty_body_is_a_prelude() {
    let (prelude, frames, _) = sent(Response::builder().status(204).body(Body::empty()).unwrap()).await;
    assert_eq!(prelude["statusCode"], 204);
    assert_eq!(frames, [""]);
}

#[tokio::test]
async fn a_failed_body_ends_in_trailers_and_not_in_the_text() {
    let frames = [Ok("data: 1\n\n"), Err(std::io::Error::other("secret"))];
    let (_, frames, trailers) = sent(Response::new(Body::from_stream(stream::iter(frames)))).await;
    assert_eq!(frames, ["data: 1\n\n"]);
    assert_eq!(trailers["lambda-runtime-function-error-type"], "Runtime.StreamError");
    assert!(trailers.contains_key("lambda-runtime-function-error-body"));
}
