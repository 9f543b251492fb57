//! What we write, read by the libraries that others read it with: Prometheus' own parser, OpenTelemetry's protobuf.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// What a Python program of the repository's `.venv` says of an input.
fn python(program: &str, input: &[u8]) -> Value {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".venv/bin/python");
    assert!(
        python.is_file(),
        "the Python of the tests is not installed: run the tests with `cargo xtask test`"
    );
    let mut child = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_metrics() {
    let served = serve("tools = [\"calculator\"]", &[], "").await;
    served.chat(&json!({"message": "tool=calculator {\"expression\":\"6*7\"} say=\"42\""})).await;
    served.chat(&json!({"message": "error=400"})).await;
    let text = served.metrics().await;
    let families = python(
        "import sys, json\n\
         from prometheus_client.parser import text_string_to_metric_families as parse\n\
         families = {f.name: [f.type, [[s.name, s.labels, s.value] for s in f.samples]] for f in parse(sys.stdin.read())}\n\
         json.dump(families, sys.stdout)",
        text.as_bytes(),
    );
    let families = families.as_object().unwrap();
    for row in loquat_server::telemetry::names::METRICS {
        // The parser takes the ending of counters away.
        let family = &families[row.name.trim_end_matches("_total")];
        let histogram = matches!(row.kind, loquat_server::telemetry::names::Kind::Histogram(_));
        assert_eq!(family[0], if histogram { "histogram" } else { "counter" }, "{}", row.name);
    }
    let buckets = families["loquat_tool_seconds"][1].as_array().unwrap();
    let last = buckets.iter().find(|sample| sample[1]["le"] == "+Inf").unwrap();
    assert_eq!((&last[1]["tool"], last[2].as_f64()), (&json!("calculator"), Some(1.0)));
    let runs = families["loquat_run_cost_usd"][1].as_array().unwrap();
    let count = runs.iter().find(|sample| sample[0] == "loquat_run_cost_usd_count").unwrap();
    assert_eq!(count[2].as_f64(), Some(1.0));
    let users = &families["loquat_top_user_cost_today_usd"][1];
    assert_eq!(users[0][1], json!({"user": "anonymous"}));
    for name in ["loquat_cost_today_usd", "loquat_top_user_cost_today_usd"] {
        assert_eq!(families[name][0], "gauge", "{name}");
    }
    for name in ["process_resident_memory_bytes", "loquat_runs_live", "loquat_build_info"] {
        assert_eq!(families[name][0], "gauge", "{name}");
    }
    assert_eq!(families["process_cpu_seconds"][0], "counter");
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_reads_the_spans() {
    let bodies: Arc<Mutex<Vec<Bytes>>> = Arc::default();
    let record = async |State(bodies): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| bodies.lock().push(body);
    let router = Router::new().route("/v1/traces", post(record)).with_state(Arc::clone(&bodies));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let served = serve("tools = [\"calculator\"]", &settings, "").await;
    served
        .chat(&json!({"message": "tool=calculator {\"expression\":\"6*7\"} say=\"42\"", "session_id": "s-1"}))
        .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !bodies.lock().iter().any(|body| body.windows(12).any(|part| part == b"invoke_agent")) {
        assert!(tokio::time::Instant::now() < deadline, "no span of the run came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Requests are messages of one field, so that their bytes one after the other are one request.
    let whole = bodies.lock().concat();
    let spans = python(
        "import sys, json\n\
         from google.protobuf.json_format import MessageToDict\n\
         from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Request\n\
         json.dump(MessageToDict(Request.FromString(sys.stdin.buffer.read())), sys.stdout)",
        &whole,
    );
    let requests = spans["resourceSpans"].as_array().unwrap();
    let spans: Vec<&Value> =
        requests.iter().flat_map(|resource| resource["scopeSpans"][0]["spans"].as_array().unwrap()).collect();
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).count();
    assert_eq!(
        (named("invoke_agent Loquat"), named("chat mock"), named("execute_tool calculator")),
        (1, 2, 1)
    );
    let run = spans.iter().find(|span| span["name"] == "invoke_agent Loquat").unwrap();
    assert_eq!(run["kind"], "SPAN_KIND_INTERNAL");
    let session = json!({"key": "gen_ai.conversation.id", "value": {"stringValue": "s-1"}});
    assert!(run["attributes"].as_array().unwrap().contains(&session), "{run}");
    let others = spans.iter().filter(|span| span["name"] != "invoke_agent Loquat");
    for span in others {
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&run["traceId"], &run["spanId"]));
    }
}
