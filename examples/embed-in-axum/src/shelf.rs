//! The application's own state, and the tool that lets the agent see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::{Value, json};

/// How many copies of each book there are.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<BTreeMap<String, u32>>>);

impl Shelf {
    /// Copies of a book; none of one that nobody has heard of.
    pub(crate) fn copies(&self, title: &str) -> u32 {
        let books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        books.get(&title.to_lowercase()).copied().unwrap_or_default()
    }

    /// Puts a book on the shelf.
    pub(crate) fn add(&self, title: &str) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *books.entry(title.to_lowercase()).or_default() += 1;
    }
}

/// The tool `stock`: it reads the same state as the application's routes.
pub(crate) struct Stock {
    spec: ToolSpec,
    shelf: Shelf,
}

impl Stock {
    pub(crate) fn new(shelf: Shelf) -> Self {
        let schema = json!({
            "type": "object",
            "properties": {"title": {"type": "string"}},
            "required": ["title"],
            "additionalProperties": false,
        });
        let spec = ToolSpec::new("stock", "Tells how many copies of a book are on the shelf.", schema);
        Self { spec: spec.read_only(), shelf }
    }
}

#[async_trait]
impl Tool for Stock {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, _cx: ToolContext) -> ToolOutput {
        // The schema has made sure that there is a title.
        let title = input["title"].as_str().unwrap_or_default();
        ToolOutput::json(json!({"title": title, "copies": self.shelf.copies(title)}))
    }
}
