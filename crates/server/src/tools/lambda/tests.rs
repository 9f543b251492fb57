//! Functions as tools, against a server that answers like Lambda.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use super::*;
use crate::tools::builtin::retrieve::Retrieve;
use crate::tools::config::RetrieveConfig;
use crate::tools::testing::{context, words};

/// What a stand-in for AWS saw: method and path, headers, body.
type Seen = Arc<Mutex<Vec<(String, http::HeaderMap, String)>>>;

/// A stand-in that answers by the path.
async fn aws() -> (AwsLoader, Seen) {
    crate::tls::install();
    let seen = Seen::default();
    let record = Arc::clone(&seen);
    let router = Router::new().fallback(async move |request: Request| -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let path = format!("{} {}", parts.method, parts.uri);
        record.lock().push((path.clone(), parts.headers, String::from_utf8_lossy(&body).into_owned()));
        if path.contains("throws") {
            let error =
                json!({"errorMessage": "no such order", "errorType": "KeyError", "stackTrace": ["x"]});
            return ([("x-amz-function-error", "Unhandled")], axum::Json(error)).into_response();
        }
        if path.contains("absent") {
            let error = axum::Json(json!({"Message": "Function not found"}));
            let kind = [("x-amzn-errortype", "ResourceNotFoundException:http://internal")];
            return (StatusCode::NOT_FOUND, kind, error).into_response();
        }
        if path.contains("api") {
            return axum::Json(json!({"statusCode": 400, "body": "{\"error\":\"bad\"}"})).into_response();
        }
        if path.contains("slow") {
            std::future::pending::<()>().await;
        }
        if path.contains("knowledgebases") {
            return axum::Json(json!({"retrievalResults": [
                {"content": {"text": "Loquats are yellow.", "type": "TEXT"}, "score": 0.9,
                 "location": {"type": "S3", "s3Location": {"uri": "s3://docs/fruit.md"}}},
                {"content": {"type": "IMAGE"}},
            ]}))
            .into_response();
        }
        axum::Json(json!({"order": 7})).into_response()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-north-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIDEXAMPLE",
            "hidden",
            Some("session-token".into()),
            None,
            "test",
        )))
        .build();
    let loader: AwsLoader = Arc::new(move || {
        let config = config.clone();
        Box::pin(async move { config })
    });
    (loader, seen)
}

fn tool(arn: &str, aws: &AwsLoader) -> LambdaTool {
    let config = LambdaConfig {
        name: "orders".into(),
        arn: arn.into(),
        description: "Finds orders.".into(),
        schema: json!({"type": "object", "properties": {"id": {"type": "integer"}}}),
        qualifier: Some("live".into()),
        region: None,
    };
    LambdaTool::new(&config, Arc::clone(aws)).unwrap()
}

#[tokio::test]
async fn a_function_is_invoked_signed_and_with_the_calls_id() {
    let (aws, seen) = aws().await;
    let arn = "arn:aws:lambda:us-west-2:123456789012:function:orders";
    let output = tool(arn, &aws).call(json!({"id": 7}), context("call-1").0).await;
    assert_eq!(output, ToolOutput::json(json!({"order": 7})));
    let seen = seen.lock();
    let (path, headers, body) = &seen[0];
    assert_eq!(
        path,
        "POST /2015-03-31/functions/arn%3Aaws%3Alambda%3Aus%2Dwest%2D2%3A123456789012%3Afunction%3Aorders/invocations?Qualifier=live"
    );
    assert_eq!(body, "{\"id\":7}");
    assert_eq!(headers["x-amz-invocation-type"], "RequestResponse");
    assert_eq!(headers["x-amz-security-token"], "session-token");
    let context = base64::engine::general_purpose::STANDARD.decode(&headers["x-amz-client-context"]).unwrap();
    let context: Value = serde_json::from_slice(&context).unwrap();
    assert_eq!(context["custom"]["call_id"], "call-1");
    let signature = headers["authorization"].to_str().unwrap();
    // The region is the ARN's, not the configuration's.
    assert!(signature.contains("/us-west-2/lambda/aws4_request"), "{signature}");
    assert!(signature.contains("x-amz-client-context"), "the key is part of what is signed: {signature}");
}

#[tokio::test]
async fn failures_are_words_for_the_model() {
    let (aws, _) = aws().await;
    for (name, expected) in [
        ("throws", "KeyError: no such order"),
        ("absent", "ResourceNotFoundException: Function not found"),
        ("api", "\"error\":\"bad\""),
    ] {
        let output = tool(name, &aws).call(json!({}), context("c").0).await;
        let text = words(&output);
        assert!(output.is_error && text.contains(expected) && !text.contains("stackTrace"), "{text}");
    }
    let (mut cx, _events) = context("c");
    cx.deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(100);
    assert!(words(&tool("slow", &aws).call(json!({}), cx).await).contains("may have run"));
    let (cx, _events) = context("c");
    cx.cancel.cancel();
    assert!(tool("slow", &aws).call(json!({}), cx).await.is_error);
}

#[tokio::test]
async fn passages_come_with_their_sources() {
    let (aws, seen) = aws().await;
    let config =
        RetrieveConfig { knowledge_base_id: "KB1".into(), description: None, results: 5, region: None };
    let output = Retrieve::new(config, aws).call(json!({"query": "colour"}), context("c").0).await;
    let passages = json!([{"text": "Loquats are yellow.", "source": "s3://docs/fruit.md", "score": 0.9}]);
    assert_eq!(output, ToolOutput::json(json!({"passages": passages})));
    let seen = seen.lock();
    assert_eq!(seen[0].0, "POST /knowledgebases/KB1/retrieve");
    assert!(seen[0].2.contains("\"numberOfResults\":5") && seen[0].2.contains("colour"));
    assert!(seen[0].1["authorization"].to_str().unwrap().contains("/eu-north-1/bedrock/aws4_request"));
}

#[test]
fn answers_of_every_shape_are_read() {
    assert_eq!(output("\"plain\""), ToolOutput::text("plain"));
    assert_eq!(output("null"), ToolOutput::default());
    assert_eq!(output("[1]"), ToolOutput::text("[1]"));
    assert_eq!(output("not json"), ToolOutput::text("not json"));
    assert_eq!(output(r#"{"statusCode":200,"body":"{\"a\":1}"}"#), ToolOutput::json(json!({"a": 1})));
}

#[tokio::test]
async fn the_function_learns_the_trace() {
    use crate::telemetry::scope::{self, Scope};
    use crate::telemetry::trace::TraceContext;

    let (aws, seen) = aws().await;
    let trace = TraceContext::child_of(None);
    let scope = Scope { trace: Some(trace.clone()), ..Scope::default() };
    let tool = tool("orders", &aws);
    scope::enter(Arc::new(scope), tool.call(json!({"id": 1}), context("c").0)).await;
    let headers = seen.lock()[0].1.clone();
    assert_eq!(headers["x-amzn-trace-id"], trace.xray());
    assert_eq!(headers["traceparent"], trace.traceparent());
    let signed = headers["authorization"].to_str().unwrap();
    assert!(!signed.contains("x-amzn-trace-id"), "{signed}");
}
