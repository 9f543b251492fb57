//! The programs in docs/clients.md, run as they stand (but for the address) by the clients they are written for.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::openai::mock;
use crate::support::{ModelServer, PATIENCE, Server, history};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The first block of a language below a heading of the page.
fn block(heading: &str, language: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/clients.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).expect("a block");
    block.split("\n```").next().unwrap().to_owned()
}

/// A server where nobody signs in, with a model that answers by itself.
async fn serve() -> Server {
    let model = Box::leak(Box::new(mock().await));
    let url = format!("{}/v1", model.url());
    Server::start(&ModelServer::start().await, &[("OPENAI_BASE_URL", &url)]).await
}

/// Runs a program of the page against the server; gives what it printed.
async fn run(server: &Server, heading: &str, language: &str) -> String {
    let text = block(heading, language).replace("http://127.0.0.1:8080", &server.url);
    let clients = root().join("crates/cli/tests/clients");
    let folder = tempfile::tempdir().unwrap();
    let mut command = match language {
        "js" => {
            let modules = folder.path().join("node_modules");
            std::fs::create_dir(&modules).unwrap();
            for name in ["@ag-ui", "openai"] {
                std::os::unix::fs::symlink(clients.join("node_modules").join(name), modules.join(name))
                    .unwrap();
            }
            std::os::unix::fs::symlink(root().join("clients/js"), modules.join("loquat-client")).unwrap();
            let file = folder.path().join("program.mjs");
            std::fs::write(&file, text).unwrap();
            let mut command = Command::new("node");
            command.arg(file);
            command
        }
        "python" => {
            // Who calls AWS is led here.
            let aws = format!(
                "import agentcore_door, boto3\n\
                 boto3.setup_default_session(region_name='us-east-1', aws_access_key_id='x', aws_secret_access_key='y')\n\
                 agentcore_door.install(boto3.DEFAULT_SESSION.events, '{}')\n",
                server.url
            );
            let program = if text.contains("boto3") { aws + &text } else { text };
            let mut command = Command::new(clients.join(".venv/bin/python"));
            command.args(["-c", &program]).env("PYTHONPATH", clients);
            command
        }
        _ => {
            // Each line that begins with `$ ` is a command; comments end it.
            let commands = text.replace("\\\n", " ");
            let lines: Vec<_> = commands.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
            let mut command = Command::new("sh");
            command.args(["-ec", &lines.join("\necho\n")]);
            command
        }
    };
    command.stdin(Stdio::null()).kill_on_drop(true);
    // A proxy of the machine must not stand between them and 127.0.0.1.
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{heading}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// The last answer in a session.
async fn last_answer(server: &Server, session: &str) -> String {
    let said = history(server, session).await;
    said.last().and_then(|line| line.strip_prefix("assistant: ")).expect("an answer").to_owned()
}

#[tokio::test]
async fn curl() {
    let server = serve().await;
    let printed = run(&server, "curl", "console").await;
    assert!(printed.contains("event: metadata\n") && printed.contains("event: done\n"), "{printed}");
    assert!(
        printed.contains("\"type\":\"MESSAGES_SNAPSHOT\"") && printed.contains("\"type\":\"RUN_FINISHED\""),
        "{printed}"
    );
    assert!(printed.contains("\"already_finished\":true"), "{printed}");
}

#[tokio::test]
async fn our_own_package() {
    let server = serve().await;
    let printed = run(&server, "JavaScript", "js").await;
    assert!(printed.trim_end().ends_with("complete"), "{printed}");
    let (_, sessions) = server.get("/sessions").await;
    let session = sessions["sessions"][0]["session_id"].as_str().unwrap();
    assert!(printed.contains(&last_answer(&server, session).await), "{printed}");
}

#[tokio::test]
async fn python_without_a_package() {
    let server = serve().await;
    let printed = run(&server, "Python", "python").await;
    let (_, sessions) = server.get("/sessions").await;
    let session = sessions["sessions"][0]["session_id"].as_str().unwrap();
    assert_eq!(printed, last_answer(&server, session).await);
}

#[tokio::test]
async fn ag_ui() {
    let server = serve().await;
    let printed = run(&server, "AG-UI and CopilotKit", "js").await;
    assert_eq!(printed, last_answer(&server, "demo").await);
}

#[tokio::test]
async fn openais_packages() {
    let server = serve().await;
    assert!(!run(&server, "OpenAI's SDKs", "python").await.is_empty());
    let printed = run(&server, "OpenAI's SDKs", "js").await;
    assert_eq!(printed.lines().last(), Some("response.completed"), "{printed}");
}

#[tokio::test]
async fn a2a() {
    let server = serve().await;
    let printed = run(&server, "Other agents: A2A", "python").await;
    let (_, sessions) = server.get("/sessions").await;
    let session = sessions["sessions"][0]["session_id"].as_str().unwrap();
    assert_eq!(printed, last_answer(&server, session).await);
}

#[tokio::test]
async fn agentcore() {
    let server = serve().await;
    let printed = run(&server, "AgentCore with boto3", "python").await;
    let (_, sessions) = server.get("/sessions").await;
    let session = sessions["sessions"][0]["session_id"].as_str().unwrap();
    assert_eq!(printed.replace('\n', ""), last_answer(&server, session).await);
}
