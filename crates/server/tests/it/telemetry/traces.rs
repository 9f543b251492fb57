//! Spans as a receiver gets them: parents and children, the attributes of the conventions, errors, other services.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// What somebody was sent: headers and body.
type Seen = Arc<Mutex<Vec<(HeaderMap, Value)>>>;

/// Receives OTLP as JSON.
struct Receiver {
    url: String,
    seen: Seen,
}

/// A span, easier to read.
#[derive(Clone, Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    kind: u64,
    failed: bool,
    attributes: BTreeMap<String, Value>,
}

impl Receiver {
    async fn start() -> Self {
        let seen = Seen::default();
        let record =
            async |State(seen): State<Seen>, headers: HeaderMap, Json(body): Json<Value>| -> Response {
                seen.lock().push((headers, body));
                Json(json!({})).into_response()
            };
        let router = Router::new().route("/v1/traces", post(record)).with_state(Arc::clone(&seen));
        Self { url: listen(router).await, seen }
    }

    /// The settings that send spans here.
    fn settings(&self) -> [(&str, &str); 4] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=loquat"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        ]
    }

    /// The spans, once so many agents were invoked.
    async fn spans(&self, runs: usize) -> Vec<Span> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let spans = self.now();
            if spans.iter().filter(|span| span.name.starts_with("invoke_agent")).count() >= runs {
                return spans;
            }
            assert!(tokio::time::Instant::now() < deadline, "not all spans came: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn now(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (headers, body) in self.seen.lock().iter() {
            assert_eq!(headers["x-team"], "loquat");
            for span in body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap() {
                spans.push(read(span));
            }
        }
        spans
    }
}

