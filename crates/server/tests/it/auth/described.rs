//! `/openapi.json` and the service are one: the document has the router's routes and no others, and what the service
//! really answers is what the document says.

use std::collections::BTreeSet;

use super::*;

/// An operation of the document.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) method: String,
    /// With the names of its parts in braces.
    pub(super) path: String,
    /// An example of the body.
    pub(super) body: Option<Value>,
    /// One query for each of its parameters, and none; ids are `{session}` and `{run}`.
    pub(super) queries: Vec<String>,
    /// Whether it needs a credential.
    pub(super) signed_in: bool,
}

/// The document of a service.
pub(super) struct Described(pub(super) Value);

impl Described {
    pub(super) async fn of(served: &Served) -> Self {
        let answer = served.request("GET", "/openapi.json").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self(answer.json().await.unwrap())
    }

    pub(super) fn routes(&self) -> Vec<Route> {
        let mut all = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let examples = &operation["requestBody"]["content"]["application/json"]["examples"];
                let body = examples.as_object().and_then(|examples| examples.values().next());
                let mut queries = vec![String::new()];
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    if parameter["in"] == "query" {
                        let value = match &parameter["schema"]["enum"] {
                            Value::Array(values) => values.last().unwrap().as_str().unwrap(),
                            _ if parameter["name"] == "session_id" => "{session}",
                            _ if parameter["name"] == "run_id" => "{run}",
                            _ => "1",
                        };
                        queries.push(format!("?{}={value}", parameter["name"].as_str().unwrap()));
                    }
                }
                all.push(Route {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    body: body.map(|example| example["value"].clone()),
                    queries,
                    signed_in: operation.get("security").is_some(),
                });
            }
        }
        all
    }

    fn fits(&self, schema: &Value, value: &Value, place: &str) {
        let mut root = schema.clone();
        root["components"] = self.0["components"].clone();
        let validator = jsonschema::validator_for(&root).unwrap();
        if let Err(error) = validator.validate(value) {
            panic!("{place}: {error} at `{}`: {value}", error.instance_path());
        }
    }

    /// Holds an answer against what is said of it: status, type, headers, body, and the frames of a stream.
    pub(super) async fn check(&self, method: &str, path: &str, answer: reqwest::Response) -> String {
        let status = answer.status().as_u16();
        let place = format!("{method} {path} {status}");
        let said = &self.0["paths"][path][method.to_ascii_lowercase()]["responses"][status.to_string()];
        let headers = answer.headers().clone();
        let kind = headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body = answer.text().await.unwrap();
        assert!(!said.is_null(), "{place} is not described: {body}");
        for (name, header) in said["headers"].as_object().into_iter().flatten() {
            assert!(header["required"] != true || headers.contains_key(name), "{place} has no {name}");
        }
        let Some(kind) = kind else {
            assert!(said.get("content").is_none() && body.is_empty(), "{place} has no type");
            return body;
        };
        let plain = kind.split(';').next().unwrap();
        let media = &said["content"][plain];
        assert!(!media.is_null(), "{place}: {kind} is not described");
        match plain {
            "text/event-stream" => self.check_frames(&media["schema"], &body, &place),
            _ if plain.ends_with("json") => {
                self.fits(&media["schema"], &serde_json::from_str(&body).unwrap(), &place);
            }
            _ => self.fits(&media["schema"], &Value::String(body.clone()), &place),
        }
        body
    }

    fn check_frames(&self, schema: &Value, body: &str, place: &str) {
        // Where a run may be of another dialect; those of this test are not.
        let schema = schema.pointer("/anyOf/0").unwrap_or(schema);
        let mut last = String::new();
        for text in body.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':')) {
            let mut frame = json!({});
            for line in text.lines() {
                let (name, value) = line.split_once(": ").unwrap();
                frame[name] = value.into();
            }
            self.fits(schema, &frame, place);
            // Validators do not look into strings: what is in `data` is looked at here.
            let Some(kinds) = schema["oneOf"].as_array() else { continue };
            let event = |kind: &Value| kind["properties"]["event"]["const"].clone();
            let named = frame.get("event").cloned().unwrap_or("message".into());
            let kind = kinds.iter().find(|kind| event(kind) == named).unwrap();
            let data: Value = serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
            self.fits(&kind["properties"]["data"]["contentSchema"], &data, &format!("{place} {named}"));
            last = named.as_str().unwrap_or_default().to_owned();
        }
        if schema["oneOf"].is_null() {
            return;
        }
        assert!(matches!(last.as_str(), "done" | "error" | "continue"), "{place} ends with {last}");
    }
}

