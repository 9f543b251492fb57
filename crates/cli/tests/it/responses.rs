//! OpenAI's own packages against `/v1/responses`: chains, resuming, tools, consent.

use serde_json::{Value, json};

use crate::clients::client;
use crate::openai::{KEY, OTHER, mock, signed_in};
use crate::support::{Server, answer_of};

#[tokio::test]
async fn the_python_package_makes_responses() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("openai_responses.py", &[&server.url, KEY, "loquat", OTHER]).await;
    assert_eq!(
        found["whole"],
        json!(["response", "completed", "openai/test", "Grüße 👋🏽 you", "Be brief.", {"a": "b"}])
    );
    assert_eq!((&found["usage"], &found["again"]), (&json!(true), &json!(true)));
    assert_eq!(found["item"], json!(["message", "completed", "output_text"]));
    assert_eq!(found["chain"], json!([true, "three", true]));
    let replaced = json!(["BadRequestError", 400, "previous_response_id", "previous_response_not_found"]);
    assert_eq!(found["fork"], json!(["other", replaced]));

    let kinds: Vec<_> =
        found["events"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["response.created", "response.in_progress"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "response.completed").count(), 1);
    assert_eq!(kinds.last(), Some(&"response.completed"));
    assert!(kinds.contains(&"response.mcp_call.completed"), "{kinds:?}");
    assert_eq!(found["numbers_grow"], true);
    assert_eq!(
        found["done"],
        json!([
            "completed",
            ["reasoning", "message", "mcp_call", "reasoning", "message"],
            "It is 42.It is 42."
        ])
    );
    assert_eq!(found["mcp_call"], json!(["calculator", {"expression": "6*7"}, "42", "completed", "loquat"]));
    assert_eq!(found["resumed"], json!([kinds.len(), true]));
    assert_eq!(found["replayed"], true);
    assert_eq!(found["accumulated"], "Grüße 👋🏽 you");

    assert_eq!(found["call"], json!(["completed", "add", {"a": 1, "b": 2}, "add"]));
    assert_eq!(found["answered"], json!(["completed", "It is 3."]));
    assert_eq!(found["stateless"], "It is 3.");
    assert_eq!(found["seeded"], json!(["and on", "chained"]));
    assert_eq!(found["conversation"], json!(["talk-py", "two"]));
    assert_eq!(found["background"], json!([true, "late"]));
    assert_eq!(found["cancel"], "completed");
    assert_eq!(found["limit"], json!(["incomplete", "max_output_tokens"]));
    let bad = |param: &str, code: &str| json!(["BadRequestError", 400, param, code]);
    assert_eq!(
        found["errors"],
        json!({
            "unknown": ["NotFoundError", 404, null, "not_found"],
            "foreign": ["NotFoundError", 404, null, "not_found"],
            "foreign_previous": replaced,
            "input": bad("input", "invalid_value"),
            "item": bad("input[0].type", "unsupported_parameter"),
            "format": bad("text.format.type", "invalid_value"),
            "choice": bad("tool_choice", "unsupported_parameter"),
            "tool": bad("tools[0].type", "unsupported_parameter"),
            "model": ["NotFoundError", 404, "model", "model_not_found"],
            "throttled": ["RateLimitError", 429, null, "rate_limit_exceeded"],
        })
    );
    assert_eq!(found["failed"], json!(["response.failed", "failed", "server_error"]));
    assert_eq!(found["shaped"], json!(["sum", "add"]));

    // Instructions are for one response, and what went before comes from the server.
    let requests = model.requests();
    let of = |text: &str| {
        // The sentence about tools is in every request.
        let says = |message: &Value| message["role"] != "system" && message.to_string().contains(text);
        let found = requests
            .iter()
            .find(|request| request.body["messages"].as_array().into_iter().flatten().any(says));
        found.unwrap().body["messages"].as_array().unwrap().clone()
    };
    // The agent has tools: a sentence about what they bring in follows.
    assert!(of("Grüße")[0]["content"].as_str().unwrap().starts_with("Be brief.\n\n"));
    let of = |text: &str| -> Vec<Value> {
        of(text).into_iter().filter(|message| message["role"] != "system").collect()
    };
    let third: Vec<_> = of("three").iter().map(|message| message["role"].clone()).collect();
    assert_eq!(third, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(of("other").len(), 3, "the fork knows nothing of what it replaced");
    assert_eq!(of("and on").len(), 5, "the history that the client brought, the agent's tool included");
}

