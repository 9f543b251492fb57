//! An agent with a typed tool in Rust. `find_order.rs` is all it takes; here the agent runs it once with a scripted
//! model, so that the example needs no key. `cargo run -p loquat-example-rust-tool`.

mod find_order;

use std::sync::Arc;

use futures_util::StreamExt as _;
use loquat_agent::context::{Memo, SlidingWindow};
use loquat_agent::event::Event;
use loquat_agent::message::Message;
use loquat_agent::model::{OnRestart, Params};
use loquat_agent::scripted::{ScriptedModel, asks, says};
use loquat_agent::tool::Tool;
use loquat_agent::tool_set::ToolSet;
use loquat_agent::{Agent, Limits, RunContext, RunInput};

async fn run() -> Vec<Event> {
    let tools: [Arc<dyn Tool>; 1] = [Arc::new(find_order::FindOrder::new())];
    let agent = Agent {
        model: ScriptedModel::new([
            asks(&[("1", "find_order", r#"{"number": 7}"#)]),
            says(&["It is on its way."]),
        ]),
        system: None,
        tools: ToolSet::new(tools),
        context: Arc::new(SlidingWindow::new(20)),
        limits: Limits::default(),
    };
    let cx = RunContext {
        session_id: "session".into(),
        run_id: "run".into(),
        user: None,
        cancel: tokio_util::sync::CancellationToken::new(),
        pause: tokio_util::sync::CancellationToken::new(),
        on_restart: OnRestart::Reset,
        client_tools: Vec::new(),
        params: Params::default(),
        skipped: 0,
        memo: Memo::default(),
    };
    agent.run(Vec::new(), RunInput::Message(Message::user("Where is order 7?")), cx).collect().await
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "it is a program for the terminal")]
async fn main() {
    for event in run().await {
        println!("{event:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_tool_is_called_with_its_typed_input() {
        let events = run().await;
        let answered = events.iter().any(|event| {
            matches!(event, Event::ToolResult { is_error: false, content, .. }
                if format!("{content:?}").contains("shipped"))
        });
        assert!(answered, "{events:?}");
    }
}
