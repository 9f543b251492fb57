//! Ids that stand in bodies and headers: somebody else's is as good as one that nobody has.

use std::collections::BTreeSet;

use base64::Engine as _;

use super::described::Described;
use super::*;

/// Routes that take a body without any id of a session or a run in it.
const WITHOUT_IDS: [&str; 2] = ["PATCH /sessions/{id}", "POST /runs/{id}/feedback"];

/// Route, headers, body.
type Place = (&'static str, Vec<(&'static str, String)>, Value);

/// Every place where a client may name a session or a run, beside the address.
fn places(session: &str, run: &str) -> Vec<Place> {
    let said =
        json!([{"id": "m9", "role": "user", "content": "mine", "parts": [{"type": "text", "text": "mine"}]}]);
    let spoken = json!([{"role": "user", "content": "mine"}]);
    let part = json!([{"text": "mine"}]);
    let call = |arguments: Value| {
        let params = json!({"name": "ask", "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    };
    let named = |name: &'static str| vec![(name, session.to_owned())];
    let cursor = json!([run, 0, 1, null, false]).to_string();
    let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(cursor);
    let approvals = json!([{"id": "c1", "approved": true}]);
    vec![
        ("POST /chat", vec![], json!({"message": "mine", "session_id": session, "events": "all"})),
        ("POST /chat", vec![], json!({"message": "mine", "run_id": run, "events": "all"})),
        ("POST /runs/{id}/approvals", vec![], json!({"approvals": approvals, "run_id": run})),
        ("POST /ag-ui", vec![], json!({"threadId": session, "runId": run, "messages": said})),
        (
            "POST /ag-ui",
            vec![],
            json!({"threadId": session, "runId": "r9", "resume": [{"interruptId": "c1", "status": "cancelled"}]}),
        ),
        ("POST /api/chat", vec![], json!({"id": session, "messages": said})),
        (
            "POST /v1/chat/completions",
            named("x-loquat-session-id"),
            json!({"model": "loquat", "messages": spoken}),
        ),
        (
            "POST /v1/chat/completions",
            vec![],
            json!({"model": "loquat", "messages": spoken, "metadata": {"session_id": session}}),
        ),
        (
            "POST /v1/responses",
            vec![],
            json!({"model": "loquat", "input": "mine", "previous_response_id": format!("resp_{run}")}),
        ),
        ("POST /v1/responses", vec![], json!({"model": "loquat", "input": "mine", "conversation": session})),
        (
            "POST /invocations",
            named("x-amzn-bedrock-agentcore-runtime-session-id"),
            json!({"prompt": "mine", "run_id": run}),
        ),
        ("POST /invocations", vec![], json!({"prompt": "mine", "session_id": session})),
        ("POST /invocations", vec![], json!({"run_id": run, "after": 0})),
        ("POST /invocations", vec![], json!({"run_id": run, "approvals": approvals})),
        (
            "POST /a2a/message:send",
            vec![],
            json!({"message": {"messageId": run, "contextId": session, "role": "ROLE_USER", "parts": part}}),
        ),
        (
            "POST /a2a/message:stream",
            vec![],
            json!({"message": {"messageId": "m9", "taskId": run, "role": "ROLE_USER", "parts": part}}),
        ),
        ("POST /mcp", vec![], call(json!({"message": "mine", "session_id": session}))),
        ("GET /mcp", vec![("last-event-id", cursor)], Value::Null),
    ]
}

/// An answer without what is new in each: ids, and numbers (times among them).
fn shape(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
        let end =
            word.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').unwrap_or(word.len());
        let (name, rest) = word.split_at(end);
        let varies = name.len() >= 20 || name.bytes().any(|byte| byte.is_ascii_digit());
        out.push_str(if varies { "#" } else { name });
        out.push_str(rest);
    }
    out
}

#[tokio::test]
async fn a_foreign_id_in_a_body_is_as_good_as_an_unknown_one() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let settings = [
        ("AUTH_TYPE", "ApiKey"),
        ("LOQUAT_API_KEYS", entries.as_str()),
        ("LOQUAT_REQUESTS_PER_MINUTE", "0"),
        ("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "0"),
    ];
    let served = serve(&settings, "say=\"hi\"").await;
    // Each place gets a conversation of its own, so that none finds what bob began at another.
    let count = places("", "").len();
    let mut answered = 0;
    for n in 0..count {
        let (session, run) = served.converse(&ann).await;
        let history = format!("/sessions/{session}");
        let read = || served.request("GET", &history).bearer_auth(&ann).send();
        let before = read().await.unwrap().text().await.unwrap();
        let ask = async |session: &str, run: &str| {
            let (route, headers, body) = places(session, run).swap_remove(n);
            let (method, path) = route.split_once(' ').unwrap();
            let mut request = served.request(method, &path.replace("{id}", run)).bearer_auth(&bob);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        let (route, ..) = places("", "").swap_remove(n);
        let (foreign, unknown) = (ask(&session, &run).await, ask(&new_id(), &new_id()).await);
        assert_eq!(
            (foreign.0, shape(&foreign.1)),
            (unknown.0, shape(&unknown.1)),
            "{route} ({n}): {} / {}",
            foreign.1,
            unknown.1
        );
        answered += usize::from(foreign.0 == 200);
        assert!(foreign.0 < 500, "{route} ({n}): {} {}", foreign.0, foreign.1);
        assert_eq!(
            read().await.unwrap().text().await.unwrap(),
            before,
            "{route} ({n}) changed ann's conversation"
        );
    }
    assert!(answered >= 9, "{answered}: a session of one's own begins");
    for request in served.mock.requests() {
        let messages = request.body["messages"].to_string();
        assert!(!(messages.contains("hello") && messages.contains("mine")), "the model saw both: {messages}");
    }
    // Every route that takes a body is one of those above, or has no id in it.
    let covered: BTreeSet<&str> = places("", "").into_iter().map(|(route, ..)| route).collect();
    for route in Described::of(&served).await.routes() {
        let name = format!("{} {}", route.method, route.path);
        let told = route.body.is_some();
        assert!(
            !told || covered.contains(name.as_str()) || WITHOUT_IDS.contains(&name.as_str()),
            "{name}: say here what ids its body may have"
        );
    }
}
