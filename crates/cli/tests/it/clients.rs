//! Official clients of the dialects, run as programs against the real binary: `tests/clients/*.mjs` by Node, `*.py` by
//! the Python of the `.venv` there. A script prints one line of JSON, its findings, as the last line of its output.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::support::PATIENCE;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a script to its end; gives what it found. A script that fails fails the test, with what it said.
pub(crate) async fn client(script: &str, arguments: &[&str]) -> Value {
    let (program, installed) = match script.rsplit_once('.') {
        Some((_, "py")) => {
            let python = folder().join(".venv/bin/python");
            (python.clone(), python)
        }
        _ => ("node".into(), folder().join("node_modules/ai/package.json")),
    };
    assert!(
        installed.is_file(),
        "the official clients are not installed: run the tests with `cargo xtask test`"
    );
    let mut command = Command::new(program);
    command.arg(folder().join(script)).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    // A proxy of the machine must not stand between them and 127.0.0.1.
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let output =
        tokio::time::timeout(PATIENCE, command.output()).await.expect("the client ends").expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed ({})\n{out}\n{err}", output.status);
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("{script} printed no JSON\n{out}\n{err}"))
}

/// Every client is there, and says its version.
#[tokio::test]
async fn the_official_clients_are_installed() {
    let versions = client("versions.mjs", &[]).await;
    let names: Vec<_> = versions.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["@ag-ui/client", "@modelcontextprotocol/sdk", "ai", "openai"]);
    let python = client("versions.py", &[]).await;
    let names: Vec<_> = python.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["a2a-sdk", "boto3", "openai"]);
}
