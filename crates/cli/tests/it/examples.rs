//! Every example as a stranger gets it: copied by `loquat init --example`, then served by the real binary, its tools
//! asked for by a gated model. (`rust-tool` and `embed-in-axum` test themselves, `cdk-include` is tested with the
//! templates.)

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Frame, ModelServer, Server, binary, text_of, variable};

/// The examples that are agents of their own.
const AGENTS: &[&str] = &["hello", "customer-service", "retail-banking", "python-tools", "mcp"];

pub(crate) fn path() -> String {
    variable("PATH").unwrap()
}

/// Copies an example.
fn init(name: &str, folder: &Path) -> String {
    let mut command = binary(&[].into());
    command.args(["init", "--example", name]).arg(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A copy of an example, served. The folder goes with it.
struct Example {
    server: Server,
    _folder: tempfile::TempDir,
}

impl Example {
    async fn start(name: &str, model: &ModelServer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        init(name, folder.path());
        let file = folder.path().join("loquat.toml");
        let settings = [
            ("LOQUAT_CONFIG", file.to_str().unwrap()),
            ("PATH", &path()),
            // The machine may be busy; the first answer waits for the tools.
            ("LOQUAT_CONNECT_WAIT_MS", "50000"),
        ];
        let server = Server::start(model, &settings).await;
        Self { server, _folder: folder }
    }

    /// A turn in which the model uses one tool, reads the result and answers. Gives the frames and what it read.
    async fn uses(&self, model: &mut ModelServer, tool: &str, input: Value) -> (Vec<Frame>, String) {
        let body = json!({"message": "please", "events": "all"});
        let events = self.server.chat(&body).await;
        model.call().await.ask("call-1", tool, &input);
        let request = model.answers(&["Done."]).await;
        let frames = events.all().await;
        assert_eq!(text_of(&frames), "Done.");
        (frames, last_tool_result(&request))
    }

    /// A turn that stops at a tool that needs consent. Gives the run's id.
    async fn asks_for_consent(
        &self,
        model: &mut ModelServer,
        session: &str,
        tool: &str,
        input: Value,
    ) -> String {
        let body = json!({"message": "please", "session_id": session, "events": "all"});
        let events = self.server.chat(&body).await;
        model.call().await.ask("call-1", tool, &input);
        let frames = events.all().await;
        let approval = frames.iter().find(|frame| frame.event == "approval").expect("it asks");
        assert_eq!((&approval.data["name"], &approval.data["input"]), (&json!(tool), &input));
        assert_eq!(frames.last().unwrap().data["outcome"], "interrupted");
        frames[0].data["run_id"].as_str().unwrap().to_owned()
    }

    /// Answers the question; the model reads the result. Gives what it read.
    async fn consents(&self, model: &mut ModelServer, run: &str, approved: bool) -> String {
        let body = json!({"approvals": [{"id": "call-1", "approved": approved}], "events": "all"});
        let response = self.server.post(&format!("/runs/{run}/approvals"), &body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let events = crate::support::Events::new(response);
        let request = model.answers(&["Done."]).await;
        assert_eq!(events.all().await.last().unwrap().data["outcome"], "complete");
        last_tool_result(&request)
    }
}

/// What the model was told of its last tool call.
fn last_tool_result(request: &Value) -> String {
    let messages = request["messages"].as_array().unwrap();
    let result = messages.iter().rev().find(|message| message["role"] == "tool").expect("a tool result");
    let text = result["content"].as_str().expect("text");
    // What tools bring in stands between marks.
    let inside = text.strip_prefix("<tool-output>\n").and_then(|rest| rest.strip_suffix("\n</tool-output>"));
    inside.expect("marked as data").to_owned()
}

fn tool_names(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_agent_can_be_put_on_aws_as_it_is() {
    for name in AGENTS {
        let folder = tempfile::tempdir().unwrap();
        let said = init(name, folder.path());
        assert!(said.contains("loquat.toml"), "{said}");
        let output = binary(&[].into()).arg("synth").arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Those that are no agents of their own as well: each can be had, and says how it is tried.
#[test]
fn every_example_is_copied_by_its_name() {
    for name in AGENTS.iter().chain(&["rust-tool", "embed-in-axum", "cdk-include"]) {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        assert!(init(name, &copy).contains("Try it: cd "), "{name}");
        let original =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).join("README.md");
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&copy.join("README.md")), read(&original), "{name}");
    }
}

#[test]
fn a_name_that_is_none_lists_those_that_are() {
    let output = binary(&[].into()).args(["init", "--example", "banking"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("invalid value 'banking'"), "{said}");
    assert!(said.contains("retail-banking") && said.contains("embed-in-axum"), "{said}");
}

#[test]
fn a_rust_example_names_its_clone_of_loquat() {
    let folder = tempfile::tempdir().unwrap();
    let said = init("rust-tool", &folder.path().join("tool"));
    assert!(said.contains("cargo run") && said.contains("clone of Loquat"), "{said}");
    let manifest = std::fs::read_to_string(folder.path().join("tool/Cargo.toml")).unwrap();
    assert!(manifest.contains("crates/agent") && !manifest.contains("workspace = true"), "{manifest}");
}

#[tokio::test]
async fn hello() {
    let mut model = ModelServer::start().await;
    let example = Example::start("hello", &model).await;
    let (frames, request) = example.server.turn(&mut model, &json!({"message": "hi"}), &["Hello."]).await;
    assert_eq!(text_of(&frames), "Hello.");
    assert!(request["messages"][0]["content"].as_str().unwrap().starts_with("You are a helpful assistant."));
}

#[tokio::test]
async fn customer_service() {
    let mut model = ModelServer::start().await;
    let example = Example::start("customer-service", &model).await;
    let (_, page) = example.server.get("/config.json").await;
    assert_eq!(page["agent"]["name"], "Customer support");
    assert_eq!(page["agent"]["accent"], "#0f766e");
    assert!(page["agent"]["logo"].as_str().unwrap().starts_with("data:image/svg+xml"), "{page}");
    assert_eq!(page["agent"]["suggestions"].as_array().unwrap().len(), 3);

    let (_, read) = example.uses(&mut model, "order_status", json!({"number": "#1042"})).await;
    assert!(read.contains("on its way"), "{read}");
    let (frames, read) = example.uses(&mut model, "order_status", json!({"number": "7"})).await;
    assert_eq!(read, "There is no order 7.");
    assert!(frames.iter().any(|frame| frame.event == "tool_result" && frame.data["is_error"] == true));

    let ticket = json!({"subject": "Broken hose", "summary": "It leaks."});
    let run = example.asks_for_consent(&mut model, "s", "open_ticket", ticket).await;
    let read = example.consents(&mut model, &run, true).await;
    assert!(read.starts_with("Ticket ") && read.ends_with(" is open: Broken hose"), "{read}");
}

#[tokio::test]
async fn retail_banking() {
    let mut model = ModelServer::start().await;
    let example = Example::start("retail-banking", &model).await;

    let input = json!({"since": "2026-10-01", "until": "2026-10-31", "search": "supermarket"});
    let (_, read) = example.uses(&mut model, "transactions", input).await;
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(
        read["transactions"],
        json!([
            {"day": "2026-10-24", "text": "Supermarket", "amount": "-73.48 EUR"},
            {"day": "2026-10-09", "text": "Supermarket", "amount": "-64.12 EUR"},
        ])
    );

    let (_, read) = example.uses(&mut model, "search_faq", json!({"question": "I lost my card!"})).await;
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(read["passages"][0]["heading"], "Lost or stolen card");

    // Declined: nothing moves. Approved: it moves once.
    let transfer = json!({"recipient": "Ada", "euros_amount": 25, "purpose": "lunch"});
    let run = example.asks_for_consent(&mut model, "declined", "transfer", transfer.clone()).await;
    let read = example.consents(&mut model, &run, false).await;
    assert!(!read.contains("were sent"), "{read}");
    let (_, read) = example.uses(&mut model, "balance", json!({})).await;
    assert_eq!(read, "1842.50 EUR");
    let run = example.asks_for_consent(&mut model, "approved", "transfer", transfer).await;
    assert_eq!(example.consents(&mut model, &run, true).await, "25.00 EUR were sent to Ada.");
    let (_, read) = example.uses(&mut model, "balance", json!({})).await;
    assert_eq!(read, "1817.50 EUR");
    let too_much = json!({"recipient": "Ada", "euros_amount": 1_000_000});
    let run = example.asks_for_consent(&mut model, "too-much", "transfer", too_much).await;
    assert_eq!(example.consents(&mut model, &run, true).await, "There is not enough money in the account.");
}

#[tokio::test]
async fn python_tools() {
    let mut model = ModelServer::start().await;
    let example = Example::start("python-tools", &model).await;
    let input = json!({"value": 20, "to": "fahrenheit"});
    let (_, read) = example.uses(&mut model, "convert_temperature", input).await;
    assert_eq!(read, "68.0 °F");
    // An exception is a result that the model reads.
    let (_, read) = example.uses(&mut model, "roll_dice", json!({"count": 1000})).await;
    assert!(read.contains("between 1 and 100 dice"), "{read}");
    let (frames, read) = example.uses(&mut model, "count_slowly", json!({"to": 3})).await;
    assert_eq!(read, "counted to 3");
    assert!(frames.iter().any(|frame| frame.event == "tool_progress"), "{frames:?}");
}

#[tokio::test]
async fn mcp() {
    let mut model = ModelServer::start().await;
    let example = Example::start("mcp", &model).await;
    let note = json!({"text": "The meeting is on Friday."});
    let run = example.asks_for_consent(&mut model, "s", "write", note).await;
    assert_eq!(example.consents(&mut model, &run, true).await, "Kept; there are 1 notes.");
    // It says of itself that it changes nothing: nobody is asked.
    let body = json!({"message": "When?", "events": "all"});
    let events = example.server.chat(&body).await;
    let request = model.call().await.ask("call-1", "search", &json!({"word": "meeting"}));
    assert_eq!(tool_names(&request), ["search", "write"]);
    let request = model.answers(&["On Friday."]).await;
    assert_eq!(last_tool_result(&request), "The meeting is on Friday.");
    assert_eq!(text_of(&events.all().await), "On Friday.");
}
