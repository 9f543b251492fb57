//! `/memory`: what the agent keeps about a user, theirs to see and to delete.

use super::*;

/// Lets the agent keep something, as a user would see it happen.
async fn tell(served: &Served, token: &str, text: &str) {
    let save = json!({"action": "save", "fact": text});
    let (status, answer) = served.chat(token, &json!({"message": format!("tool=memory {save}")})).await;
    assert!(status.is_success() && answer.contains("event: done"), "{answer}");
}

async fn ask(served: &Served, token: &str, method: &str, path: &str) -> (u16, Value) {
    let answer = served.request(method, path).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn facts(served: &Served, token: &str) -> Vec<(String, String)> {
    let (status, body) = ask(served, token, "GET", "/memory").await;
    assert_eq!(status, 200);
    let text = |fact: &Value, name: &str| fact[name].as_str().unwrap().to_owned();
    body["facts"].as_array().unwrap().iter().map(|fact| (text(fact, "id"), text(fact, "text"))).collect()
}

fn texts(facts: &[(String, String)]) -> Vec<&str> {
    facts.iter().map(|(_, text)| text.as_str()).collect()
}

#[tokio::test]
async fn facts_are_listed_and_deleted_one_by_one_and_all_at_once_by_their_user_alone() {
    let ((ann, ann_entry), (bob, bob_entry)) = (key("ann"), key("bob"));
    let entries = format!("{ann_entry},{bob_entry}");
    let settings =
        [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entries.as_str()), ("LOQUAT_TOOLS", "memory")];
    let served = serve(&settings, "say=\"noted\"").await;
    for text in ["likes tea", "has a cat", "lives in Oslo"] {
        tell(&served, &ann, text).await;
    }
    tell(&served, &bob, "likes coffee").await;
    let anns = facts(&served, &ann).await;
    assert_eq!(texts(&anns), ["likes tea", "has a cat", "lives in Oslo"], "oldest first");
    let bobs = facts(&served, &bob).await;
    assert_eq!(texts(&bobs), ["likes coffee"]);

    // What is bob's is not there for ann.
    let foreign = ask(&served, &ann, "DELETE", &format!("/memory/{}", bobs[0].0)).await;
    let unknown = ask(&served, &ann, "DELETE", &format!("/memory/{}", new_id())).await;
    assert_eq!((foreign.0, &foreign), (404, &unknown));

    let cat = format!("/memory/{}", anns[1].0);
    assert_eq!(ask(&served, &ann, "DELETE", &cat).await.0, 204);
    assert_eq!(ask(&served, &ann, "DELETE", &cat).await.0, 404, "it is gone");
    assert_eq!(texts(&facts(&served, &ann).await), ["likes tea", "lives in Oslo"]);
    assert_eq!(ask(&served, &ann, "DELETE", "/memory").await, (200, json!({"deleted": 2})));
    assert!(facts(&served, &ann).await.is_empty());
    assert_eq!(texts(&facts(&served, &bob).await), ["likes coffee"], "bob keeps his");

    // The agent does not know any longer what was deleted.
    let list = "tool=memory {\"action\": \"list\"}";
    let body = json!({"message": list, "events": "all"});
    let (_, answer) = served.chat(&ann, &body).await;
    let result = answer.split("event: tool_result\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(!result.contains("tea") && !result.contains("coffee"), "{result}");
}

#[tokio::test]
async fn a_service_that_keeps_nothing_says_so() {
    let (ann, entry) = key("ann");
    let settings = [("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", entry.as_str()), ("LOQUAT_STORE", "none")];
    let served = serve(&settings, "say=\"hi\"").await;
    for (method, path) in [("GET", "/memory"), ("DELETE", "/memory"), ("DELETE", "/memory/x")] {
        let (status, body) = ask(&served, &ann, method, path).await;
        assert_eq!((status, body["code"].as_str()), (404, Some("not_found")), "{method} {path}");
    }
}
