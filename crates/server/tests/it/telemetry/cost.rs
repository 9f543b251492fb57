//! What runs cost, wherever it is told.

use loquat_server::auth::NamedKey;
use reqwest::StatusCode;
use serde_json::json;

use super::*;

/// The price of a usage by the prices of this suite.
fn price(usage: &Value) -> f64 {
    let tokens = |name: &str| usage.get(name).and_then(Value::as_f64).unwrap_or_default();
    (tokens("input_tokens") * 2.0 + tokens("output_tokens") * 8.0 + tokens("cache_read_tokens") * 0.5) / 1e6
}

#[track_caller]
fn same(a: &Value, b: f64) {
    let a = a.as_f64().unwrap_or_else(|| panic!("{a} is no number"));
    assert!((a - b).abs() < 1e-8, "{a} is not {b}");
}

#[tokio::test]
async fn every_place_tells_the_same_cost() {
    let served = serve("", &[], "say=\"hello there\" cached=3").await;
    let session = "cost-1";
    let mut prices = Vec::new();
    let mut output = 0;
    for run in ["run-a", "run-b"] {
        let body = json!({"message": "hi", "session_id": session, "run_id": run});
        let frames = served.chat(&body).await;
        let usage = only(&frames, "usage");
        assert!(usage["output_tokens"].as_u64().unwrap() > 0);
        same(&usage["cost_usd"], price(usage));
        same(&only(&frames, "done")["usage"]["cost_usd"], price(usage));
        prices.push(price(usage));
        // What was spent by then.
        let all: f64 = prices.iter().sum();
        same(&usage["totals_usd"]["run"], price(usage));
        same(&usage["totals_usd"]["session"], all);
        same(&usage["totals_usd"]["day"], all);
        output += usage["output_tokens"].as_u64().unwrap();
        let told = served.get(&format!("/usage?run_id={run}")).await;
        same(&told["total"]["cost_usd"], price(usage));
        same(&told["calls"][0]["cost_usd"], price(usage));
        assert_eq!(told["calls"][0]["model"], "openai/mock");
    }
    let sum: f64 = prices.iter().sum();
    let of_session = served.get(&format!("/usage?session_id={session}")).await;
    same(&of_session["total"]["cost_usd"], sum);
    assert_eq!(of_session["runs"].as_array().unwrap().len(), 2);
    assert_eq!(of_session["runs"][1]["run_id"], "run-b");
    let of_days = served.get("/usage").await;
    same(&of_days["total"]["cost_usd"], sum);
    assert_eq!((&of_days["total"]["runs"], &of_days["total"]["output_tokens"]), (&2.into(), &output.into()));
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    assert_eq!(
        of_days["days"].as_array().unwrap().last().unwrap()["day"].as_str().unwrap().len(),
        today.len()
    );
    let metrics = served.metrics().await;
    same(&value(&metrics, "loquat_cost_usd_total{model=\"openai/mock\"}").into(), sum);
    same(&value(&metrics, "loquat_run_cost_usd_count{model=\"openai/mock\"}").into(), 2.0);
    same(&value(&metrics, "loquat_run_cost_usd_sum{model=\"openai/mock\"}").into(), sum);
    // What the session, and the only user's day, had cost at the end of each run.
    for name in ["loquat_session_cost_usd", "loquat_user_day_cost_usd"] {
        same(&value(&metrics, &format!("{name}_count")).into(), 2.0);
        same(&value(&metrics, &format!("{name}_sum")).into(), prices[0] + sum);
    }
    same(&value(&metrics, "loquat_cost_today_usd").into(), sum);
    same(&value(&metrics, "loquat_top_user_cost_today_usd{user=\"anonymous\"}").into(), sum);
    same(
        &value(&metrics, "loquat_tokens_total{model=\"openai/mock\",type=\"output\"}").into(),
        f64::from(u32::try_from(output).unwrap()),
    );
    same(&value(&metrics, "loquat_runs_total{model=\"openai/mock\",outcome=\"complete\"}").into(), 2.0);
    same(&value(&metrics, "loquat_first_token_seconds_count{model=\"openai/mock\"}").into(), 2.0);
    same(
        &value(&metrics, "loquat_http_requests_total{method=\"POST\",route=\"/chat\",status=\"2xx\"}").into(),
        2.0,
    );
    let stored = served.get(&format!("/sessions/{session}")).await;
    same(&stored["messages"][1]["metadata"]["usage"]["cost_usd"], prices[0]);
}