fn read(span: &Value) -> Span {
    let text = |name: &str| span.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let nanos = |name: &str| text(name).parse::<u64>().unwrap();
    assert!(nanos("endTimeUnixNano") >= nanos("startTimeUnixNano"));
    let attributes = span["attributes"].as_array().unwrap().iter().map(|attribute| {
        let value = attribute["value"].as_object().unwrap().values().next().unwrap().clone();
        (attribute["key"].as_str().unwrap().to_owned(), value)
    });
    Span {
        name: text("name"),
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        kind: span["kind"].as_u64().unwrap(),
        failed: span["status"]["code"] == 2,
        attributes: attributes.collect(),
    }
}

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// An MCP server with one tool, that keeps what it was sent.
async fn mcp() -> (String, Seen) {
    let seen = Seen::default();
    let answer = async |State(seen): State<Seen>, request: Request| -> Response {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let Ok(message) = serde_json::from_slice::<Value>(&body) else {
            return StatusCode::METHOD_NOT_ALLOWED.into_response();
        };
        seen.lock().push((parts.headers, message.clone()));
        let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
        let result = match message["method"].as_str().unwrap_or_default() {
            "initialize" => json!({
                "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "stub", "version": "1"},
            }),
            "tools/list" => json!({"tools": [{"name": "ping", "description": "Pings.",
                "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}]}),
            "tools/call" => json!({"content": [{"type": "text", "text": "pong"}]}),
            _ => {
                let error = json!({"code": -32601, "message": "unknown"});
                return Json(json!({"jsonrpc": "2.0", "id": id, "error": error})).into_response();
            }
        };
        Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
    };
    let router = Router::new().route("/mcp", post(answer)).with_state(Arc::clone(&seen));
    (format!("{}/mcp", listen(router).await), seen)
}

/// What the conventions say of each kind of span: name, OTLP kind, the attributes that must be there, those that may.
const CONVENTIONS: &[(&str, u64, &[&str], &[&str])] = &[
    (
        "invoke_agent",
        1,
        &["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.agent.name", "gen_ai.conversation.id"],
        &[
            "gen_ai.request.model",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "error.type",
            "user.hash",
            "loquat.run.id",
            "loquat.run.outcome",
            "loquat.cost_usd",
        ],
    ),
    (
        "chat",
        3,
        &["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.conversation.id"],
        &[
            "gen_ai.request.stream",
            "gen_ai.request.temperature",
            "gen_ai.request.top_p",
            "gen_ai.request.max_tokens",
            "gen_ai.request.stop_sequences",
            "gen_ai.response.finish_reasons",
            "gen_ai.response.model",
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "server.address",
            "server.port",
            "error.type",
            "loquat.attempt",
        ],
    ),
    (
        "execute_tool",
        1,
        &["gen_ai.operation.name", "gen_ai.tool.name", "gen_ai.tool.call.id", "gen_ai.tool.type"],
        &["gen_ai.tool.description", "gen_ai.conversation.id", "error.type"],
    ),
];

fn check_conventions(span: &Span) {
    let (operation, rest) = span.name.split_once(' ').unwrap();
    let row = CONVENTIONS.iter().find(|(name, ..)| *name == operation).unwrap();
    assert_eq!(span.kind, row.1, "{span:?}");
    assert_eq!(span.attributes["gen_ai.operation.name"], operation);
    for name in row.2 {
        assert!(span.attributes.contains_key(*name), "{name} in {span:?}");
    }
    for name in span.attributes.keys() {
        assert!(row.2.contains(&name.as_str()) || row.3.contains(&name.as_str()), "{name} in {span:?}");
    }
    let subject = match operation {
        "chat" => "gen_ai.request.model",
        "execute_tool" => "gen_ai.tool.name",
        _ => "gen_ai.agent.name",
    };
    assert_eq!(span.attributes[subject], rest);
    // An error is told by its kind, and only where there is one.
    assert_eq!(span.failed, span.attributes.contains_key("error.type"), "{span:?}");
}

fn header<'a>(headers: impl IntoIterator<Item = &'a (String, String)>, name: &str) -> String {
    let found = headers.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.unwrap_or_else(|| panic!("no header {name}")).1.clone()
}

const PARENT: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_tree_below_its_request() {
    let receiver = Receiver::start().await;
    let (mcp_url, mcp_seen) = mcp().await;
    let file = format!("tools = [\"calculator\"]\n[[mcp]]\nname = \"stub\"\nurl = \"{mcp_url}\"\n");
    let served = serve(&file, &receiver.settings(), "").await;
    let message =
        "tool=calculator {\"expression\":\"6*7\"} tool=ping {} say=\"canary-answer\" canary-question";
    let request = served.client.post(format!("{}/chat", served.url));
    let request = request.header("traceparent", PARENT).header("tracestate", "vendor=1");
    let answer = request.json(&json!({"message": message, "session_id": "s-1"})).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("event: done"));
    let spans = receiver.spans(1).await;
    spans.iter().for_each(check_conventions);
    assert!(spans.iter().all(|span| span.trace == "5759e988bd862e3fe1be46a994272793" && !span.failed));
    let named = |name: &str| spans.iter().filter(|span| span.name == name).cloned().collect::<Vec<_>>();
    let run = &named("invoke_agent Loquat")[0];
    assert_eq!(run.parent, "53995c3f42cd8ad8");
    assert_eq!(run.attributes["gen_ai.conversation.id"], "s-1");
    assert_eq!(run.attributes["loquat.run.outcome"], "complete");
    assert!(run.attributes["loquat.cost_usd"].as_f64().unwrap() > 0.0);
    let chats = named("chat mock");
    assert_eq!(chats.len(), 3, "{spans:#?}");
    let tools = [&named("execute_tool calculator")[0], &named("execute_tool ping")[0]];
    assert!(chats.iter().chain(tools).all(|span| span.parent == run.id), "{spans:#?}");
    let reasons: Vec<_> = chats
        .iter()
        .map(|chat| chat.attributes["gen_ai.response.finish_reasons"]["values"][0].clone())
        .collect();
    assert_eq!(reasons.iter().filter(|reason| reason["stringValue"] == "end_turn").count(), 1);
    assert_eq!(chats[0].attributes["gen_ai.provider.name"], "openai");

    // What other services were told: the span that called them.
    for request in served.mock.requests() {
        let parent = header(&request.headers, "traceparent");
        assert!(chats.iter().any(|chat| parent == format!("00-{}-{}-01", chat.trace, chat.id)), "{parent}");
        assert_eq!(header(&request.headers, "tracestate"), "vendor=1");
        let xray = header(&request.headers, "x-amzn-trace-id");
        assert!(xray.starts_with("Root=1-5759e988-bd862e3fe1be46a994272793;Parent="), "{xray}");
    }
    let seen = mcp_seen.lock();
    let (headers, call) = seen.iter().find(|(_, message)| message["method"] == "tools/call").unwrap();
    let expected = format!("00-{}-{}-01", tools[1].trace, tools[1].id);
    assert_eq!(call["params"]["_meta"]["traceparent"], expected);
    assert_eq!(headers["traceparent"], expected);
    assert!(headers["x-amzn-trace-id"].to_str().unwrap().contains(&tools[1].id));
    let (_, first) = &receiver.seen.lock()[0];
    let resource = first["resourceSpans"][0]["resource"].to_string();
    assert!(resource.contains("\"service.name\"") && resource.contains("\"loquat\""), "{resource}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_by_their_kind_and_not_by_their_words() {
    let receiver = Receiver::start().await;
    let file = "tools = [\"calculator\"]\n[model_settings.\"openai/mock\"]\nattempts = 2\n";
    let served = serve_with(file, &receiver.settings(), "").await;
    // Fails once, then answers; a tool that fails; a request that the model refuses.
    for (session, message) in [
        ("again", "error=503 times=1 canary-question"),
        ("tool", "tool=calculator {\"expression\":\"canary-input +\"} canary-question"),
        ("refused", "error=400 canary-question"),
    ] {
        served.chat(&json!({"message": message, "session_id": session})).await;
    }
    let spans = receiver.spans(3).await;
    spans.iter().for_each(check_conventions);
    let of = |session: &str| {
        let own = spans.iter().filter(|span| span.attributes["gen_ai.conversation.id"] == session);
        own.cloned().collect::<Vec<_>>()
    };
    let error = |spans: &[Span], name: &str| -> Vec<Value> {
        let own = spans.iter().filter(|span| span.name.starts_with(name));
        own.map(|span| span.attributes.get("error.type").cloned().unwrap_or_default()).collect()
    };
    assert_eq!(error(&of("again"), "chat"), [json!("model_unavailable"), Value::Null]);
    assert_eq!(error(&of("again"), "invoke_agent"), [Value::Null]);
    assert_eq!(error(&of("tool"), "execute_tool"), [json!("tool_error")]);
    assert_eq!(error(&of("tool"), "invoke_agent"), [Value::Null]);
    assert_eq!(error(&of("refused"), "invoke_agent"), [json!("model_refused_request")]);
    assert!(of("again").iter().any(|span| span.attributes.get("loquat.attempt") == Some(&json!("2"))));

    // Neither spans nor metrics hold what users wrote, or a key.
    let sent = receiver.seen.lock().iter().map(|(_, body)| body.to_string()).collect::<String>();
    let told = sent + &served.metrics().await;
    assert!(!told.contains("canary") && !told.contains("sk-model"), "{told}");
    let metrics = served.metrics().await;
    let retries =
        value(&metrics, "loquat_model_retries_total{model=\"openai/mock\",reason=\"model_unavailable\"}");
    assert!((retries - 1.0).abs() < 0.1);
    let failed = value(&metrics, "loquat_run_failures_total{code=\"model_refused_request\"}");
    assert!((failed - 1.0).abs() < 0.1);
    let tools = value(&metrics, "loquat_tool_calls_total{tool=\"calculator\",result=\"error\"}");
    assert!((tools - 1.0).abs() < 0.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_is_told_to_whoever_asks_for_it() {
    let receiver = Receiver::start().await;
    let mut settings = receiver.settings().to_vec();
    settings.push(("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"));
    let file = "tools = [\"calculator\"]\nsystem_prompt = \"be kind\"\n";
    let served = serve(file, &settings, "").await;
    // Amazon's header alone.
    let request = served.client.post(format!("{}/chat", served.url)).header(
        "x-amzn-trace-id",
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
    );
    let message = "tool=calculator {\"expression\":\"6*7\"} say=\"the-answer\" the-question";
    request.json(&json!({"message": message})).send().await.unwrap().text().await.unwrap();
    let spans = receiver.spans(1).await;
    assert!(spans.iter().all(|span| span.trace == "5759e988bd862e3fe1be46a994272793"));
    let text = |name: &str, attribute: &str| -> String {
        let own = spans.iter().filter(|span| span.name.starts_with(name));
        own.filter_map(|span| span.attributes.get(attribute)?.as_str()).collect()
    };
    assert!(text("chat", "gen_ai.input.messages").contains("the-question"));
    assert!(text("chat", "gen_ai.output.messages").contains("the-answer"));
    assert!(text("chat", "gen_ai.system_instructions").contains("be kind"));
    assert!(text("execute_tool", "gen_ai.tool.call.arguments").contains("6*7"));
    assert!(text("execute_tool", "gen_ai.tool.call.result").contains("42"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_is_not_sent_and_still_passed_on() {
    let receiver = Receiver::start().await;
    let served = serve("", &receiver.settings(), "say=\"hi\"").await;
    let request = served.client.post(format!("{}/chat", served.url));
    let parent = PARENT.replace("-01", "-00");
    let request = request.header("traceparent", &parent);
    request.json(&json!({"message": "hi"})).send().await.unwrap().text().await.unwrap();
    let told = header(&served.mock.requests()[0].headers, "traceparent");
    assert!(told.starts_with("00-5759e988bd862e3fe1be46a994272793-") && told.ends_with("-00"), "{told}");
    // A sampled one that comes later is sent alone. API Gateway and load balancers say which trace it is, and no more.
    let request = served.client.post(format!("{}/chat", served.url));
    let request = request.header("x-amzn-trace-id", "Root=1-6759e988-bd862e3fe1be46a994272793");
    request.json(&json!({"message": "hi"})).send().await.unwrap().text().await.unwrap();
    let spans = receiver.spans(1).await;
    assert!(spans.iter().all(|span| span.trace == "6759e988bd862e3fe1be46a994272793"), "{spans:#?}");
    let run = spans.iter().find(|span| span.name.starts_with("invoke_agent")).unwrap();
    assert_eq!(run.parent, "");
}
