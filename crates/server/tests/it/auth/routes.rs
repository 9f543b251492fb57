//! Every route, method and id: without a credential 401, with a foreign id the answer for an unknown one.

use reqwest::header::HeaderMap;

use super::described::Described;
use super::*;

/// Routes that hold nothing of anybody's. One that is added here is open to everybody: think twice.
const PUBLIC: [&str; 5] =
    ["/.well-known/agent-card.json", "/config.json", "/health", "/openapi.json", "/ping"];
/// Where routes of our own begin; others are a dialect's, which tells errors in its own form.
const OWN: [&str; 7] = ["admin", "chat", "memory", "metrics", "runs", "sessions", "usage"];

/// What somebody has: the ids by which each route finds something.
struct Belongings {
    user: String,
    session: String,
    run: String,
    fact: String,
}

impl Belongings {
    async fn of(served: &Served, user: &str, token: &str) -> Self {
        let (session, run) = (new_id(), new_id());
        let save = "tool=memory {\"action\": \"save\", \"fact\": \"likes tea\"}";
        let body = json!({"message": save, "session_id": session, "run_id": run});
        let (status, text) = served.chat(token, &body).await;
        assert!(status.is_success() && text.contains("event: done"), "{text}");
        let facts = served.request("GET", "/memory").bearer_auth(token).send().await.unwrap();
        let facts: Value = facts.json().await.unwrap();
        let fact = facts["facts"][0]["id"].as_str().unwrap().to_owned();
        Self { user: user.to_owned(), session, run, fact }
    }

    /// What nobody has, under ids of the same form.
    fn of_nobody(&self) -> Self {
        let same_length = |id: &str| new_id().chars().cycle().take(id.len()).collect();
        Self {
            user: same_length(&self.user),
            session: same_length(&self.session),
            run: same_length(&self.run),
            fact: same_length(&self.fact),
        }
    }

    /// A route's address with these ids.
    fn in_path(&self, path: &str) -> String {
        let response = format!("resp_{}", self.run);
        let id = match path.split('/').nth(1) {
            Some("runs" | "a2a") => self.run.as_str(),
            Some("memory") => &self.fact,
            Some("sessions" | "admin" | "api") => &self.session,
            Some("v1") if path.starts_with("/v1/responses/") => &response,
            // A model's name is nobody's.
            Some("v1") => "loquat-0",
            _ => {
                assert!(!path.contains("{id}"), "{path}: say here what its ids are");
                ""
            }
        };
        let path = path.replace("{user}", &self.user).replace("{id}", id);
        let path = path.replace("{session}", &self.session).replace("{run}", &self.run);
        assert!(!path.contains('{'), "{path}: say here what its ids are");
        path
    }
}

