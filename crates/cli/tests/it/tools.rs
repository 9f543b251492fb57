//! Tools of the owner's: what is broken is named and takes nothing down, what they send arrives, what they did is not
//! done twice.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::examples::path;
use crate::support::{ModelServer, PATIENCE, Server, answer_of, binary, history, text_of};

/// A module with a tool that sends events, one that says a lot, and one that has an effect and does not come back.
const GOOD: &str = r#"
import os
import time

from strands import tool

try:
    from index import emit_sse_event
except ImportError:
    def emit_sse_event(event_type, data):
        pass


@tool
def report(city: str) -> str:
    """Reports.

    Args:
        city: Where
    """
    emit_sse_event("preview", {"city": city})
    return "sunny in " + city


@tool
def long() -> str:
    """Says a lot."""
    return "x" * 100_000 + "THE-END"


@tool
def pay(amount: int) -> str:
    """Pays."""
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{amount}\n")
    time.sleep(600)
    return "paid"
"#;

/// An agent with those tools, a module that is broken, and three servers that are not there.
struct Agent {
    folder: tempfile::TempDir,
}

impl Agent {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tools = folder.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        std::fs::write(tools.join("good.py"), GOOD).unwrap();
        std::fs::write(tools.join("broken.py"), "import os\n\ndef oops(:\n    pass\n").unwrap();
        let ledger = folder.path().join("ledger");
        let toml = format!(
            "tools = [\"calculator\"]\nconnect_wait_ms = 50000\n[python]\nenv = {{ LEDGER = {ledger:?} }}\n\
             [[mcp]]\nname = \"missing\"\ncommand = \"/nonexistent/server\"\n\
             [[mcp]]\nname = \"closed\"\nurl = \"http://127.0.0.1:9/mcp\"\n\
             [[openapi]]\nname = \"shop\"\ndocument = \"nowhere.json\"\n"
        );
        std::fs::write(folder.path().join("loquat.toml"), toml).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ledger(&self) -> String {
        std::fs::read_to_string(self.path().join("ledger")).unwrap_or_default()
    }

