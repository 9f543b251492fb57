//! Every route, method and id: without a credential 401, with a foreign id the answer for an unknown one.

use reqwest::header::HeaderMap;

use super::*;

/// Everything that serves a user's data: method, path, body.
fn table() -> Vec<(&'static str, &'static str, Option<Value>)> {
    let approvals = json!({"approvals": [{"id": "call", "approved": true}]});
    vec![
        ("POST", "/chat", Some(json!({"message": "hi"}))),
        ("GET", "/runs/{run}/events", None),
        ("GET", "/runs/{run}/events?after=1", None),
        ("POST", "/runs/{run}/stop", None),
        ("POST", "/runs/{run}/approvals", Some(approvals)),
        ("POST", "/runs/{run}/feedback", Some(json!({"rating": "up"}))),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions", None),
        ("GET", "/sessions/{session}", None),
        ("PATCH", "/sessions/{session}", Some(json!({"title": "mine"}))),
        ("GET", "/sessions/{session}/export", None),
        ("GET", "/sessions/{session}/export?format=md", None),
        ("DELETE", "/sessions/{session}", None),
        ("GET", "/memory", None),
        ("DELETE", "/memory", None),
        // Facts have ids of their own; whatever is asked for here is unknown to everybody.
        ("DELETE", "/memory/{session}", None),
        ("GET", "/admin/users/ann/sessions", None),
        ("DELETE", "/admin/users/ann/sessions", None),
        ("DELETE", "/admin/users/ann/sessions/{session}", None),
    ]
}

/// Routes that hold nothing of anybody's.
const PUBLIC: [&str; 3] = ["/health", "/config.json", "/metrics"];

/// An answer but for what differs from one to the next by nature.
async fn whole(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let mut headers = answer.headers().clone();
    headers.remove("date");
    headers.remove("x-request-id");
    (status, headers, answer.text().await.unwrap())
}

#[test]
fn the_table_has_every_route_of_the_router() {
    let router = include_str!("../../../src/app.rs");
    let known: Vec<String> = table()
        .iter()
        .map(|(_, path, _)| {
            path.split('?').next().unwrap().replace("{run}", "{id}").replace("{session}", "{id}")
        })
        .map(|path| path.replace("users/ann", "users/{user}"))
        .collect();
    let mut routes = 0;
    for rest in router.split(".route(").skip(1) {
        let path = rest.split('"').nth(1).unwrap();
        routes += 1;
        let is_known = known.iter().any(|known| known == path) || PUBLIC.contains(&path);
        assert!(is_known, "{path} is not in the table of this test");
    }
    assert!(routes >= 8, "{routes}");
}

#[tokio::test]
async fn without_a_credential_every_route_says_the_same() {
    let (ann, ann_entry) = key("ann");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &ann_entry)], "say=\"hi\"").await;
    let (session, run) = served.converse(&ann).await;
    let mut first = None;
    for (method, path, body) in table() {
        let path = path.replace("{session}", &session).replace("{run}", &run);
        for token in [None, Some("loquat_wrong"), Some("")] {
            let mut request = served.request(method, &path);
            if let Some(body) = &body {
                request = request.json(body);
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = whole(request).await;
            assert_eq!(answer.0, 401, "{method} {path} {token:?}");
            assert_eq!(answer.1["www-authenticate"], "Bearer");
            assert_eq!(answer.1["content-type"], "application/problem+json");
            assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "{method} {path}");
        }
        // Identity in the address is no identity.
        let separator = if path.contains('?') { '&' } else { '?' };
        let request = served.request(method, &format!("{path}{separator}user=ann&access_token={ann}"));
        assert_eq!(whole(request).await.0, 401, "{method} {path}");
    }
    for public in ["/health", "/config.json", "/", "/c/any"] {
        assert_eq!(whole(served.request("GET", public)).await.0, 200, "{public}");
    }
}

