//! How the makers of models on Bedrock want to be told to think.

use serde_json::{Value, json};

use crate::models::params::is_adaptive;

/// The additional request fields that set how hard to think; `None` if the model has no such setting that is known.
pub(in crate::models) fn effort(model: &str, effort: &str) -> Option<Value> {
    let has = |part| model.contains(part);
    if has("anthropic.claude") {
        if matches!(effort, "none" | "minimal") {
            return None;
        }
        let mut fields = json!({"output_config": {"effort": effort}});
        if is_adaptive(model) {
            fields["thinking"] = json!({"type": "adaptive"});
        }
        Some(fields)
    } else if has("amazon.nova-2") {
        matches!(effort, "low" | "medium" | "high")
            .then(|| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}))
    } else if has("openai.gpt-oss") || has("deepseek.v3") || has("qwen.") {
        Some(json!({"reasoning_effort": effort}))
    } else {
        None
    }
}

/// The additional request fields that set how many tokens to think.
pub(super) fn budget(budget: u32) -> Value {
    json!({"thinking": {"type": "enabled", "budget_tokens": budget}})
}

/// Whether the model takes a number of tokens to think.
pub(in crate::models) fn has_budget(model: &str) -> bool {
    model.contains("anthropic.claude")
}