/// The paths of the router, from the source text of its tables; which methods each has, the router itself is asked.
fn paths_of_the_router() -> Vec<String> {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut tables = vec![std::fs::read_to_string(source.join("app.rs")).unwrap()];
    for merged in tables[0].clone().split(".merge(").skip(1) {
        let module = merged.split("::routes()").next().unwrap();
        let places = [format!("http/{module}/mod.rs"), format!("http/{module}.rs")];
        let place = places.iter().find(|place| source.join(place).is_file()).expect(module);
        tables.push(std::fs::read_to_string(source.join(place)).unwrap());
    }
    let mut paths = Vec::new();
    for table in tables {
        for way in [".nest(", ".nest_service(", ".route_service("] {
            assert!(!table.contains(way), "routes that come by `{way}` are not seen by this test");
        }
        for rest in table.split(".route(").skip(1) {
            let path = rest.split('"').nth(1).unwrap();
            let handlers = rest.split_once(',').unwrap().1.trim_start();
            // What only says that it is not served here is no route.
            if !handlers.starts_with("any(") && !handlers.starts_with("get(unsupported)") {
                paths.push(path.to_owned());
            }
        }
    }
    paths
}

#[tokio::test]
async fn the_document_has_the_routes_of_the_router_and_no_others() {
    let served = serve(&[("AUTH_TYPE", "ApiKey")], "say=\"hi\"").await;
    let described = Described::of(&served).await;
    // A verb after an id (`/tasks/{id}:cancel`) is a part of the id to the router.
    let bare = |path: String| match path.split_once("}:") {
        Some((id, _)) => format!("{id}}}"),
        None => path,
    };
    let said: BTreeSet<(String, String)> =
        described.routes().into_iter().map(|route| (route.method, bare(route.path))).collect();
    let mut real = BTreeSet::new();
    for path in paths_of_the_router() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let address = path.replace(['{', '}', '*'], "");
            let answer = served.request(method, &address).send().await.unwrap();
            if answer.status() == 405 {
                let known =
                    answer.headers().get("allow").expect("405 says what is allowed").to_str().unwrap();
                assert!(!known.split(',').any(|known| known.trim() == method), "{method} {path}: {known}");
            } else {
                real.insert((method.to_owned(), path.replace("{*", "{")));
            }
        }
    }
    assert_eq!(said, real);
    assert!(said.len() >= 19, "{}", said.len());
}

