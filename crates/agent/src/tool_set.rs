//! The tools of an agent, prepared once: their specs in a stable order and their schemas compiled.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::tool::{Tool, ToolSpec};

/// The tools of an agent.
#[derive(Clone, Default)]
pub struct ToolSet {
    entries: Arc<HashMap<String, Entry>>,
    specs: Arc<[ToolSpec]>,
}

struct Entry {
    tool: Option<Arc<dyn Tool>>,
    spec: ToolSpec,
    /// Compiled when the first call comes: most runs use few tools.
    validator: OnceLock<Result<jsonschema::Validator, String>>,
}

impl std::fmt::Debug for ToolSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.specs.iter().map(|spec| &spec.name)).finish()
    }
}

impl ToolSet {
    /// Prepares tools. Of two with one name the first counts. The order is by name: it is part of the prompt that
    /// providers cache.
    #[must_use]
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        Self::build(tools.into_iter().map(|tool| (tool.spec().clone(), Some(tool))))
    }

    /// The same with tools that run in the client added. A server's tool of the same name wins.
    #[must_use]
    pub fn with_client_tools(&self, client: &[ToolSpec]) -> Self {
        if client.is_empty() {
            return self.clone();
        }
        let own = self
            .specs
            .iter()
            .map(|spec| (spec.clone(), self.entries.get(&spec.name).and_then(|entry| entry.tool.clone())));
        let client = client.iter().map(|spec| {
            let mut spec = spec.clone();
            spec.client_side = true;
            (spec, None)
        });
        Self::build(own.chain(client))
    }

    fn build(tools: impl Iterator<Item = (ToolSpec, Option<Arc<dyn Tool>>)>) -> Self {
        let mut entries = HashMap::new();
        for (spec, tool) in tools {
            entries.entry(spec.name.clone()).or_insert(Entry { tool, spec, validator: OnceLock::new() });
        }
        let mut specs: Vec<ToolSpec> = entries.values().map(|entry| entry.spec.clone()).collect();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        Self { entries: Arc::new(entries), specs: specs.into() }
    }

    /// What the model is told, sorted by name.
    #[must_use]
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        Arc::clone(&self.specs)
    }

    /// What is known about a tool.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        self.entries.get(name).map(|entry| &entry.spec)
    }

    pub(crate) fn tool(&self, name: &str) -> Option<Arc<dyn Tool>> {
        self.entries.get(name).and_then(|entry| entry.tool.clone())
    }

    /// Whether an input is what the tool's schema asks for; if not, the words for the model.
    pub(crate) fn validate(&self, name: &str, input: &Value) -> Result<(), String> {
        let Some(entry) = self.entries.get(name) else {
            let known: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
            return Err(match known.as_slice() {
                [] => format!("There is no tool `{name}`; there are no tools."),
                known => format!("There is no tool `{name}`. The tools are: {}.", known.join(", ")),
            });
        };
        let validator = entry.validator.get_or_init(|| {
            jsonschema::validator_for(&entry.spec.input_schema).map_err(|error| error.to_string())
        });
        match validator {
            Ok(validator) => validator.validate(input).map_err(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() { "the input".to_owned() } else { place };
                format!("The input does not fit the schema of `{name}`: {place}: {error}")
            }),
            Err(error) => Err(format!("The schema of `{name}` is not valid: {error}")),
        }
    }
}