#[tokio::test]
async fn the_node_package_makes_responses() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("openai_responses.mjs", &[&server.url, KEY, "loquat"]).await;
    assert_eq!(found["plain"], json!(["completed", "Grüße 👋🏽 you"]));
    let items = json!(["reasoning", "message", "mcp_call", "mcp_call", "reasoning", "message"]);
    assert_eq!(found["tools"], json!([items, "Done.Done."]));
    assert_eq!(found["terminals"], json!(["response.completed"]));
    assert_eq!(found["call"], json!(["{\"a\":1}", "It is 1."]));
    assert_eq!(found["cut"], "incomplete");
    // What its accumulator lets pass is asserted above: a stream without its end.
    assert_eq!(found["broken"], json!(["Grüße 👋🏽 you", "refused", "refused", "Grüße 👋🏽 you"]));
}

/// A tool that needs consent is asked for in OpenAI's own form, and answered in it.
#[tokio::test]
async fn consent_is_an_mcp_approval() {
    let model = mock().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loquat.toml");
    std::fs::write(&file, "tools = [\"calculator\"]\n[tool.calculator]\nneeds_approval = true\n").unwrap();
    let server = signed_in(&model, &[("LOQUAT_CONFIG", file.to_str().unwrap()), ("LOQUAT_TOOLS", "")]).await;
    let make = async |server: &Server, body: Value| {
        let sent = server.post("/v1/responses", &body).bearer_auth(KEY).send().await.unwrap();
        let (status, response) = answer_of(sent).await;
        assert_eq!(status, 200, "{response}");
        response
    };
    let input = "tool=calculator {\"expression\": \"6*7\"} say=\"It is 42.\"";
    let asked = make(&server, json!({"model": "loquat", "input": input})).await;
    let requests: Vec<_> =
        asked["output"].as_array().unwrap().iter().filter(|i| i["type"] == "mcp_approval_request").collect();
    assert_eq!(requests.len(), 1, "{asked}");
    assert_eq!(
        (&requests[0]["name"], &requests[0]["arguments"]),
        (&json!("calculator"), &json!("{\"expression\":\"6*7\"}"))
    );
    let answer =
        json!([{"type": "mcp_approval_response", "approval_request_id": requests[0]["id"], "approve": true}]);
    let body = json!({"model": "loquat", "input": answer, "previous_response_id": asked["id"]});
    let done = make(&server, body).await;
    let call = done["output"].as_array().unwrap().iter().find(|item| item["type"] == "mcp_call").unwrap();
    assert_eq!((&call["output"], &call["approval_request_id"]), (&json!("42"), &requests[0]["id"]));
    assert_eq!(done["status"], "completed");
    assert!(
        done["output"].as_array().unwrap().iter().any(|item| item["content"][0]["text"] == "It is 42."),
        "{done}"
    );
}

/// A number taken here goes on in the log's own numbering, and a foreign response looks like none.
#[tokio::test]
async fn a_number_is_a_cursor_everywhere() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let body = json!({"model": "loquat", "input": "say=\"one two three\" reasoning=2", "stream": true});
    let sent = server.post("/v1/responses", &body).bearer_auth(KEY).send().await.unwrap();
    let run = sent.headers()["x-loquat-run-id"].to_str().unwrap().to_owned();
    let text = sent.text().await.unwrap();
    let frames: Vec<Value> = text
        .split("\n\n")
        .filter_map(|frame| serde_json::from_str(frame.split_once("data: ")?.1).ok())
        .collect();
    let get = |path: String, key: &str| {
        let request = server.http.get(format!("{}{path}", server.url)).bearer_auth(key);
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        }
    };
    let delta = "response.output_text.delta";
    for frame in &frames {
        let after = frame["sequence_number"].as_u64().unwrap() / 1000;
        let (status, rest) =
            get(format!("/runs/{run}/events?after={after}&dialect=chat&events=text"), KEY).await;
        assert_eq!(status, 200);
        let here: String = frames
            .iter()
            .filter(|known| known["sequence_number"].as_u64() <= frame["sequence_number"].as_u64())
            .filter(|known| known["type"] == delta)
            .filter_map(|known| known["delta"].as_str())
            .collect();
        let there: String = rest
            .split("\n\n")
            .filter_map(|frame| serde_json::from_str::<Value>(frame.split_once("data: ")?.1).ok())
            .filter_map(|data| data["text"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(here + &there, "one two three", "after {frame}");
    }
    // The other way: begun in one dialect, read in the other.
    let (_, again) = get(format!("/runs/{run}/events?after=0&dialect=openai_responses"), KEY).await;
    assert_eq!(again, text);
    for path in ["", "?stream=true&starting_after=5"] {
        let foreign = get(format!("/v1/responses/resp_{run}{path}"), OTHER).await;
        let unknown = get(format!("/v1/responses/resp_unknown{path}"), OTHER).await;
        assert_eq!((foreign.0, &foreign), (404, &unknown));
    }
}
