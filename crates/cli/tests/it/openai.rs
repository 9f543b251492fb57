//! OpenAI's own packages for Python and Node against the real binary.

use loquat_bench::mock::{MockServer, Scenario};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::clients::client;
use crate::support::{Events, ModelServer, Server, answer_of};

pub(crate) const KEY: &str = "loquat_key-of-the-tests";
pub(crate) const OTHER: &str = "loquat_key-of-another";

/// A server where two people sign in, with a model that does what the message says.
pub(crate) async fn signed_in(model: &MockServer, more: &[(&str, &str)]) -> Server {
    let hash = |key: &str| Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let keys = format!("me={},other={}", hash(KEY), hash(OTHER));
    let url = format!("{}/v1", model.url());
    let mut settings = vec![("OPENAI_BASE_URL", &*url), ("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &keys)];
    settings.extend([("LOQUAT_TOOLS", "calculator")]);
    settings.extend(more);
    Server::start(&ModelServer::start().await, &settings).await
}

pub(crate) async fn mock() -> MockServer {
    MockServer::start(Scenario::default()).await.unwrap()
}

#[tokio::test]
async fn the_python_package_completes_chats() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("openai_chat.py", &[&server.url, KEY, "loquat"]).await;
    assert_eq!(found["models"], json!(["loquat", "openai/test"]));
    assert_eq!(found["model"], "openai/test");
    assert_eq!(
        found["whole"],
        json!(["chat.completion", "openai/test", "assistant", "Grüße 👋🏽 you", "stop"])
    );
    assert_eq!(found["usage"], true);
    assert_eq!(
        found["stream"],
        json!({"text": "Grüße 👋🏽 you", "roles": ["assistant"], "finish": "stop", "ids": 1, "times": 1,
            "usage": true, "last_choices": []})
    );
    assert_eq!(found["streamed_calls"], json!(["tool_calls", [{"a": 2}, {"a": 3}]]));
    assert_eq!(found["call"], json!(["tool_calls", "It is 3.", "add"]));
    assert_eq!(found["after_call"], json!(["stop", "It is 3."]));
    assert_eq!(
        found["own_tool"],
        json!({"calls": null, "text": "It is 42.\n\nIt is 42.", "finish": "stop",
            "shown": [["calculator", {"expression": "6*7"}, "42"]]})
    );
    assert_eq!(
        found["own_tool_streamed"],
        json!({"calls": false, "text": "It is 42.\n\nIt is 42.",
            "shown": [["run_id"], ["tool_call"], ["tool_result"], ["outcome"]]})
    );
    assert_eq!((&found["length"], &found["filter"]), (&json!("length"), &json!("content_filter")));
    assert_eq!(found["reasoning"], json!([true, "yes"]));
    assert_eq!(found["session"], json!(["two", "chat-py"]));
    assert_eq!(found["session_tool"], "three");
    assert_eq!(found["errors"], errors());
    assert_eq!(found["stream_error"][0], "APIError");

    // What the model read: the client's instructions, its history, and in the session what the server stored.
    let requests = model.requests();
    let read = |text: &str| -> Vec<&Value> {
        let of = |body: &&Value| body["messages"].to_string().contains(text);
        requests.iter().map(|request| &request.body).filter(of).collect()
    };
    let briefed = read("Be brief.");
    assert_eq!(briefed[0]["messages"][0]["role"], "system");
    let roles: Vec<_> = briefed[1]["messages"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    let second = read("say=\\\"two\\\"");
    let said = second[0]["messages"].as_array().unwrap().iter().filter(|m| m["role"] != "system").count();
    assert_eq!(said, 3, "the session's first turn came along");
    // Its wishes too; a tool is forced once.
    let shape = json!({"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]});
    let shaped = read("tool=calculator {\\\"expression\\\": \\\"6*7\\\"} say=\\\"{}\\\"");
    let wishes: Vec<_> = shaped
        .iter()
        .map(|body| json!([body["seed"], body["response_format"], body["tool_choice"]]))
        .collect();
    let form =
        json!({"type": "json_schema", "json_schema": {"name": "sum", "schema": shape, "strict": true}});
    assert_eq!(wishes, [json!([7, form, "required"]), json!([7, form, null])]);
    assert_eq!(read("any object")[0]["response_format"], json!({"type": "json_object"}));
    let named = json!({"type": "function", "function": {"name": "add"}});
    assert_eq!((&read("named")[0]["tool_choice"], &found["forced"]), (&named, &json!("add")));
    // Nothing was stored but the session that was named.
    let (_, list) =
        answer_of(server.http.get(format!("{}/sessions", server.url)).bearer_auth(KEY).send().await.unwrap())
            .await;
    let ids: Vec<_> = list["sessions"].as_array().unwrap().iter().map(|s| &s["session_id"]).collect();
    assert_eq!(ids, ["chat-py"]);
}

/// Class, status, parameter, code, type.
fn errors() -> Value {
    let bad = |param: &str, code: &str| json!(["BadRequestError", 400, param, code, "invalid_request_error"]);
    json!({
        "key": ["AuthenticationError", 401, null, "invalid_api_key", "authentication_error"],
        "model": ["NotFoundError", 404, "model", "model_not_found", "invalid_request_error"],
        "n": bad("n", "unsupported_parameter"),
        "format": bad("response_format.type", "invalid_value"),
        "no_such_tool": bad("tool_choice", "invalid_value"),
        "unknown": bad("top_k", "unknown_parameter"),
        "temperature": bad("temperature", "invalid_value"),
        "messages": bad("messages", "invalid_value"),
        "role": bad("messages[0].role", "invalid_value"),
        "image": bad("messages[0].content[0].image_url.url", "unsupported_parameter"),
        "own_name": bad("tools[0].function.name", "invalid_value"),
        "throttled": ["RateLimitError", 429, null, "rate_limit_exceeded", "rate_limit_error"],
        "refused_by_model": ["BadRequestError", 400, null, "model_refused_request", "invalid_request_error"],
        "embeddings": ["NotFoundError", 404, null, "unknown_url", "invalid_request_error"],
        "method": ["APIStatusError", 405, null, "method_not_allowed", "invalid_request_error"],
        "session": bad("metadata.session_id", "invalid_session_id"),
    })
}

#[tokio::test]
async fn the_node_package_completes_chats() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("openai_chat.mjs", &[&server.url, KEY, "loquat"]).await;
    assert_eq!(found["image"], "A dot.");
    assert_eq!(found["stream"], json!(["Grüße 👋🏽 you", "Grüße 👋🏽 you", "stop"]));
    assert_eq!(found["loop"], "It is 3.");
    assert_eq!(found["loop_roles"], json!(["user", "assistant", "tool", "assistant"]));
    assert_eq!(found["own_tool"], json!([null, "It is 42.\n\nIt is 42.", "42"]));
    assert_eq!(
        found["errors"],
        json!({
            "key": ["AuthenticationError", 401, null, "invalid_api_key"],
            "model": ["NotFoundError", 404, "model", "model_not_found"],
            "n": ["BadRequestError", 400, "n", "unsupported_parameter"],
            "throttled": ["RateLimitError", 429, null, "rate_limit_exceeded"],
            "in_stream": ["APIError", null, null, "model_unavailable"],
        })
    );
}

/// What the model cannot do is refused before anything is said, by the name of the parameter.
#[tokio::test]
async fn wishes_that_the_model_cannot_fulfil_are_refused() {
    let model = mock().await;
    let settings = [("MODEL_ID", "anthropic/test"), ("ANTHROPIC_API_KEY", "k")];
    let server = signed_in(&model, &settings).await;
    let ask = async |route: &str, wish: Value| {
        let mut body = json!({"model": "loquat"});
        if route.ends_with("responses") {
            body["input"] = "hi".into();
        } else {
            body["messages"] = json!([{"role": "user", "content": "hi"}]);
        }
        body.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        let (status, error) =
            answer_of(server.post(route, &body).bearer_auth(KEY).send().await.unwrap()).await;
        (status, error["error"]["param"].clone(), error["error"]["code"].clone())
    };
    let unsupported = |param: &str| (400, json!(param), json!("unsupported_parameter"));
    let chat = "/v1/chat/completions";
    assert_eq!(ask(chat, json!({"seed": 7})).await, unsupported("seed"));
    let object = json!({"type": "json_object"});
    assert_eq!(ask(chat, json!({"response_format": object})).await, unsupported("response_format"));
    assert_eq!(ask(chat, json!({"temperature": 1.5})).await, unsupported("temperature"));
    let text = json!({"text": {"format": object}});
    assert_eq!(ask("/v1/responses", text).await, unsupported("text.format"));
    assert!(model.requests().is_empty());
}

/// The message of a session belongs to its owner, and a run that is not stored is its owner's while it lives.
#[tokio::test]
async fn a_chat_completion_is_its_owners() {
    let mut model = ModelServer::start().await;
    let hash = Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hash_of_other = Sha256::digest(OTHER).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let keys = format!("me={hash},other={hash_of_other}");
    let server = Server::start(&model, &[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &keys)]).await;
    let body = json!({"model": "loquat", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let response = server.post("/v1/chat/completions", &body).bearer_auth(KEY).send().await.unwrap();
    let run = response.headers()["x-loquat-run-id"].to_str().unwrap().to_owned();
    let mut events = Events::new(response);
    let call = model.call().await;
    call.say("Half");
    while events.next().await.unwrap().data["choices"][0]["delta"]["content"] != "Half" {}

    let stop = |key: &str, run: &str| {
        server.http.post(format!("{}/runs/{run}/stop", server.url)).bearer_auth(key).send()
    };
    let foreign = answer_of(stop(OTHER, &run).await.unwrap()).await;
    let unknown = answer_of(stop(OTHER, "unknown").await.unwrap()).await;
    assert_eq!((foreign.0, &foreign), (404, &unknown));
    let (status, receipt) = answer_of(stop(KEY, &run).await.unwrap()).await;
    assert_eq!((status, &receipt["outcome"]), (200, &json!("cancelled")));
    call.hung_up().await;
    let mut last = None;
    while let Some(frame) = events.next_or_done().await {
        last = Some(frame);
    }
    let last = last.unwrap().data;
    assert_eq!(
        (&last["choices"][0]["finish_reason"], &last["loquat"]["outcome"]),
        (&json!("stop"), &json!("cancelled"))
    );

    // A session that is busy refuses in OpenAI's form, and so does a missing key.
    let body = json!({"model": "loquat", "stream": true, "messages": [{"role": "user", "content": "hi"}],
        "metadata": {"session_id": "s"}});
    let _first = server.post("/v1/chat/completions", &body).bearer_auth(KEY).send().await.unwrap();
    let call = model.call().await;
    let second = server.post("/v1/chat/completions", &body).bearer_auth(KEY).send().await.unwrap();
    let (status, error) = answer_of(second).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("session_busy")));
    call.end();
    let (status, error) = answer_of(server.post("/v1/chat/completions", &body).send().await.unwrap()).await;
    assert_eq!((status, &error["error"]["code"]), (401, &json!("invalid_api_key")));
}
