//! Facts are kept per user, found again, and forgotten on request.

use loquat_agent::message::ToolContent;

use super::*;
use crate::tools::testing::context;

fn tool(config: MemoryConfig) -> Memory {
    Memory::new(config, Arc::new(VolatileMemory::default()))
}

async fn call(tool: &Memory, user: Option<&str>, id: &str, input: Value) -> Result<Value, String> {
    let mut cx = context(id).0;
    cx.user = user.map(Into::into);
    let output = tool.call(input, cx).await;
    match output.content.into_iter().next() {
        Some(ToolContent::Json(value)) if !output.is_error => Ok(value),
        Some(ToolContent::Text(text)) if output.is_error => Err(text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn facts_are_kept_listed_and_forgotten() {
    let tool = tool(MemoryConfig::default());
    let saved = call(&tool, Some("ada"), "c1", json!({"action": "save", "fact": "likes tea"})).await.unwrap();
    let again =
        call(&tool, Some("ada"), "c2", json!({"action": "save", "fact": " likes tea "})).await.unwrap();
    assert_eq!(saved, again, "the same fact is kept once");
    let id = saved["saved"]["id"].as_str().unwrap().to_owned();
    let facts = call(&tool, Some("ada"), "c3", json!({"action": "list"})).await.unwrap();
    assert_eq!(facts["facts"].as_array().unwrap().len(), 1);
    call(&tool, Some("ada"), "c4", json!({"action": "delete", "id": id})).await.unwrap();
    let facts = call(&tool, Some("ada"), "c5", json!({"action": "list"})).await.unwrap();
    assert_eq!(facts, json!({"facts": []}));
    call(&tool, Some("ada"), "c6", json!({"action": "delete", "id": id})).await.unwrap_err();
}

#[tokio::test]
async fn nobody_reads_or_deletes_somebody_elses_facts() {
    let tool = tool(MemoryConfig::default());
    let saved = call(&tool, Some("ada"), "c1", json!({"action": "save", "fact": "likes tea"})).await.unwrap();
    let id = saved["saved"]["id"].clone();
    assert_eq!(
        call(&tool, Some("bob"), "c2", json!({"action": "list"})).await.unwrap(),
        json!({"facts": []})
    );
    call(&tool, Some("bob"), "c3", json!({"action": "delete", "id": id})).await.unwrap_err();
    assert!(call(&tool, None, "c4", json!({"action": "list"})).await.unwrap_err().contains("signed in"));
}

#[tokio::test]
async fn a_repeated_call_and_a_full_store_change_nothing() {
    let tool = tool(MemoryConfig { max_facts: 1, without_sign_in: true });
    call(&tool, None, "c1", json!({"action": "save", "fact": "a"})).await.unwrap();
    call(&tool, None, "c1", json!({"action": "save", "fact": "a"})).await.unwrap();
    assert!(
        call(&tool, None, "c2", json!({"action": "save", "fact": "b"})).await.unwrap_err().contains("limit")
    );
    let long = "x".repeat(MAX_FACT + 1);
    call(&tool, None, "c3", json!({"action": "save", "fact": long})).await.unwrap_err();
}
