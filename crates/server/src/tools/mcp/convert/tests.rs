//! What MCP servers send, in every shape that is allowed and some that are not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tools::config::McpProtocol;
use crate::tools::mcp::Transport;

fn settings(allow: &[&str], deny: &[&str]) -> Settings {
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    Settings {
        name: "s".into(),
        transport: Transport::Stdio {
            command: "x".into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
        },
        protocol: McpProtocol::Auto,
        allow: strings(allow),
        deny: strings(deny),
        approval: None,
        resources: true,
        connect_timeout: Duration::from_secs(1),
        call_timeout: Duration::from_secs(7),
    }
}

fn tool(value: Value) -> Tool {
    serde_json::from_value(value).unwrap()
}

#[test]
fn lists_decide_what_is_offered_and_bad_schemas_are_named() {
    let tools = || {
        vec![
            tool(json!({"name": "read_file", "inputSchema": {"type": "object"}})),
            tool(json!({"name": "read_dir", "inputSchema": {}})),
            tool(json!({"name": "write", "inputSchema": {"type": "object"}})),
            tool(json!({"name": "bad", "inputSchema": {"type": "object", "properties": {"a": {"type": 5}}}})),
            tool(json!({"name": "list", "inputSchema": {"type": "array"}})),
            tool(json!({"name": "write", "inputSchema": {}})),
        ]
    };
    let names = |settings: &Settings| {
        let (tools, problems) = check_tools(tools(), settings);
        (tools.into_iter().map(|tool| tool.name).collect::<Vec<_>>(), problems.len())
    };
    assert_eq!(names(&settings(&[], &[])), (vec!["read_file".into(), "read_dir".into(), "write".into()], 3));
    assert_eq!(names(&settings(&["read_*"], &["*_dir"])), (vec!["read_file".into()], 0));
}

#[test]
fn annotations_are_honoured() {
    let spec = |hints: Value| {
        let listed = tool(json!({"name": "t", "inputSchema": {}, "annotations": hints}));
        spec(&listed, Duration::from_secs(7)).unwrap()
    };
    let reader = spec(json!({"readOnlyHint": true, "destructiveHint": true}));
    assert!(reader.read_only && !reader.needs_approval && !reader.has_effects());
    let writer = spec(json!({"destructiveHint": true, "idempotentHint": true}));
    assert!(writer.needs_approval && writer.idempotent && !writer.read_only);
    let plain = spec(json!({}));
    assert!(!plain.needs_approval && plain.has_effects());
    assert_eq!(plain.timeout, Duration::from_secs(7));
}

#[test]
fn structured_content_stands_once() {
    let read = |value: Value| output(serde_json::from_value(value).unwrap());
    let both =
        read(json!({"content": [{"type": "text", "text": "{\"a\": 1}"}], "structuredContent": {"a": 1}}));
    assert_eq!(both.content, [ToolContent::Json(json!({"a": 1}))]);
    let differ = read(json!({"content": [{"type": "text", "text": "one"}], "structuredContent": {"a": 1}}));
    assert_eq!(differ.content.len(), 2);
    let list = read(json!({"content": [], "structuredContent": [1, 2]}));
    assert_eq!(list.content, [ToolContent::Text("[1,2]".into())]);
    assert!(read(json!({"content": [], "isError": true})).is_error);
}

#[test]
fn pictures_are_pictures_and_what_cannot_be_shown_is_named() {
    let block = |value: Value| block_content(serde_json::from_value(value).unwrap());
    let image = block(json!({"type": "image", "data": "AAEC", "mimeType": "image/png"}));
    assert_eq!(
        image,
        ToolContent::Image(Image { format: "png".into(), source: Source::Bytes(Bytes(vec![0, 1, 2])) })
    );
    for broken in [
        json!({"type": "image", "data": "%%", "mimeType": "image/png"}),
        json!({"type": "audio", "data": "AAEC", "mimeType": "audio/wav"}),
        json!({"type": "resource", "resource": {"uri": "x:", "blob": "AAEC", "mimeType": "application/zip"}}),
    ] {
        assert!(matches!(block(broken), ToolContent::Text(note) if note.starts_with('[')));
    }
}

proptest! {
    #[test]
    fn no_schema_gets_through_that_cannot_be_compiled(text in "[{}\\[\\]\":,a-z0-9 $]{0,60}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text)
            && let Ok(schema) = check_schema(value)
        {
            prop_assert!(jsonschema::validator_for(&schema).is_ok());
            prop_assert_eq!(&schema["type"], "object");
        }
    }
}
