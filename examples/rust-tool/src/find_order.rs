//! A typed tool: its input is a struct, and the struct is the JSON Schema that the model sees.

use async_trait::async_trait;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the model fills in.
#[derive(Deserialize, JsonSchema)]
struct Input {
    /// The order's number, as on the invoice.
    number: u32,
}

pub(crate) struct FindOrder(ToolSpec);

impl FindOrder {
    pub(crate) fn new() -> Self {
        let schema = schemars::schema_for!(Input).to_value();
        Self(ToolSpec::new("find_order", "Tells where an order is.", schema).read_only())
    }
}

#[async_trait]
impl Tool for FindOrder {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, input: Value, _cx: ToolContext) -> ToolOutput {
        match serde_json::from_value::<Input>(input) {
            Ok(input) => ToolOutput::json(json!({"number": input.number, "status": "shipped"})),
            Err(error) => ToolOutput::error(error.to_string()),
        }
    }
}
