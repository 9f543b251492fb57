//! Settings of tools, good and bad.

use std::collections::BTreeMap;

use super::{Approval, BuiltinTool, McpProtocol, ToolsConfig, parse_tools_config};

fn read(text: &str) -> Result<ToolsConfig, String> {
    let mut config: ToolsConfig = toml::from_str(text).map_err(|e| e.to_string())?;
    config.expand(&|name| (name == "TOKEN").then(|| "s3cret".to_owned())).map_err(|e| e.to_string())?;
    config.validate().map_err(|e| e.to_string())?;
    Ok(config)
}

#[test]
fn the_whole_form_is_read() {
    let config = read(
        r#"
        tools = ["current_time", "memory"]
        [tool.write_file]
        needs_approval = "untrusted"
        timeout_seconds = 5
        [[mcp]]
        name = "files"
        command = "server-filesystem"
        args = ["/data"]
        env = { KEY = "${TOKEN}" }
        deny = ["write_*"]
        [[mcp]]
        name = "remote"
        url = "https://example.com/mcp"
        bearer_token = "Bearer-${TOKEN}"
        protocol = "2025-06-18"
        needs_approval = true
        "#,
    )
    .unwrap();
    assert_eq!(config.tools, [BuiltinTool::CurrentTime, BuiltinTool::Memory]);
    assert_eq!(config.tool["write_file"].needs_approval, Some(Approval::Untrusted));
    assert_eq!(config.mcp[0].env["KEY"].expose(), "s3cret");
    assert_eq!(config.mcp[1].bearer_token.as_ref().unwrap().expose(), "Bearer-s3cret");
    assert_eq!(config.mcp[1].protocol, McpProtocol::V20250618);
    assert!(!format!("{config:?}").contains("s3cret"), "a secret must not be printable");
}

#[test]
fn what_is_wrong_is_named() {
    let cases = BTreeMap::from([
        ("tools = [\"shell\"]", "shell"),
        ("[[mcp]]\nname = \"a\"", "either command or url"),
        ("[[mcp]]\nname = \"a b\"\ncommand = \"x\"", "mcp[0].name"),
        ("[[mcp]]\nname = \"a\"\nurl = \"ftp://x\"", "mcp[0].url"),
        ("[[mcp]]\nname = \"a\"\ncommand = \"x\"\nbearer_token = \"t\"", "belong to servers with a url"),
        ("[[mcp]]\nname = \"a\"\nurl = \"http://x\"\nheaders = { \"b c\" = \"d\" }", "mcp[0].headers.b c"),
        ("[[mcp]]\nname = \"a\"\ncommand = \"x\"\n[[mcp]]\nname = \"a\"\ncommand = \"y\"", "used twice"),
        ("[[mcp]]\nname = \"a\"\ncommand = \"x\"\nargs = [\"${NOPE}\"]", "NOPE is not set"),
        ("[[mcp]]\nname = \"a\"\ncommand = \"x\"\ntypo = 1", "typo"),
        ("[tool.x]\nneeds_approval = \"maybe\"", "untrusted"),
        ("tools = [\"retrieve\"]", "builtin.retrieve"),
        ("[builtin.current_time]\ntimezone = \"Mars/Olympus\"", "IANA"),
        (
            "[[lambda]]\nname = \"f\"\narn = \"f\"\ndescription = \"\"\nschema = { type = \"string\" }",
            "lambda[0].schema",
        ),
    ]);
    for (text, expected) in cases {
        let error = read(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn tools_config_is_the_references_form() {
    let objects = parse_tools_config(
        r#"[{"bucketName":"b","key":"a.py","isFile":true,"isZipArchive":false},
            {"bucketName":"b","key":"b.zip","isFile":true,"isZipArchive":true,"extra":1}]"#,
    )
    .unwrap();
    assert_eq!(objects.len(), 2);
    assert!(objects[1].is_zip_archive);
    assert_eq!(parse_tools_config(" ").unwrap(), []);
    assert!(parse_tools_config("{}").unwrap_err().to_string().contains("TOOLS_CONFIG"));
}
