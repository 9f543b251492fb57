//! The settings of tools: where their files are, what they see of the environment, `TOOLS_CONFIG`.

use std::collections::BTreeMap;
use std::path::Path;

use super::raw::RawConfig;
use super::{ConfigError, file};
use crate::tools::config::{ToolConfigError, ToolsConfig, parse_tools_config};

/// The folder of Python tools beside `loquat.toml`.
const TOOLS_FOLDER: &str = "tools";

/// What every child process sees of the environment.
const CHILDREN: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The base of every child process's environment.
pub(super) fn child_env(env: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let of = |name: &str| env.get(name).map(|value| (name.to_owned(), value.clone()));
    CHILDREN.into_iter().filter_map(of).collect()
}

/// The checked settings.
pub(super) fn tools(
    raw: &RawConfig,
    folder: &Path,
    env: &BTreeMap<String, String>,
    places: &file::Places,
) -> Result<ToolsConfig, ConfigError> {
    let wrong = |error: ToolConfigError| {
        let key = match error.key.as_str() {
            key if key.starts_with("TOOLS_CONFIG") => "tools_config",
            key => key,
        };
        // What is not written itself is missing from the table around it.
        let around = std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(table, _)| table));
        let written = around.clone().find(|key| places.has(key)).or(around.last()).unwrap_or(key);
        let expected = match error.problem.strip_prefix("expected ") {
            Some(expected) => expected.to_owned(),
            None => format!("another value ({})", error.problem),
        };
        ConfigError { key: error.key.clone(), ..places.wrong_as_written(written, &expected) }
    };
    let mut tools = ToolsConfig {
        tools: raw.tools.clone().unwrap_or_default(),
        builtin: raw.builtin.clone(),
        tool: raw.tool.clone(),
        mcp: raw.mcp.clone(),
        lambda: raw.lambda.clone(),
        openapi: raw.openapi.clone(),
        python: raw.python.clone(),
        connect_wait_ms: raw.connect_wait_ms,
    };
    if let Some(text) = &raw.tools_config {
        tools.python.objects = parse_tools_config(text).map_err(wrong)?;
    }
    tools.expand(&|name| env.get(name).cloned()).map_err(wrong)?;
    // Paths are meant from the file that names them.
    tools.python.dir = match tools.python.dir.take() {
        // `loquat deploy` moves the folder to S3 and names it in `TOOLS_CONFIG`.
        Some(dir) => Some(folder.join(dir)).filter(|dir| tools.python.objects.is_empty() || dir.exists()),
        None => Some(folder.join(TOOLS_FOLDER)).filter(|dir| has_python(dir)),
    };
    for server in &mut tools.mcp {
        if let Some(cwd) = &mut server.cwd {
            *cwd = folder.join(&*cwd);
        }
    }
    for api in &mut tools.openapi {
        if !api.document.contains("://") {
            api.document = folder.join(&api.document).to_string_lossy().into_owned();
        }
    }
    tools.validate().map_err(wrong)?;
    Ok(tools)
}

fn has_python(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "py"))
        })
    })
}
