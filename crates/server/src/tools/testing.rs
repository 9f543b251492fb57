//! What the tests of tools share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use loquat_agent::event::Event;
use loquat_agent::message::ToolContent;
use loquat_agent::tool::{ProgressSink, Tool, ToolContext, ToolOutput};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{SourceState, SourceStatus, ToolDeps, Toolbox, config::ToolsConfig};

/// The context of a call, and where its reports arrive.
pub(crate) fn context(call_id: &str) -> (ToolContext, mpsc::Receiver<Event>) {
    let (progress, events) = ProgressSink::channel(call_id);
    let context = ToolContext {
        session_id: "session".into(),
        run_id: "run".into(),
        user: None,
        call_id: call_id.into(),
        cancel: CancellationToken::new(),
        deadline: Instant::now() + Duration::from_secs(60),
        progress,
    };
    (context, events)
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The script of an MCP server from the npm registry.
pub(crate) fn npm_server(name: &str) -> String {
    let path = root().join("tests/node_modules/@modelcontextprotocol").join(name).join("dist/index.js");
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which installs it", path.display());
    path.to_string_lossy().into_owned()
}

/// The interpreter of the test environment, with what `requirements-test.txt` lists.
pub(crate) fn venv_python() -> String {
    let path = root().join(".venv/bin/python");
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which makes it", path.display());
    path.to_string_lossy().into_owned()
}

/// What the server gives to tools, in tests.
#[expect(clippy::disallowed_methods, reason = "tests find programs where the developer has them")]
pub(crate) fn deps() -> ToolDeps {
    let path = std::env::var("PATH").unwrap();
    ToolDeps {
        base_env: vec![("PATH".to_owned(), path), ("LANG".to_owned(), "C.UTF-8".to_owned())],
        ..ToolDeps::default()
    }
}

/// A toolbox from the text of a configuration.
pub(crate) fn toolbox(config: &str) -> Toolbox {
    let config: ToolsConfig = toml::from_str(config).unwrap();
    config.validate().unwrap();
    Toolbox::start(&config, &deps())
}

/// A toolbox with one server: `server.py` in a mode.
pub(crate) fn fixture(mode: &str, more_args: &[&str], more: &str) -> Toolbox {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tools/tests/server.py");
    let mut args = vec!["-u".to_owned(), script.to_string_lossy().into_owned(), mode.to_owned()];
    args.extend(more_args.iter().map(ToString::to_string));
    toolbox(&format!(
        "connect_wait_ms = 20000\n[[mcp]]\nname = \"test\"\ncommand = \"python3\"\nargs = {args:?}\n{more}"
    ))
}

pub(crate) async fn names(toolbox: &Toolbox) -> Vec<String> {
    let mut names: Vec<_> = toolbox.tools().await.iter().map(|tool| tool.spec().name.clone()).collect();
    names.sort();
    names
}

pub(crate) async fn find(toolbox: &Toolbox, name: &str) -> Arc<dyn Tool> {
    let tools = toolbox.tools().await;
    let found = tools.iter().find(|tool| tool.spec().name == name).cloned();
    found.unwrap_or_else(|| panic!("no tool {name}: {:?}", toolbox.status()))
}

pub(crate) async fn call(toolbox: &Toolbox, name: &str, input: Value) -> ToolOutput {
    find(toolbox, name).await.call(input, context("call").0).await
}

/// The text of an output, its JSON blocks as text.
pub(crate) fn words(output: &ToolOutput) -> String {
    let blocks = output.content.iter().map(|block| match block {
        ToolContent::Text(text) => text.clone(),
        ToolContent::Json(value) => value.to_string(),
        other => format!("{other:?}"),
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// Waits until something is so; fails after a while.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for a source to reach a state.
pub(crate) async fn state(toolbox: &Toolbox, name: &str, state: SourceState) -> SourceStatus {
    until(&format!("{name} is {state:?}"), async || {
        toolbox.status().into_iter().find(|source| source.name == name && source.state == state)
    })
    .await
}

/// The processes whose command line holds a text, this one excepted.
pub(crate) fn processes(mark: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
        })
        .collect()
}

pub(crate) fn kill(pids: &[u32]) {
    for pid in pids {
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
        // The death of one may have ended another before its turn came.
        let gone = !std::path::Path::new(&format!("/proc/{pid}")).exists();
        assert!(killed.unwrap().success() || gone, "process {pid} lives");
    }
}