    /// Waits until the tool is at work.
    async fn paid(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.ledger().is_empty() {
            assert!(Instant::now() < deadline, "the tool was not called");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn serve(&self, model: &ModelServer) -> Server {
        let file = self.path().join("loquat.toml");
        Server::start(model, &[("LOQUAT_CONFIG", file.to_str().unwrap()), ("PATH", &path())]).await
    }
}

#[tokio::test]
async fn what_is_broken_is_named_and_takes_nothing_down() {
    let mut model = ModelServer::start().await;
    let agent = Agent::new();
    let server = agent.serve(&model).await;
    assert_eq!(server.get("/health").await, (200, json!({"status": "ok"})));
    let events = server.chat(&json!({"message": "6*7?", "events": "all"})).await;
    model.call().await.ask("c", "calculator", &json!({"expression": "6*7"}));
    let request = model.answers(&["42."]).await;
    let offered: Vec<&str> = request["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["function"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(offered, ["calculator", "long", "pay", "report"]);
    assert_eq!(text_of(&events.all().await), "42.");
    assert_eq!(server.get("/health").await.0, 200);

    let env = [
        ("HOME", agent.path().to_str().unwrap()),
        ("PATH", &path()),
        ("MODEL_ID", "openai/test"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1"),
        ("OPENAI_API_KEY", "k"),
    ];
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut command = binary(&env);
    command.arg("check").arg(agent.path());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "Tools     builtin: calculator",
        "Tools     python: long, pay, report",
        "tools/broken.py:3: SyntaxError",
        "Tools     missing: the command could not be started: No such file or directory",
        "Tools     closed: the connection failed: Connection refused",
        "Tools     shop: No such file or directory",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

#[tokio::test]
async fn events_of_a_tool_reach_clients_that_ask_for_everything_and_no_others() {
    let mut model = ModelServer::start().await;
    let agent = Agent::new();
    let server = agent.serve(&model).await;
    for all in [true, false] {
        let events = if all { "all" } else { "text" };
        let stream = server.chat(&json!({"message": "weather?", "events": events})).await;
        model.call().await.ask("c", "report", &json!({"city": "Graz"}));
        let request = model.answers(&["It is sunny."]).await;
        assert!(request["messages"].to_string().contains("sunny in Graz"));
        let frames = stream.all().await;
        let custom: Vec<&Value> = frames.iter().filter(|f| f.event == "custom").map(|f| &f.data).collect();
        let names: Vec<&str> = frames.iter().map(|frame| frame.event.as_str()).collect();
        if all {
            assert_eq!(custom, [&json!({"name": "preview", "data": {"city": "Graz"}})]);
        } else {
            assert_eq!(names, ["metadata", "", "done"]);
        }
    }
}

#[tokio::test]
async fn a_long_result_is_cut_for_the_model_and_kept_in_the_log() {
    let mut model = ModelServer::start().await;
    let agent = Agent::new();
    let server = agent.serve(&model).await;
    let stream = server.chat(&json!({"message": "a lot", "run_id": "r", "events": "all"})).await;
    model.call().await.ask("c", "long", &json!({}));
    let request = model.answers(&["That was long."]).await;
    let told = request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    assert!(told.contains("[cut here: 34471 more bytes were left out]") && !told.contains("THE-END"));
    assert!(told.len() > 64 * 1024 && told.len() < 65 * 1024, "{}", told.len());
    stream.all().await;
    let kept = files(server.data()).into_iter().any(|file| {
        std::fs::read(file).is_ok_and(|bytes| bytes.windows(7).any(|window| window == b"THE-END"))
    });
    assert!(kept, "the rest is in the run's log");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn an_effect_that_a_crash_interrupted_is_not_repeated_and_its_outcome_is_unknown() {
    let mut model = ModelServer::start().await;
    let agent = Agent::new();
    let server = agent.serve(&model).await;
    let stream =
        server.chat(&json!({"message": "pay", "session_id": "s", "run_id": "r", "events": "all"})).await;
    model.call().await.ask("c", "pay", &json!({"amount": 5}));
    agent.paid().await;
    let server = server.kill_and_restart().await;
    let frames = stream.all().await;
    assert!(!frames.iter().any(|frame| frame.event == "tool_result"), "{frames:?}");
    // The user is told, by the session and by the run; the model, with the next message.
    let (_, session) = server.get("/sessions/s").await;
    let result = &session["messages"][2]["content"][0]["toolResult"];
    assert_eq!((&result["toolUseId"], &result["status"]), (&json!("c"), &json!("error")), "{session}");
    assert!(result["content"][0]["text"].as_str().unwrap().contains("outcome is unknown"), "{session}");
    let (_, request) =
        server.turn(&mut model, &json!({"message": "and?", "session_id": "s"}), &["I do not know."]).await;
    assert!(request["messages"].to_string().contains("outcome is unknown"), "{request}");
    assert_eq!(history(&server, "s").await.last().unwrap(), "assistant: I do not know.");
    assert_eq!(agent.ledger(), "5\n", "it was paid once");
}

#[tokio::test]
async fn a_stop_during_a_tool_ends_the_run_and_the_session_goes_on() {
    let mut model = ModelServer::start().await;
    let agent = Agent::new();
    let server = agent.serve(&model).await;
    let stream =
        server.chat(&json!({"message": "pay", "session_id": "s", "run_id": "r", "events": "all"})).await;
    let call = model.call().await;
    call.say("Let me pay.");
    call.ask("c", "pay", &json!({"amount": 5}));
    agent.paid().await;
    let asked = Instant::now();
    let (status, receipt) = answer_of(server.post("/runs/r/stop", &json!({})).send().await.unwrap()).await;
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
    assert_eq!((status, &receipt["outcome"], &receipt["text_kept"]), (200, &json!("cancelled"), &json!(11)));
    let frames = stream.all().await;
    assert_eq!(frames.last().unwrap().data["outcome"], "cancelled");
    let result = frames.iter().find(|frame| frame.event == "tool_result").unwrap();
    assert_eq!(result.data["is_error"], true);
    assert!(result.data["output"].as_str().unwrap().contains("outcome is unknown"), "{result:?}");
    let (_, request) =
        server.turn(&mut model, &json!({"message": "and?", "session_id": "s"}), &["I do not know."]).await;
    assert!(request["messages"].to_string().contains("outcome is unknown"), "{request}");
    assert_eq!(agent.ledger(), "5\n");
}
