//! A request as the event that each of Lambda's HTTP integrations makes of it.

use axum::http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value, json};

/// Whose event the function gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EventKind {
    /// API Gateway REST, with a stage, an authorizer and CORS on its own answers.
    Rest,
    /// A function URL.
    FunctionUrl,
    /// An application load balancer.
    Alb,
}

/// Paths the REST API has a resource of its own for; everything else is `{proxy+}`.
const RESOURCES: &[&str] = &["/chat", "/health", "/config.json", "/openapi.json"];

pub(super) struct Incoming<'a> {
    pub(super) id: &'a str,
    pub(super) method: &'a Method,
    /// Without the stage.
    pub(super) path: &'a str,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) claims: Option<Map<String, Value>>,
    pub(super) stage: &'a str,
    pub(super) now_ms: u64,
}

impl Incoming<'_> {
    pub(super) fn event(&self, kind: EventKind) -> Value {
        match kind {
            EventKind::Rest => self.rest(),
            EventKind::FunctionUrl => self.function_url(),
            EventKind::Alb => self.alb(),
        }
    }

    fn rest(&self) -> Value {
        let own = RESOURCES.contains(&self.path);
        let resource = if own { self.path } else { "/{proxy+}" };
        let parameters =
            if own { Value::Null } else { json!({ "proxy": self.path.trim_start_matches('/') }) };
        let mut context = json!({
            "resourceId": "r", "resourcePath": resource, "httpMethod": self.method.as_str(),
            "extendedRequestId": "e", "requestTime": "10/Feb/2026:00:00:00 +0000",
            "path": format!("/{}{}", self.stage, self.path), "accountId": "000000000000", "protocol": "HTTP/1.1",
            "stage": self.stage, "domainPrefix": "abc", "requestTimeEpoch": self.now_ms, "requestId": self.id,
            "identity": { "sourceIp": "127.0.0.1", "userAgent": self.header("user-agent") },
            "domainName": "abc.execute-api.us-east-1.amazonaws.com", "apiId": "abc"
        });
        if let Some(claims) = &self.claims {
            context["authorizer"] = json!({ "claims": claims });
        }
        json!({
            "resource": resource, "path": self.path, "httpMethod": self.method.as_str(),
            "headers": self.single(), "multiValueHeaders": self.multiple(),
            "queryStringParameters": self.query(), "multiValueQueryStringParameters": self.query_lists(),
            "pathParameters": parameters, "stageVariables": null, "requestContext": context,
            "body": self.text(), "isBase64Encoded": false
        })
    }

    fn function_url(&self) -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": self.path,
            "rawQueryString": self.uri.query().unwrap_or_default(), "headers": self.single(),
            "requestContext": {
                "accountId": "anonymous", "apiId": "url", "domainName": "url.lambda-url.us-east-1.on.aws",
                "domainPrefix": "url", "requestId": self.id, "routeKey": "$default", "stage": "$default",
                "time": "10/Feb/2026:00:00:00 +0000", "timeEpoch": self.now_ms,
                "http": { "method": self.method.as_str(), "path": self.path, "protocol": "HTTP/1.1",
                          "sourceIp": "127.0.0.1", "userAgent": self.header("user-agent") }
            },
            "body": self.text(), "isBase64Encoded": false
        })
    }

    fn alb(&self) -> Value {
        let target = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/function/1";
        json!({
            "requestContext": { "elb": { "targetGroupArn": target } },
            "httpMethod": self.method.as_str(), "path": self.path,
            "queryStringParameters": self.query().as_object().cloned().unwrap_or_default(),
            "headers": self.single(), "body": self.text().as_str().unwrap_or_default(), "isBase64Encoded": false
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn text(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { json!(String::from_utf8_lossy(self.body)) }
    }

    fn single(&self) -> Value {
        let values = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), json!(value.to_str().ok()?))));
        Value::Object(values.collect())
    }

    fn multiple(&self) -> Value {
        let mut lists: Map<String, Value> = Map::new();
        for (name, value) in self.headers {
            if let (Ok(value), Value::Array(list)) =
                (value.to_str(), lists.entry(name.as_str()).or_insert_with(|| json!([])))
            {
                list.push(json!(value));
            }
        }
        Value::Object(lists)
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let query = self.uri.query().unwrap_or_default();
        let decode = |text: &str| percent_decode(text);
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect()
    }

    fn query(&self) -> Value {
        let pairs = self.pairs();
        if pairs.is_empty() {
            return Value::Null;
        }
        Value::Object(pairs.into_iter().map(|(name, value)| (name, json!(value))).collect())
    }

    fn query_lists(&self) -> Value {
        let pairs = self.pairs();
        if pairs.is_empty() {
            return Value::Null;
        }
        let mut lists: Map<String, Value> = Map::new();
        for (name, value) in pairs {
            if let Value::Array(list) = lists.entry(name).or_insert_with(|| json!([])) {
                list.push(json!(value));
            }
        }
        Value::Object(lists)
    }
}

/// `%20` and `+` as what they stand for.
fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair: Vec<u8> = bytes.by_ref().take(2).collect();
                let value = std::str::from_utf8(&pair).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                out.push(value.unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
