//! A dozen runs of the real binary, each told in every dialect: the same words and the same end, whole and cut after every
//! event; by the official clients where there are any for a stream that is cut.

use serde_json::{Value, json};

use crate::clients::client;
use crate::openai::mock;
use crate::support::{Events, ModelServer, Server, text_of};

const CONFIG: &str =
    "tools = [\"calculator\", \"current_time\"]\n[tool.current_time]\nneeds_approval = true\n";

/// A run's name, what the model is to do, and how the run ends in `chat`, AG-UI and the AI SDK.
const RUNS: [(&str, &str, [&str; 3]); 12] = [
    ("plain", "say=\"Hello, \\\"world\\\"\\n\"", ["complete", "success", "stop"]),
    ("reasoning", "reasoning=3 say=\"Four.\"", ["complete", "success", "stop"]),
    (
        "two-tools",
        "parallel tool=calculator {\"expression\": \"6*7\"} tool=calculator {\"expression\": \"2+2\"} say=\"I see.\"",
        ["complete", "success", "stop"],
    ),
    ("tool-error", "tool=calculator {\"expression\": \"1/0\"} say=\"Hm.\"", ["complete", "success", "stop"]),
    ("approval", "tool=current_time say=\"May I?\"", ["interrupted", "interrupt", "tool-calls"]),
    ("refusal", "say=\"I cannot\" reason=content_filtered", ["refusal", "success", "content-filter"]),
    ("stop", "tokens=500 delay=20ms", ["cancelled", "cancelled", "other"]),
    (
        "retry",
        "reasoning=1 say=\"one two three\" error=modelStreamErrorException after=3 times=1",
        ["complete", "success", "stop"],
    ),
    (
        "provider-error",
        "say=\"It was a dark night\" error=modelStreamErrorException after=2",
        ["model_unavailable", "model_unavailable", "error"],
    ),
    ("max-tokens", "say=\"One, two, thr\" reason=max_tokens", ["max_tokens", "success", "length"]),
    (
        "unicode",
        "say=\"Gr\u{fc}\u{df}e \u{1f469}\u{200d}\u{1f680} e\u{301} \u{65e5}\u{672c}\u{8a9e}\" chunk=1",
        ["complete", "success", "stop"],
    ),
    ("empty", "tokens=0", ["complete", "success", "stop"]),
];

/// Begins a run and reads it to its end; the one that is to be stopped is.
async fn begin(server: &Server, run: &str, words: &str) -> Vec<crate::support::Frame> {
    let body = json!({"message": words, "session_id": format!("of-{run}"), "run_id": run, "events": "all"});
    let mut events: Events = server.chat(&body).await;
    let mut frames = Vec::new();
    while let Some(frame) = events.next().await {
        if run == "stop" && frames.len() == 4 {
            let stopped = server.post("/runs/stop/stop", &json!({})).send().await.unwrap();
            assert_eq!(stopped.status(), 200);
        }
        frames.push(frame);
    }
    frames
}

#[tokio::test]
async fn every_dialect_tells_the_same_of_every_run() {
    let model = mock().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loquat.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let url = format!("{}/v1", model.url());
    let settings = [("OPENAI_BASE_URL", &*url), ("LOQUAT_CONFIG", file.to_str().unwrap())];
    let server = Server::start(&ModelServer::start().await, &settings).await;

    let mut runs = Vec::new();
    let mut texts = Vec::new();
    for (run, words, [end, ..]) in RUNS {
        let frames = begin(&server, run, words).await;
        let last = frames.last().unwrap();
        assert_eq!(last.data.get("outcome").or(last.data.get("code")), Some(&json!(end)), "{run}: {last:?}");
        // What a reset takes back does not count.
        let kept = frames.iter().rposition(|frame| frame.event == "reset").map_or(0, |at| at + 1);
        texts.push(text_of(&frames[kept..]));
        runs.push(json!([run, format!("of-{run}"), last.id]));
    }
    let found = client("transcripts.mjs", &[&server.url, &Value::from(runs).to_string()]).await;
    // Where an answer is one text, a paragraph parts what was said before a tool ran from what was said after it.
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    for ((run, _, [_, ag_ui, ai_sdk]), text) in RUNS.into_iter().zip(&texts) {
        let told = &found[run];
        assert_eq!(told["agUi"], json!([text, ag_ui]), "{run}");
        assert_eq!(told["aiSdk"], json!([text, ai_sdk]), "{run}");
        assert_eq!(told["tools"][0], told["tools"][1], "{run}: {told}");
        assert_eq!(told["reasoning"][0], told["reasoning"][1], "{run}: {told}");
        // The rest, as they are told whole.
        let (_, response) = server.get(&format!("/v1/responses/resp_{run}")).await;
        let (_, task) = server.get(&format!("/a2a/tasks/{run}")).await;
        let items = response["output"].as_array().unwrap().iter();
        let parts = items.filter(|item| item["type"] == "message").map(|item| &item["content"][0]["text"]);
        let answer: String = parts.filter_map(Value::as_str).collect();
        assert_eq!(answer, *text, "{run}: {response}");
        let artifact = task["artifacts"][0]["parts"][0]["text"].as_str().unwrap_or_default();
        assert_eq!(dense(artifact), dense(text), "{run}: {task}");
    }
    assert_eq!(found["two-tools"]["tools"], json!([2, 2]));
    assert_ne!(found["retry"]["reasoning"][0], "");
}

/// The golden files are what official clients and published schemas take them for, and say the same in each.
#[tokio::test]
async fn the_golden_transcripts_by_official_clients() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire");
    let found = client("golden.mjs", &[folder.to_str().unwrap()]).await;
    let cases = found.as_object().unwrap();
    assert!(cases.len() >= 12, "{cases:?}");
    let dense = |text: &Value| text.as_str().map(|text| text.split_whitespace().collect::<String>());
    for (name, told) in cases {
        let [text, failure] = [0, 1].map(|at| &told["ag_ui"][at]);
        for (dialect, other) in told.as_object().unwrap() {
            // Who cannot take anything back is told that the answer is void.
            if name == "retry" && !["ag_ui", "ai_sdk"].contains(&dialect.as_str()) {
                assert_eq!(other[1], "answer_restarted", "{name} in {dialect}");
                continue;
            }
            assert_eq!(other[1], *failure, "{name} in {dialect}");
            if dialect != "openai" || failure.is_null() {
                assert_eq!(dense(&other[0]), dense(text), "{name} in {dialect}: {told}");
            }
        }
        assert_eq!(told.as_object().unwrap().len(), 5, "{name}: {told}");
    }
}
