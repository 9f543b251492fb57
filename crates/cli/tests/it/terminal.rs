//! `loquat chat` in a pipe.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{ModelServer, Server, binary, history};

#[tokio::test]
async fn a_pipe_gets_the_answer_and_nothing_else() {
    let mut model = ModelServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let env = [
        ("HOME", home.path().to_str().unwrap()),
        ("MODEL_ID", "openai/test"),
        ("OPENAI_BASE_URL", &model.url),
        ("OPENAI_API_KEY", "k"),
    ];
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut child = binary(&env).arg("chat").stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hi\n").unwrap();
    let request = model.answers(&["Hello ", "there."]).await;
    assert_eq!(request["messages"][0]["content"], "hi");
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Hello there.\n");
    assert!(output.status.success());
}

#[tokio::test]
async fn a_running_agent_is_talked_to_by_its_address() {
    let mut model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let args = ["chat", "--url", &server.url, "--session", "s"];
    let mut child = binary(&[].into()).args(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hi").unwrap();
    model.answers(&["ok"]).await;
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ok\n");
    assert_eq!(history(&server, "s").await, ["user: hi", "assistant: ok"]);
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_named() {
    let mut child = binary(&[].into())
        .args(["chat", "--url", "http://127.0.0.1:1"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hi").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot reach the agent at http://127.0.0.1:1"), "{said}");
}