/// Two sessions of a user, then a model without prices.
#[tokio::test]
async fn sessions_and_days_are_summed_apart() {
    let served = serve("", &[("LOQUAT_STORE", "sqlite")], "say=\"hello there\"").await;
    let mut sums = std::collections::BTreeMap::<&str, f64>::new();
    let mut day = 0.0;
    for session in ["one", "two", "one"] {
        let frames = served.chat(&json!({"message": "hi", "session_id": session})).await;
        let usage = only(&frames, "usage");
        day += price(usage);
        *sums.entry(session).or_default() += price(usage);
        same(&usage["totals_usd"]["run"], price(usage));
        same(&usage["totals_usd"]["session"], sums[session]);
        same(&usage["totals_usd"]["day"], day);
    }
    for (session, sum) in &sums {
        same(&served.get(&format!("/usage?session_id={session}")).await["total"]["cost_usd"], *sum);
    }
    let unpriced = serve_with("", &[], "say=\"hello there\"").await;
    let frames = unpriced.chat(&json!({"message": "hi"})).await;
    assert_eq!(
        (only(&frames, "usage").get("cost_usd"), only(&frames, "usage").get("totals_usd")),
        (None, None)
    );
    let metrics = unpriced.metrics().await;
    same(&value(&metrics, "loquat_cost_today_usd").into(), 0.0);
    assert!(!metrics.contains("loquat_run_cost_usd_count"), "{metrics}");
}

#[tokio::test]
async fn users_see_their_own_usage_and_administrators_everybodys() {
    let (ann, ann_key) = NamedKey::generate("ann", None, false);
    let (root, root_key) = NamedKey::generate("root", None, true);
    let file = format!(
        "[auth]\ntype = \"ApiKey\"\n[[auth.keys]]\nname = \"ann\"\nsha256 = \"{}\"\n\
         [[auth.keys]]\nname = \"root\"\nsha256 = \"{}\"\nadmin = true\n",
        ann.sha256, root.sha256
    );
    let served = serve(&file, &[], "say=\"hi\"").await;
    let get = async |path: &str, key: &str| {
        let request = served.client.get(format!("{}{path}", served.url)).bearer_auth(key);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let chat = served.client.post(format!("{}/chat", served.url)).bearer_auth(&ann_key);
    let body = json!({"message": "hi", "session_id": "anns", "run_id": "anns-run"});
    let answer = chat.json(&body).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("event: done"));
    let runs = |text: &str| serde_json::from_str::<Value>(text).unwrap()["total"]["runs"].clone();
    assert_eq!(runs(&get("/usage", &ann_key).await.1), 1);
    assert_eq!(runs(&get("/usage", &root_key).await.1), 0);
    for path in ["/usage?session_id=anns", "/usage?run_id=anns-run"] {
        assert_eq!(get(path, &ann_key).await.0, StatusCode::OK, "{path}");
        assert_eq!(get(path, &root_key).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(runs(&get("/admin/users/ann/usage", &root_key).await.1), 1);
    assert_eq!(get("/admin/users/ann/usage", &ann_key).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/usage?days=0", &ann_key).await.0, StatusCode::BAD_REQUEST);

    // Users stand in the metrics by their hashes, where they are wanted.
    let request = served.client.get(format!("{}/metrics", served.url)).bearer_auth(&root_key);
    let metrics = request.send().await.unwrap().text().await.unwrap();
    let hash = loquat_server::telemetry::scope::hashed("ann");
    assert!(value(&metrics, &format!("loquat_top_user_cost_today_usd{{user=\"{hash}\"}}")) > 0.0);
    assert!(!metrics.contains("\"ann\"") && !metrics.contains("\"root\""), "{metrics}");

    // Metrics hold everybody's counts.
    assert_eq!(get("/metrics", &ann_key).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get("/metrics", &root_key).await.0, StatusCode::OK);
    assert_eq!(get("/metrics", "").await.0, StatusCode::UNAUTHORIZED);
    let settings = [("LOQUAT_METRICS_TOKEN", "scrape-me"), ("LOQUAT_METRICS_USERS", "0")];
    let served = serve(&file, &settings, "say=\"hi\"").await;
    let chat = served.client.post(format!("{}/chat", served.url)).bearer_auth(&ann_key);
    assert!(chat.json(&body).send().await.unwrap().text().await.unwrap().contains("event: done"));
    let request = served.client.get(format!("{}/metrics", served.url)).bearer_auth("scrape-me");
    let metrics = request.send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("loquat_user_day_cost_usd_count 1"), "{metrics}");
    assert!(!metrics.contains("loquat_top_user_cost_today_usd{"), "{metrics}");
    for (token, expected) in [
        ("scrape-me", StatusCode::OK),
        ("scrape-m", StatusCode::UNAUTHORIZED),
        (&root_key, StatusCode::UNAUTHORIZED),
    ] {
        let request = served.client.get(format!("{}/metrics", served.url)).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
}
