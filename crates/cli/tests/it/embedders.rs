//! Hosts and other agents: AgentCore by botocore's own service model, A2A and MCP by their SDKs.

use serde_json::json;

use crate::clients::client;
use crate::openai::{KEY, OTHER, mock, signed_in};
use crate::support::answer_of;

#[tokio::test]
async fn botocore_invokes_the_agent() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("agentcore.py", &[&server.url, KEY]).await;
    let session = "s".repeat(33);
    assert_eq!(found["whole"], json!(["application/json", session, "It is 42.\n\nIt is 42.", "complete"]));
    assert_eq!(found["tool"], json!(["calculator"]));
    assert_eq!(found["stream_type"], "text/event-stream");
    assert_eq!(found["text"], "Grüße 👋🏽 you");
    assert_eq!(
        found["kinds"],
        json!([
            "run",
            "messageStart",
            "contentBlockDelta",
            "contentBlockStop",
            "messageStop",
            "metadata",
            "result"
        ])
    );
    assert_eq!((&found["session"], &found["again"]), (&json!(session), &json!(true)));
    assert_eq!(found["blocks"], json!([{"text": "blocks"}]));
    assert_eq!(
        found["errors"],
        json!({"nothing": 400, "unknown_field": 400, "unknown_run": 404, "model": 429})
    );
    assert_eq!(found["stream_error"], json!(["error", "error_type", "message"]));
    assert_eq!(found["ping"], json!(["Healthy", "HealthyBusy", "Healthy", true]));
    assert_eq!(found["ping_rests"], true);
    let (status, error) =
        answer_of(server.post("/invocations", &json!({"prompt": "x"})).send().await.unwrap()).await;
    assert_eq!((status, &error["error_type"]), (401, &json!("unauthorized")));
}

#[tokio::test]
async fn the_a2a_sdk_talks_to_the_agent() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("a2a_tasks.py", &[&server.url, KEY, OTHER]).await;
    assert_eq!(found["card"], json!(["HTTP+JSON", "1.0", true, 1]));
    let kinds: Vec<_> =
        found["kinds"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("task", "status_update"));
    assert_eq!(found["text"], "It is 42.\n\nIt is 42.");
    assert_eq!((&found["end"], &found["tool"]), (&json!("TASK_STATE_COMPLETED"), &json!(["calculator"])));
    assert_eq!(found["task"], json!([true, "TASK_STATE_COMPLETED", true]));
    assert_eq!(found["whole"], json!(["Grüße 👋🏽 you", true]));
    assert_eq!(found["failed"], json!(["TASK_STATE_FAILED", true]));
    assert_eq!(found["running"], "TASK_STATE_WORKING");
    assert_eq!(found["subscribed"], json!(["task", "artifact_update"]));
    assert_eq!(
        (&found["cancelled"], &found["subscriber_end"]),
        (&json!("TASK_STATE_CANCELED"), &json!("TASK_STATE_CANCELED"))
    );
    assert_eq!(found["same_text"], true);
    assert_eq!(
        found["errors"],
        json!({
            "unknown": "TaskNotFoundError",
            "foreign": "TaskNotFoundError",
            "cancel": "TaskNotCancelableError",
            "subscribe": "UnsupportedOperationError",
            "ended": "UnsupportedOperationError",
            "list": "UnsupportedOperationError",
            "empty": "InvalidParamsError",
            "key": "A2AClientError",
        })
    );
    let request = server.post("/a2a/message:send", &json!({})).bearer_auth(KEY).header("a2a-version", "0.3");
    let (status, error) = answer_of(request.send().await.unwrap()).await;
    assert_eq!((status, &error["error"]["details"][0]["reason"]), (400, &json!("VERSION_NOT_SUPPORTED")));
}

#[tokio::test]
async fn the_mcp_sdk_calls_the_agent() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let found = client("mcp.mjs", &[&server.url, KEY]).await;
    assert_eq!(found["server"], json!(["loquat", null, "2025-11-25"]));
    assert_eq!(found["tools"], json!([["ask", ["message", "session_id"], true]]));
    assert_eq!(found["answer"], json!([false, ["It is 42.\n\nIt is 42."], "complete"]));
    let steps = json!(["openai/test is asked", "writes", "runs calculator", "ran calculator", "writes"]);
    assert_eq!(found["progress"], json!([steps, true]));
    assert_eq!(found["session"], json!(["again", true]));
    assert_eq!(found["failed"], json!([true, "model_refused_request"]));
    assert_eq!(
        found["errors"],
        json!({
            "tool": ["McpError", -32602],
            "arguments": ["McpError", -32602],
            "method": ["McpError", -32601],
            "key": ["StreamableHTTPError", 401],
        })
    );
}

/// The revision without a handshake, which the SDK of today does not speak yet: one request says everything, and an answer
/// that was cut goes on at any instance.
#[tokio::test]
async fn mcp_needs_no_handshake() {
    let model = mock().await;
    let server = signed_in(&model, &[]).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}, "progressToken": "p"});
    let post = |body: serde_json::Value, accept: &str| {
        let request = server.post("/mcp", &body).bearer_auth(KEY).header("accept", accept);
        request.header("mcp-protocol-version", "2026-07-28").send()
    };
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}});
    let (status, found) = answer_of(post(discover, "application/json").await.unwrap()).await;
    assert_eq!((status, &found["result"]["supportedVersions"][0]), (200, &json!("2026-07-28")));
    assert_eq!(found["result"]["resultType"], "complete");
    let call = json!({"jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": {"name": "ask", "arguments": {"message": "say=\"one two\""}, "_meta": meta}});
    let (_, whole) = answer_of(post(call.clone(), "application/json").await.unwrap()).await;
    assert_eq!(whole["result"]["content"], json!([{"type": "text", "text": "one two"}]));
    assert_eq!((&whole["id"], &whole["result"]["resultType"]), (&json!("c"), &json!("complete")));

    let text = post(call, "text/event-stream").await.unwrap().text().await.unwrap();
    let frames: Vec<&str> = text.split_inclusive("\n\n").collect();
    assert!(frames.len() > 2, "{text}");
    for cut in 1..frames.len() {
        let id = frames[cut - 1].lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
        let get = |key: &str| {
            server.http.get(format!("{}/mcp", server.url)).bearer_auth(key).header("last-event-id", id).send()
        };
        let rest = get(KEY).await.unwrap().text().await.unwrap();
        assert_eq!(frames[..cut].concat() + &rest, text, "cut after {cut}");
        assert_eq!(get(OTHER).await.unwrap().status(), 404, "somebody else's");
    }
    // Without a cursor there is no stream to open; a version that is not spoken is named.
    let none = server.http.get(format!("{}/mcp", server.url)).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(none.status(), 405);
    let old = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let request = server.post("/mcp", &old).bearer_auth(KEY).header("mcp-protocol-version", "1999-01-01");
    let (status, error) = answer_of(request.send().await.unwrap()).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!(-32022)));
    let (status, error) = answer_of(server.post("/mcp", &old).send().await.unwrap()).await;
    assert_eq!((status, &error["error"]["data"]["code"]), (401, &json!("unauthorized")));
}
