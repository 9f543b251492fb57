//! Conversations: list, rename, search, export, delete, expire.

use serde_json::{Value, json};

use crate::support::{ModelServer, Server, answer_of};

#[tokio::test]
async fn list_rename_search_export_delete() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    for (id, message) in
        [("one", "About apples\nand more"), ("two", "About pears"), ("three", &"x".repeat(100))]
    {
        server.turn(&mut model, &json!({"message": message, "session_id": id}), &["Fruit answer"]).await;
    }
    let titles = |body: &Value| -> Vec<String> {
        body["sessions"].as_array().unwrap().iter().map(|s| s["title"].as_str().unwrap().to_owned()).collect()
    };
    let listed = until(&server, "/sessions", |body| {
        body["sessions"].as_array().is_some_and(|s| s.len() == 3 && s[0]["message_count"] == 2)
    })
    .await;
    // A word without an end is cut so that the title, with its ellipsis, has 80 characters.
    let long = format!("{}…", "x".repeat(79));
    assert_eq!(titles(&listed), [long.as_str(), "About pears", "About apples"]);
    let (_, page) = server.get("/sessions?limit=2").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, rest) = server.get(&format!("/sessions?limit=2&cursor={cursor}")).await;
    assert_eq!(titles(&rest), ["About apples"]);
    assert!(rest.get("next_cursor").is_none());

    let found =
        until(&server, "/sessions?q=pears", |body| body["sessions"].as_array().is_some_and(|s| s.len() == 1))
            .await;
    assert_eq!(titles(&found), ["About pears"]);
    // In the text too.
    until(&server, "/sessions?q=more", |body| titles(body) == ["About apples"]).await;

    let renamed =
        server.http.patch(format!("{}/sessions/one", server.url)).json(&json!({"title": "Apples!"}));
    let (status, summary) = answer_of(renamed.send().await.unwrap()).await;
    assert_eq!((status, &summary["title"]), (200, &json!("Apples!")));
    // A new message does not undo it.
    server.turn(&mut model, &json!({"message": "more", "session_id": "one"}), &["ok"]).await;
    assert_eq!(server.get("/sessions/one").await.1["title"], "Apples!");

    let markdown = server
        .http
        .get(format!("{}/sessions/one/export?format=md", server.url))
        .send()
        .await
        .unwrap()
        .text()
        .await;
    insta::assert_snapshot!(markdown.unwrap(), @r"
    # Apples!

    ## User

    About apples
    and more

    ## Assistant

    Fruit answer

    ## User

    more

    ## Assistant

    ok
    ");
    let (_, exported) = server.get("/sessions/one/export?format=json").await;
    assert_eq!(exported["messages"].as_array().unwrap().len(), 4);

    let delete = |path: &str| server.http.delete(format!("{}{path}", server.url)).send();
    assert_eq!(delete("/sessions/one").await.unwrap().status(), 204);
    assert_eq!(delete("/sessions/one").await.unwrap().status(), 404);
    assert_eq!(server.get("/sessions/one").await.0, 404);
    let (_, deleted) = answer_of(delete("/sessions").await.unwrap()).await;
    assert_eq!(deleted, json!({"deleted": 2}));
    assert_eq!(server.get("/sessions").await.1["sessions"], json!([]));
}

#[tokio::test]
async fn the_list_comes_in_pages_of_fifty_newest_first() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "0")]).await;
    for n in 0..103 {
        let body = json!({"message": format!("question {n}"), "session_id": format!("s{n}")});
        server.turn(&mut model, &body, &["A pomegranate", " is red."]).await;
    }
    // A second turn: it is the newest now, and counts four messages.
    server.turn(&mut model, &json!({"message": "more", "session_id": "s0"}), &["ok"]).await;
    until(&server, "/sessions?limit=1", |body| body["sessions"][0]["message_count"] == 4).await;
    let mut pages: Vec<Vec<Value>> = Vec::new();
    let mut path = "/sessions".to_owned();
    loop {
        let (status, page) = server.get(&path).await;
        assert_eq!(status, 200, "{page}");
        pages.push(page["sessions"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/sessions?cursor={cursor}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 3]);
    let listed: Vec<&str> = pages.iter().flatten().map(|s| s["session_id"].as_str().unwrap()).collect();
    let expected: Vec<String> = std::iter::once(0).chain((1..103).rev()).map(|n| format!("s{n}")).collect();
    assert_eq!(listed, expected);
    let counts: Vec<u64> = pages.iter().flatten().map(|s| s["message_count"].as_u64().unwrap()).collect();
    assert_eq!(counts[0], 4);
    assert!(counts[1..].iter().all(|count| *count == 2), "{counts:?}");
    // What was found comes in pages, too: by what the agent said, and by the title alone.
    let (_, found) = server.get("/sessions?q=pomegranate").await;
    assert_eq!(found["sessions"].as_array().unwrap().len(), 50);
    assert!(found["next_cursor"].is_string());
    let rename = server.http.patch(format!("{}/sessions/s7", server.url)).json(&json!({"title": "Zebras"}));
    assert!(rename.send().await.unwrap().status().is_success());
    let found = until(&server, "/sessions?q=zebras", |body| body["sessions"][0]["title"] == "Zebras").await;
    assert_eq!(found["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_expires() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[("LOQUAT_SESSION_TTL", "1s")]).await;
    server.turn(&mut model, &json!({"message": "hi", "session_id": "s"}), &["ok"]).await;
    until_status(&server, "/sessions/s", 404).await;
    // The id begins anew.
    let (_, request) =
        server.turn(&mut model, &json!({"message": "again", "session_id": "s"}), &["ok"]).await;
    assert_eq!(request["messages"].as_array().unwrap().len(), 1);
}

/// The list is updated beside the turn: asks until it shows what is wanted.
async fn until(server: &Server, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let (_, body) = server.get(path).await;
        if wanted(&body) {
            return body;
        }
        assert!(std::time::Instant::now() < deadline, "{path}: {body}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn until_status(server: &Server, path: &str, wanted: u16) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while server.get(path).await.0 != wanted {
        assert!(std::time::Instant::now() < deadline, "{path}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
