//! The tools that are part of the server. Each is on only if the configuration names it.

pub(crate) mod calculator;
pub(crate) mod current_time;
pub(crate) mod fetch_url;
pub(crate) mod memory;
pub(crate) mod retrieve;

use std::sync::Arc;

use loquat_agent::tool::Tool;
use serde_json::Value;

use super::ToolDeps;
use super::config::{BuiltinTool, ToolsConfig};
use super::guard::system_lookup;

/// The built-in tools that the configuration names, in its order, and what could not be started.
pub(crate) fn start(config: &ToolsConfig, deps: &ToolDeps) -> (Vec<Arc<dyn Tool>>, Vec<String>) {
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    let mut problems = Vec::new();
    let mut on = config.tools.clone();
    on.dedup();
    for tool in on {
        let made: Result<Arc<dyn Tool>, String> = match tool {
            BuiltinTool::CurrentTime => current_time::CurrentTime::new(&config.builtin.current_time)
                .map(|tool| Arc::new(tool) as Arc<dyn Tool>),
            BuiltinTool::Calculator => Ok(Arc::new(calculator::Calculator::new())),
            BuiltinTool::FetchUrl => fetch_url::FetchUrl::new(&config.builtin.fetch_url, system_lookup())
                .map(|tool| Arc::new(tool) as Arc<dyn Tool>),
            BuiltinTool::Retrieve => match (&config.builtin.retrieve, &deps.aws) {
                (Some(settings), Some(aws)) => {
                    Ok(Arc::new(retrieve::Retrieve::new(settings.clone(), Arc::clone(aws))))
                }
                (None, _) => Err("builtin.retrieve is not set".to_owned()),
                (_, None) => Err("there is no AWS configuration".to_owned()),
            },
            BuiltinTool::Memory => match &deps.memory {
                Some(store) => {
                    Ok(Arc::new(memory::Memory::new(config.builtin.memory.clone(), Arc::clone(store))))
                }
                None => Err("there is no store to keep facts in".to_owned()),
            },
        };
        match made {
            Ok(tool) => tools.push(tool),
            Err(problem) => problems.push(format!("{}: {problem}", tool.as_str())),
        }
    }
    (tools, problems)
}

/// A text field of an input; the schema has made sure that it is there where it is required.
fn text<'a>(input: &'a Value, field: &str) -> Option<&'a str> {
    input.get(field).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}
