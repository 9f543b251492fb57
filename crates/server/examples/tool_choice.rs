//! Measures how often the built-in model chooses the right tool.
//!
//! Run with `cargo run --release -p loquat-server --features local-model --example tool_choice` (after
//! `cargo xtask model`).

#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use loquat_agent::message::Message;
use loquat_agent::model::{Model as _, ModelEvent, ModelRequest};
use loquat_agent::tool::ToolSpec;
use loquat_server::models::local::{BUILT_IN, LocalConfig, LocalModel, cache_dir, models_dir};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/tool_choice/questions.json");
    let questions: Vec<Value> = serde_json::from_slice(&std::fs::read(file)?)?;
    let cache =
        cache_dir(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")).ok_or("HOME is not set")?;
    let model = LocalModel::new(LocalConfig::parse(BUILT_IN, &models_dir(&cache))?);
    let tool = |name: &str| ToolSpec::new(name, "", json!({"type": "object"}));
    let tools = [tool("current_time"), tool("calculator")];

    // Per set: questions, right tools, expressions asked for, expressions as expected.
    let mut tally: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut time = Duration::ZERO;
    for entry in &questions {
        let question = entry["question"].as_str().unwrap_or_default();
        let messages = vec![Message::user(question)];
        let request = ModelRequest { messages, tools: tools.to_vec().into(), ..ModelRequest::default() };
        let began = Instant::now();
        let (mut name, mut input) = (None, String::new());
        let mut events = model.stream(request);
        // The first event decides; the second is the input of a tool.
        while let Some(event) = events.next().await {
            match event? {
                ModelEvent::ToolStart { name: chosen, .. } => name = Some(chosen),
                ModelEvent::ToolInput { delta, .. } => input = delta,
                _ => break,
            }
        }
        time += began.elapsed();
        let ok = name.as_deref() == entry["tool"].as_str();
        let counts = tally.entry(entry["set"].as_str().unwrap_or_default()).or_default();
        counts[0] += 1;
        counts[1] += usize::from(ok);
        if let Some(expected) = entry["input"].as_str() {
            counts[2] += 1;
            let input: Value = serde_json::from_str(&input).unwrap_or_default();
            counts[3] += usize::from(ok && input["expression"] == expected);
        }
        let mark = if ok { "right" } else { "WRONG" };
        println!("{mark}  {} {input}  {question}", name.as_deref().unwrap_or("-"));
    }
    for (set, [questions, right, expressions, expected]) in tally {
        println!("{set}: tool {right} of {questions}, expression as expected {expected} of {expressions}");
    }
    println!("until the first event, average: {:?}", time / u32::try_from(questions.len())?);
    Ok(())
}