#[tokio::test]
async fn what_the_service_answers_is_what_the_document_says() {
    let (ann, entry) = key("ann");
    let settings = [
        ("AUTH_TYPE", "ApiKey"),
        ("LOQUAT_API_KEYS", entry.as_str()),
        ("LOQUAT_TOOLS", "calculator,memory"),
        ("LOQUAT_MESSAGE_BYTES", "4000"),
        ("LOQUAT_ATTACHMENT_BYTES", "1000"),
        ("LOQUAT_BODY_BYTES", "10000"),
    ];
    let served = serve(&settings, "say=\"hi\"").await;
    let described = Described::of(&served).await;
    let file = loquat_server::auth::KeyFile::within(served._folder.path());
    let chief = file.add("chief", None, true).unwrap();
    served.until_known(&chief).await;

    let seen = std::cell::RefCell::new(BTreeSet::new());
    let ask = async |token: &str, method: &str, path: &str, ids: &[&str], body: Option<Value>| {
        let (template, query) = path.split_once('?').unwrap_or((path, ""));
        let mut address = template.to_owned();
        for id in ids {
            let (from, to) = (address.find('{').unwrap(), address.find('}').unwrap());
            address.replace_range(from..=to, id);
        }
        let mut request = served.request(method, &format!("{address}?{query}")).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        seen.borrow_mut().insert((method.to_owned(), template.to_owned(), status));
        (status, described.check(method, template, answer).await)
    };

    for path in ["/health", "/config.json", "/openapi.json"] {
        assert_eq!(ask("", "GET", path, &[], None).await.0, 200);
    }
    // A conversation with everything in it that the mock can say.
    let (session, run) = (new_id(), new_id());
    let said = "reasoning=3 cached=5 tool=calculator {\"expression\": \"6*7\"} \
                tool=memory {\"action\": \"save\", \"fact\": \"likes tea\"} tool=nothing say=\"done\"";
    let body = json!({"message": said, "session_id": session, "run_id": run, "events": "all"});
    let (_, stream) = ask(&ann, "POST", "/chat", &[], Some(body)).await;
    for frame in ["reasoning", "tool_start", "tool_input", "tool_call", "tool_result", "usage", "done"] {
        assert!(stream.contains(&format!("event: {frame}\n")), "{frame}: {stream}");
    }
    for events in ["text", "all"] {
        let path = format!("/runs/{{id}}/events?after=0&dialect=chat&events={events}");
        assert_eq!(ask(&ann, "GET", &path, &[&run], None).await.0, 200);
    }
    assert_eq!(ask(&ann, "POST", "/runs/{id}/stop", &[&run], None).await.0, 200);
    let rating = json!({"rating": "down", "comment": "too dry"});
    assert_eq!(ask(&ann, "POST", "/runs/{id}/feedback", &[&run], Some(rating)).await.0, 204);
    // An edit leaves a branch; a file is part of a message; a failure ends a stream.
    let edit = json!({
        "message": "again", "session_id": session, "history_length": 0,
        "attachments": [{"name": "a.txt", "media_type": "text/plain", "data": "SGVsbG8="}],
    });
    assert_eq!(ask(&ann, "POST", "/chat", &[], Some(edit)).await.0, 200);
    let failing = json!({"message": "error=400", "events": "all"});
    assert!(ask(&ann, "POST", "/chat", &[], Some(failing)).await.1.contains("event: error"));
    let queued = json!({"message": "hello", "session_id": session, "on_busy": "queue"});
    assert_eq!(ask(&ann, "POST", "/chat", &[], Some(queued)).await.0, 200);

    let (_, list) = ask(&ann, "GET", "/sessions?limit=1", &[], None).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    let next = list["next_cursor"].as_str().unwrap();
    assert_eq!(ask(&ann, "GET", &format!("/sessions?cursor={next}&q=hello"), &[], None).await.0, 200);
    let (_, whole) = ask(&ann, "GET", "/sessions/{id}", &[&session], None).await;
    assert!(whole.contains("replaced_at"), "{whole}");
    for format in ["json", "md"] {
        let path = format!("/sessions/{{id}}/export?format={format}");
        assert_eq!(ask(&ann, "GET", &path, &[&session], None).await.0, 200);
    }
    let title = Some(json!({"title": "Sums"}));
    assert_eq!(ask(&ann, "PATCH", "/sessions/{id}", &[&session], title).await.0, 200);
    let (_, facts) = ask(&ann, "GET", "/memory", &[], None).await;
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!(facts["facts"][0]["text"], "likes tea");
    let fact = facts["facts"][0]["id"].as_str().unwrap();
    assert_eq!(ask(&ann, "DELETE", "/memory/{id}", &[fact], None).await.0, 204);
    assert_eq!(ask(&ann, "DELETE", "/memory", &[], None).await.0, 200);
    let users = "/admin/users/{user}/sessions";
    assert_eq!(ask(&chief, "GET", users, &["ann"], None).await.0, 200);
    let one = [String::new(), "?days=3".into(), format!("?session_id={session}"), format!("?run_id={run}")];
    for query in one {
        assert_eq!(ask(&ann, "GET", &format!("/usage{query}"), &[], None).await.0, 200, "{query}");
    }
    let usage = "/admin/users/{user}/usage";
    assert_eq!(ask(&chief, "GET", usage, &["ann"], None).await.0, 200);
    assert_eq!(ask(&chief, "GET", "/metrics", &[], None).await.0, 200);

    // OpenAI's clients.
    assert_eq!(ask(&ann, "GET", "/v1/models", &[], None).await.0, 200);
    assert_eq!(ask(&ann, "GET", "/v1/models/{id}", &["loquat"], None).await.0, 200);
    assert_eq!(ask(&ann, "GET", "/v1/models/{id}", &["none"], None).await.0, 404);
    for stream in [true, false] {
        let message =
            json!({"role": "user", "content": "tool=calculator {\"expression\": \"6*7\"} say=\"42\""});
        let body = json!({"model": "loquat", "messages": [message], "stream": stream});
        let (status, text) = ask(&ann, "POST", "/v1/chat/completions", &[], Some(body)).await;
        assert!(status == 200 && text.contains("42"), "{text}");
    }
    for body in [
        json!({}),
        json!([]),
        json!({"model": "x", "messages": []}),
        json!({"model": "loquat", "messages": 1}),
    ] {
        let (status, _) = ask(&ann, "POST", "/v1/chat/completions", &[], Some(body.clone())).await;
        assert!((400..500).contains(&status), "{body}");
    }

    // AG-UI and the AI SDK.
    let said = "tool=calculator {\"expression\": \"6*7\"} say=\"42\"";
    let message =
        json!({"id": "m1", "role": "user", "content": said, "parts": [{"type": "text", "text": said}]});
    let run_agent = json!({"threadId": new_id(), "runId": new_id(), "messages": [message]});
    for told in ["STEP_STARTED", "MESSAGES_SNAPSHOT"] {
        let (status, text) = ask(&ann, "POST", "/ag-ui", &[], Some(run_agent.clone())).await;
        assert!(status == 200 && text.contains(told) && text.contains("RUN_FINISHED"), "{text}");
    }
    assert_eq!(ask(&ann, "GET", "/ag-ui", &[], None).await.0, 200);
    let forged = json!({"id": "m1", "role": "user", "content": "x"});
    let next = json!({"id": "m2", "role": "user", "content": "y"});
    let forged = json!({"threadId": run_agent["threadId"], "runId": new_id(), "messages": [forged, next]});
    assert_eq!(ask(&ann, "POST", "/ag-ui", &[], Some(forged)).await.0, 409);
    let chat = json!({"id": new_id(), "messages": [message]});
    let (status, text) = ask(&ann, "POST", "/api/chat", &[], Some(chat)).await;
    assert!(status == 200 && text.contains("42") && text.contains("[DONE]"), "{text}");
    assert_eq!(ask(&ann, "GET", "/api/chat/{id}/stream", &[&session], None).await.0, 204);
    let empty = json!({"id": new_id(), "messages": []});
    assert_eq!(ask(&ann, "POST", "/api/chat", &[], Some(empty)).await.0, 400);
    for id in ["a.b", "%ff"] {
        assert_eq!(ask(&ann, "GET", "/api/chat/{id}/stream", &[id], None).await.0, 400);
    }

    // What other clients speak. The calls that need a live run are refused here, as described.
    for path in ["/.well-known/agent-card.json", "/ping"] {
        assert_eq!(ask("", "GET", path, &[], None).await.0, 200);
    }
    let response = json!({"model": "loquat", "input": "hello"});
    let (status, response) = ask(&ann, "POST", "/v1/responses", &[], Some(response)).await;
    assert_eq!(status, 200, "{response}");
    let response: Value = serde_json::from_str(&response).unwrap();
    let response = response["id"].as_str().unwrap();
    assert_eq!(ask(&ann, "GET", "/v1/responses/{id}", &[response], None).await.0, 200);
    ask(&ann, "POST", "/v1/responses/{id}/cancel", &[response], None).await;
    for route in described.routes() {
        let speaks = ["/invocations", "/a2a/message:send", "/a2a/message:stream", "/mcp"];
        if speaks.contains(&route.path.as_str()) && route.method == "POST" {
            let (status, text) = ask(&ann, "POST", &route.path, &[], route.body).await;
            assert_eq!(status, 200, "{} {text}", route.path);
        }
    }
    assert_eq!(ask(&ann, "GET", "/a2a/tasks/{id}", &[&run], None).await.0, 200);
    for verb in ["cancel", "subscribe"] {
        let (status, _) = ask(&ann, "POST", &format!("/a2a/tasks/{{id}}:{verb}"), &[&run], None).await;
        assert_eq!(status, 400, "{verb}");
    }
    assert_eq!(ask(&ann, "GET", "/mcp", &[], None).await.0, 405);

    // What is wrong, each with its status and its code.
    let cases: Vec<(&str, &str, &str, Option<Value>, &str)> = vec![
        ("POST", "/chat", "", Some(json!({"message": " "})), "empty_message"),
        ("POST", "/chat", "", Some(json!({"message": "x".repeat(4_001)})), "message_too_long"),
        ("POST", "/chat", "", Some(json!({"message": "x".repeat(10_001)})), "body_too_large"),
        ("POST", "/chat", "", Some(json!({"message": "x", "y": 1})), "unknown_field"),
        ("POST", "/chat", "", Some(json!({"message": 1})), "invalid_field"),
        ("POST", "/chat", "", Some(json!({"message": "x", "session_id": "a/b"})), "invalid_session_id"),
        ("POST", "/chat", "", Some(json!({"message": "x", "run_id": ""})), "invalid_run_id"),
        ("POST", "/chat", "", Some(json!({"message": "x", "run_id": run})), "run_conflict"),
        (
            "POST",
            "/chat",
            "",
            Some(json!({"message": "x", "session_id": session, "history_length": 99})),
            "invalid_field",
        ),
        ("POST", "/chat", "", None, "unsupported_media_type"),
        ("GET", "/runs/{id}/events?after=x", &run, None, "invalid_request"),
        ("GET", "/runs/{id}/events", "a.b", None, "invalid_run_id"),
        ("GET", "/runs/{id}/events", "%ff", None, "invalid_request"),
        ("GET", "/runs/{id}/events", "none", None, "not_found"),
        ("POST", "/runs/{id}/stop", "none", None, "not_found"),
        ("POST", "/runs/{id}/approvals", &run, Some(json!({"approvals": []})), "invalid_field"),
        ("POST", "/runs/{id}/feedback", &run, Some(json!({"rating": "so-so"})), "invalid_field"),
        ("GET", "/sessions?limit=0", "", None, "invalid_field"),
        ("GET", "/sessions?cursor=x", "", None, "invalid_field"),
        ("GET", "/sessions/{id}", "none", None, "not_found"),
        ("PATCH", "/sessions/{id}", &session, Some(json!({"title": " "})), "invalid_field"),
        ("DELETE", "/memory/{id}", "none", None, "not_found"),
        ("GET", users, "ann", None, "not_found"),
        ("GET", usage, "ann", None, "not_found"),
        ("GET", "/metrics", "", None, "not_found"),
        ("GET", "/usage?days=0", "", None, "invalid_field"),
        ("GET", "/usage?run_id=none", "", None, "not_found"),
    ];
    for (method, path, id, body, code) in cases {
        let ids: &[&str] = if id.is_empty() { &[] } else { &[id] };
        let (status, text) = ask(&ann, method, path, ids, body.clone()).await;
        assert!(text.contains(&format!("\"code\":\"{code}\"")), "{method} {path} {body:?}: {status} {text}");
    }
    let file = json!({"name": "a.png", "media_type": "image/png", "data": "SGVsbG8="});
    let large = json!({"name": "a.txt", "media_type": "text/plain", "data": "A".repeat(2_000)});
    for (attachment, code) in [(file, "invalid_attachment"), (large, "attachment_too_large")] {
        let body = json!({"message": "x", "attachments": [attachment]});
        let (_, text) = ask(&ann, "POST", "/chat", &[], Some(body)).await;
        assert!(text.contains(code), "{text}");
    }

    assert_eq!(ask(&ann, "DELETE", "/sessions/{id}", &[&session], None).await.0, 204);
    let (left, _) = served.converse(&ann).await;
    assert_eq!(
        ask(&chief, "DELETE", "/admin/users/{user}/sessions/{id}", &["ann", &left], None).await.0,
        204
    );
    assert_eq!(ask(&chief, "DELETE", users, &["ann"], None).await.0, 200);
    assert_eq!(ask(&ann, "DELETE", "/sessions", &[], None).await.0, 200);

    // Live runs, and those that wait for consent, are the subject of other tests; all else was seen to work here.
    let live = [
        ("POST", "/runs/{id}/approvals"),
        ("POST", "/v1/responses/{id}/cancel"),
        ("POST", "/a2a/tasks/{id}:cancel"),
        ("POST", "/a2a/tasks/{id}:subscribe"),
        ("GET", "/mcp"),
    ];
    let seen = seen.into_inner();
    for route in described.routes() {
        let worked = seen.iter().any(|(method, path, status)| {
            *method == route.method && *path == route.path && (200..300).contains(status)
        });
        assert!(
            worked || live.contains(&(route.method.as_str(), route.path.as_str())),
            "{} {} was never seen to work",
            route.method,
            route.path
        );
    }
}
