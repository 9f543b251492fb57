//! `loquat chat` in a pipe.

use std::io::Write as _;
use std::process::Stdio;

use sha2::Digest as _;

use crate::support::{ModelServer, Server, binary, history, variable};

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

#[tokio::test]
async fn the_doctor_finds_a_healthy_agent_healthy_whoever_may_use_it() {
    let mut model = ModelServer::start().await;
    let key = "loquat_0123456789abcdef0123456789abcdef0123456789a";
    let hash = sha2::Sha256::digest(key).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let keys = format!("ann={hash}");
    for settings in [&[][..], &[("AUTH_TYPE", "ApiKey"), ("LOQUAT_API_KEYS", &keys)]] {
        let server = Server::start(&model, settings).await;
        let mut args = vec!["doctor", &server.url];
        if !settings.is_empty() {
            args.extend(["--token", key]);
        }
        let child = binary(&[].into()).args(args).spawn().unwrap();
        model.answers(&["one ", "two ", "three ", "four ", "five"]).await;
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && told.ends_with("healthy\n"), "{told}");
        assert!(!told.contains("FAULT") && !told.contains("note"), "{told}");
    }
}

/// The model inside the program, in the terminal: it calls the calculator and the clock.
#[tokio::test]
async fn the_built_in_model_uses_its_tools() {
    let data = tempfile::tempdir().unwrap();
    let weights = ["LOQUAT_MODEL_DIR", "XDG_CACHE_HOME", "HOME"];
    let env = weights
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), variable(name)?)))
        .chain([
            ("LOQUAT_DATA_DIR".to_owned(), data.path().to_str().unwrap().to_owned()),
            ("LOQUAT_TOOLS".to_owned(), "calculator,current_time".to_owned()),
        ])
        .collect();
    for (question, tool, part) in
        [("What is 17*23?", "calculator", "391"), ("What time is it?", "current_time", "")]
    {
        let mut child = binary(&env).args(["chat", "--session", tool]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(!said.trim().is_empty() && said.contains(part), "{question} {said}");
        // What it did stands in the conversation.
        let folder = data.path().join("out");
        let export = binary(&env).args(["export", tool, "--to"]).arg(&folder).output().unwrap();
        assert!(export.status.success(), "{}", String::from_utf8_lossy(&export.stderr));
        let kept = std::fs::read_to_string(folder.join(format!("{tool}.json"))).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["messages"][1]["content"][0]["toolUse"]["name"], tool, "{kept}");
    }
}