const TOOLS: (&str, &str) = ("LOQUAT_TOOLS", "memory");
/// These tests ask more in a second than a person in an hour.
const UNLIMITED: [(&str, &str); 2] =
    [("LOQUAT_REQUESTS_PER_MINUTE", "0"), ("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "0")];

/// An answer but for what differs from one to the next by nature.
async fn whole(request: RequestBuilder) -> (u16, HeaderMap, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let mut headers = answer.headers().clone();
    headers.remove("date");
    headers.remove("x-request-id");
    (status, headers, answer.text().await.unwrap())
}

#[tokio::test]
async fn without_a_credential_every_route_says_the_same() {
    let (ann, ann_entry) = key("ann");
    let settings =
        [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", ann_entry.as_str()), TOOLS, UNLIMITED[0], UNLIMITED[1]];
    let served = serve(&settings, "say=\"hi\"").await;
    let anns = Belongings::of(&served, "ann", &ann).await;
    let mut first = BTreeMap::new();
    let mut public = Vec::new();
    for route in Described::of(&served).await.routes() {
        let method = route.method.as_str();
        if !route.signed_in {
            assert_eq!(whole(served.request(method, &route.path)).await.0, 200, "{method} {}", route.path);
            public.push(route.path);
            continue;
        }
        for query in &route.queries {
            let path = anns.in_path(&format!("{}{query}", route.path));
            for token in [None, Some("loquat_wrong"), Some("")] {
                let mut request = served.request(method, &path);
                if let Some(body) = &route.body {
                    request = request.json(body);
                }
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let answer = whole(request).await;
                assert_eq!(answer.0, 401, "{method} {path} {token:?}");
                assert_eq!(answer.1["www-authenticate"], "Bearer");
                // Each dialect has one form of its own.
                let group = path.split(['/', '?']).nth(1).filter(|group| !OWN.contains(group));
                let group = group.unwrap_or_default();
                if group.is_empty() {
                    assert_eq!(answer.1["content-type"], "application/problem+json");
                }
                let same = first.entry(group.to_owned()).or_insert_with(|| answer.clone());
                assert_eq!(&answer, same, "{method} {path}");
            }
            // Identity in the address is no identity.
            let separator = if path.contains('?') { '&' } else { '?' };
            let request = served.request(method, &format!("{path}{separator}user=ann&access_token={ann}"));
            assert_eq!(whole(request).await.0, 401, "{method} {path}");
        }
    }
    public.sort();
    assert_eq!(public, PUBLIC);
    for page in ["/", "/c/any"] {
        assert_eq!(whole(served.request("GET", page)).await.0, 200, "{page}");
    }
}

#[tokio::test]
async fn what_is_somebody_elses_does_not_exist() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let settings =
        [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entries.as_str()), TOOLS, UNLIMITED[0], UNLIMITED[1]];
    let served = serve(&settings, "say=\"hi\"").await;
    let anns = Belongings::of(&served, "ann", &ann).await;
    let nobodys = anns.of_nobody();
    let session = format!("/sessions/{}", anns.session);
    let before = whole(served.request("GET", &session).bearer_auth(&ann)).await;
    assert_eq!(before.0, 200);
    let mut compared = 0;
    for route in Described::of(&served).await.routes() {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            for query in &route.queries {
                if !route.path.contains('{') && !query.contains('{') {
                    continue;
                }
                let ask = async |whose: &Belongings| {
                    let path = whose.in_path(&format!("{}{query}", route.path));
                    let mut request = served.request(method, &path).bearer_auth(&bob);
                    if let Some(body) = &route.body {
                        request = request.json(body);
                    }
                    whole(request).await
                };
                let (foreign, unknown) = (ask(&anns).await, ask(&nobodys).await);
                assert_eq!(foreign, unknown, "{method} {} {query}", route.path);
                // The AI SDK is told that nothing is being written there.
                let nothing = foreign.0 == 204 && route.path == "/api/chat/{id}/stream";
                let refused = nothing || matches!(foreign.0, 400 | 404 | 405 | 415);
                assert!(refused, "{method} {}: {}", route.path, foreign.0);
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
    // Nothing of it did anything.
    let after = whole(served.request("GET", &session).bearer_auth(&ann)).await;
    assert_eq!(before.2, after.2);
    let facts = whole(served.request("GET", "/memory").bearer_auth(&ann)).await;
    assert!(facts.2.contains(&anns.fact), "{}", facts.2);
    // The list and the deletion of everything are the caller's own.
    let list = whole(served.request("GET", "/sessions").bearer_auth(&bob)).await;
    assert_eq!(list.2, r#"{"sessions":[]}"#);
    for everything in ["/sessions", "/memory"] {
        let deleted = whole(served.request("DELETE", everything).bearer_auth(&bob)).await;
        assert_eq!(deleted.2, r#"{"deleted":0}"#);
    }
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
}

#[tokio::test]
async fn who_one_is_cannot_be_said_in_a_body_or_an_address() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let served = serve(&[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &entries)], "say=\"hi\"").await;
    let (session, run) = served.converse(&ann).await;
    let read = async |path: &str, token: &str| whole(served.request("GET", path).bearer_auth(token)).await;
    let before = read(&format!("/sessions/{session}"), &ann).await;
    for field in ["user", "user_id", "userId", "owner", "sub"] {
        let (status, text) =
            served.chat(&bob, &json!({"message": "x", "session_id": session, field: "ann"})).await;
        assert!(status.is_success() && text.contains("event: done"), "{field}: {text}");
        // What is ann's is not there, and what is listed is bob's.
        for path in [format!("/runs/{run}/events?{field}=ann"), format!("/usage?run_id={run}&{field}=ann")] {
            assert_eq!(read(&path, &bob).await.0, 404, "{path}");
        }
        let list = read(&format!("/sessions?{field}=ann&limit=5"), &bob).await;
        assert_eq!(list.0, 200, "{field}");
        assert_eq!(list.2, read("/sessions", &bob).await.2, "{field}");
    }
    assert_eq!(read(&format!("/sessions/{session}"), &ann).await.2, before.2, "ann's is as it was");
    // Other members that are not known are mistakes.
    let (status, _) = served.chat(&bob, &json!({"message": "x", "nobody": 1})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(read("/sessions?nobody=1", &bob).await.0, 400);
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
    let everything = whole(served.request("DELETE", "/admin/users/ann/sessions").bearer_auth(&chief)).await;
    assert_eq!(everything.2, r#"{"deleted":0}"#);
    assert_eq!(whole(served.request("GET", "/admin/users/ann/usage").bearer_auth(&chief)).await.0, 200);
    // Each of it is on record: who, whose, what, and what came of it.
    let log = secrets::log();
    let on_record = |words: &[String]| {
        let found = log
            .lines()
            .any(|line| line.contains("loquat::audit") && words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?} is not on record");
    };
    for (action, more, outcome) in [
        ("list_sessions", "", "done"),
        ("delete_session", session.as_str(), "done"),
        ("delete_session", session.as_str(), "not_found"),
        ("delete_all_sessions", "", "done"),
        ("read_usage", "", "done"),
    ] {
        let named = [("admin", "chief"), ("subject", "ann"), ("action", action), ("outcome", outcome)];
        let mut words: Vec<String> =
            named.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        words.push(more.to_owned());
        on_record(&words);
    }
    on_record(&["caller=\"ann\"".to_owned(), "route=\"/admin/users/{user}/sessions/{id}\"".to_owned()]);
}