#[tokio::test]
async fn what_is_somebody_elses_does_not_exist() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &entries)], "say=\"hi\"").await;
    let (session, run) = served.converse(&ann).await;
    let before = whole(served.request("GET", &format!("/sessions/{session}")).bearer_auth(&ann)).await;
    assert_eq!(before.0, 200);
    let mut compared = 0;
    for (method, path, body) in table() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", method] {
            if !path.contains('{') {
                continue;
            }
            let ask = async |session: &str, run: &str| {
                let path = path.replace("{session}", session).replace("{run}", run);
                let mut request = served.request(method, &path).bearer_auth(&bob);
                if let Some(body) = &body {
                    request = request.json(body);
                }
                whole(request).await
            };
            let foreign = ask(&session, &run).await;
            let unknown = ask(&new_id(), &new_id()).await;
            assert_eq!(foreign, unknown, "{method} {path}");
            assert!(matches!(foreign.0, 400 | 404 | 405 | 415), "{method} {path}: {}", foreign.0);
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
    // Nothing of it did anything.
    let after = whole(served.request("GET", &format!("/sessions/{session}")).bearer_auth(&ann)).await;
    assert_eq!(before.2, after.2);
    // The list and the deletion of everything are the caller's own.
    let list = whole(served.request("GET", "/sessions").bearer_auth(&bob)).await;
    assert_eq!(list.2, r#"{"sessions":[]}"#);
    let deleted = whole(served.request("DELETE", "/sessions").bearer_auth(&bob)).await;
    assert_eq!(deleted.2, r#"{"deleted":0}"#);
}

#[tokio::test]
async fn a_foreign_id_in_a_message_begins_a_session_of_ones_own() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &entries)], "say=\"hi\"").await;
    let (session, run) = served.converse(&ann).await;
    // The same ids, run id included: neither attaches bob to ann's run nor changes her session.
    let body = json!({"message": "mine", "session_id": session, "run_id": run, "events": "all"});
    let (status, text) = served.chat(&bob, &body).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\"history_length\":0"), "{text}");
    let read = async |token: &str| -> Value {
        let request = served.request("GET", &format!("/sessions/{session}")).bearer_auth(token);
        request.send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(read(&ann).await["messages"][0]["content"][0]["text"], "hello");
    assert_eq!(read(&bob).await["messages"][0]["content"][0]["text"], "mine");
    // The model saw bob's message alone.
    let seen = served.mock.requests().pop().unwrap().body["messages"].to_string();
    assert!(seen.contains("mine") && !seen.contains("hello"), "{seen}");
    // Who one is cannot be said in the body.
    for field in ["user", "user_id", "owner", "sub"] {
        let (status, _) = served.chat(&bob, &json!({"message": "x", field: "ann"})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{field}");
    }
}

#[tokio::test]
async fn an_administrator_lists_and_deletes_and_nobody_else_does() {
    let (ann, ann_entry) = key("ann");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &ann_entry)], "say=\"hi\"").await;
    let file = loquat_server::auth::KeyFile::within(served._folder.path());
    let chief = file.add("chief", None, true).unwrap();
    let (session, _) = served.converse(&ann).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let list = || served.request("GET", "/admin/users/ann/sessions").bearer_auth(&chief);
    // A new key counts within a second.
    while whole(list()).await.0 != 200 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(whole(list()).await.2.contains(&session));
    // Through these routes only: an administrator's own routes show their own conversations.
    let own = whole(served.request("GET", &format!("/sessions/{session}")).bearer_auth(&chief)).await;
    assert_eq!(own.0, 404);
    let delete = format!("/admin/users/ann/sessions/{session}");
    let nowhere = whole(served.request("DELETE", "/nowhere").bearer_auth(&ann)).await;
    let refused = whole(served.request("DELETE", &delete).bearer_auth(&ann)).await;
    assert_eq!(refused, nowhere, "nobody learns that there is such a route");
    assert_eq!(whole(served.request("DELETE", &delete).bearer_auth(&chief)).await.0, 204);
    assert_eq!(whole(served.request("DELETE", &delete).bearer_auth(&chief)).await.0, 404);
    assert_eq!(whole(served.request("GET", &format!("/sessions/{session}")).bearer_auth(&ann)).await.0, 404);
    assert!(secrets::log().contains("an administrator acted for somebody"));
}
