//! One tool call, as an operator sees it: an `execute_tool` span. A tool runs on a task of its own, so what it works for
//! is found again by the names of its run.

use std::sync::Arc;

use async_trait::async_trait;
use loquat_agent::message::ToolContent;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::Value;

use super::scope::{self, Scope};
use super::trace::{Kind, Span, conventions as names};

/// A tool that is watched.
struct Watched(Arc<dyn Tool>);

/// Watches a tool.
pub(crate) fn watched(tool: Arc<dyn Tool>) -> Arc<dyn Tool> {
    Arc::new(Watched(tool))
}

#[async_trait]
impl Tool for Watched {
    fn spec(&self) -> &ToolSpec {
        self.0.spec()
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        let Some(run) = scope::of_call(&cx) else { return self.0.call(input, cx).await };
        let Some(mut span) = begin(&run, self.spec(), &input, &cx) else {
            return scope::enter(run, self.0.call(input, cx)).await;
        };
        let inner = Arc::new(Scope { trace: Some(span.context().clone()), ..Scope::clone(&run) });
        let output = scope::enter(inner, self.0.call(input, cx)).await;
        if output.is_error {
            span.fail("tool_error");
        }
        if tells_content(&run) {
            span.set(names::TOOL_RESULT, text(&output.content));
        }
        output
    }
}

fn tells_content(run: &Scope) -> bool {
    let tracer = run.telemetry.as_ref().and_then(|telemetry| telemetry.tracer.as_ref());
    tracer.is_some_and(|tracer| tracer.content())
}

fn begin(run: &Scope, spec: &ToolSpec, input: &Value, cx: &ToolContext) -> Option<Span> {
    let tracer = run.telemetry.as_ref()?.tracer.as_ref()?;
    let mut span = tracer.span(run.trace.as_ref(), format!("execute_tool {}", spec.name), Kind::Internal);
    span.set(names::OPERATION, "execute_tool");
    span.set(names::TOOL_NAME, spec.name.as_str());
    span.set(names::TOOL_CALL, &*cx.call_id);
    span.set(names::TOOL_TYPE, "function");
    span.set(names::TOOL_DESCRIPTION, spec.description.as_str());
    span.set(names::CONVERSATION, &*cx.session_id);
    if tracer.content() {
        span.set(names::TOOL_ARGUMENTS, input.to_string());
    }
    Some(span)
}

fn text(content: &[ToolContent]) -> String {
    let parts = content.iter().map(|block| match block {
        ToolContent::Text(text) => text.clone(),
        ToolContent::Json(value) => value.to_string(),
        _ => String::new(),
    });
    parts.collect::<Vec<_>>().join("\n")
}
