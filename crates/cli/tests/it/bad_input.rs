//! Bad input gets a clear answer and harms nothing.

use serde_json::{Value, json};

use crate::support::{ModelServer, Server, answer_of};

#[tokio::test]
async fn each_has_its_own_answer() {
    let mut model = ModelServer::start().await;
    let server =
        Server::start(&model, &[("LOQUAT_MESSAGE_BYTES", "100"), ("LOQUAT_BODY_BYTES", "2000")]).await;
    let raw = |body: &str, kind: &str| {
        let request = server.http.post(format!("{}/chat", server.url)).body(body.to_owned());
        if kind.is_empty() { request } else { request.header("content-type", kind) }
    };
    let json_kind = "application/json";
    let long = json!({"message": "x".repeat(101)}).to_string();
    let huge = json!({"message": "x".repeat(3000)}).to_string();
    let cases = [
        ("not json", raw("hello", json_kind)),
        ("cut json", raw("{\"message\":", json_kind)),
        ("an array", raw("[]", json_kind)),
        ("wrong type", raw("{\"message\":5}", json_kind)),
        ("unknown field", raw("{\"message\":\"a\",\"nope\":1}", json_kind)),
        ("no message", raw("{}", json_kind)),
        ("empty message", raw("{\"message\":\"\"}", json_kind)),
        ("blank message", raw("{\"message\":\" \\n\\t\"}", json_kind)),
        ("long message", raw(&long, json_kind)),
        ("huge body", raw(&huge, json_kind)),
        ("bad session id", raw("{\"message\":\"a\",\"session_id\":\"../x\"}", json_kind)),
        ("bad run id", raw("{\"message\":\"a\",\"run_id\":\"\"}", json_kind)),
        ("bad events", raw("{\"message\":\"a\",\"events\":\"some\"}", json_kind)),
        ("negative history", raw("{\"message\":\"a\",\"history_length\":-1}", json_kind)),
        ("too much history", raw("{\"message\":\"a\",\"history_length\":9}", json_kind)),
        (
            "attachment that is none",
            raw(
                "{\"message\":\"a\",\"attachments\":[{\"name\":\"a\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}]}",
                json_kind,
            ),
        ),
        ("wrong content type", raw("{\"message\":\"a\"}", "text/plain")),
        ("no content type", raw("{\"message\":\"a\"}", "")),
        ("wrong method", server.http.get(format!("{}/chat", server.url))),
        ("unknown route", server.http.get(format!("{}/nope", server.url))),
        ("unknown session", server.http.get(format!("{}/sessions/unknown", server.url))),
        ("bad session path", server.http.get(format!("{}/sessions/a%2Fb", server.url))),
        ("unknown run", server.http.get(format!("{}/runs/unknown/events", server.url))),
        ("stop of an unknown run", server.http.post(format!("{}/runs/unknown/stop", server.url))),
        ("bad cursor", server.http.get(format!("{}/sessions?cursor=x", server.url))),
        ("bad limit", server.http.get(format!("{}/sessions?limit=0", server.url))),
        ("unknown query", server.http.get(format!("{}/sessions?nope=1", server.url))),
    ];
    let mut report = String::new();
    for (name, request) in cases {
        let response = request.send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/problem+json", "{name}");
        assert!(response.headers().contains_key("access-control-allow-origin"), "{name}: CORS on errors too");
        let (status, body) = answer_of(response).await;
        assert_eq!(body["status"], status, "{name}");
        report.push_str(&format!(
            "{name}: {status} {}: {}\n",
            body["code"].as_str().unwrap(),
            body["detail"].as_str().unwrap()
        ));
    }
    insta::assert_snapshot!(report);
    assert!(!model.is_called(), "nothing bad reaches the model");
    let (_, listed) = server.get("/sessions").await;
    assert_eq!(listed["sessions"], Value::Array(vec![]), "nothing bad leaves a session");

    // And it still works.
    let (frames, _) = server.turn(&mut model, &json!({"message": "hi"}), &["ok"]).await;
    assert_eq!(frames.last().unwrap().event, "done");
}
