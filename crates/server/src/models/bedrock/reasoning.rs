//! How the makers of models on Bedrock want to be told to think.

use serde_json::{Value, json};

/// The additional request fields that set how hard to think; `None` if the model has no such setting that is known.
pub(in crate::models) fn effort(model: &str, effort: &str) -> Option<Value> {
    let has = |part| model.contains(part);
    if has("anthropic.claude") {
        Some(json!({"output_config": {"effort": effort}}))
    } else if has("amazon.nova-2") {
        Some(json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}))
    } else if has("openai.gpt-oss") || has("deepseek.v3") || has("qwen.") {
        Some(json!({"reasoning_effort": effort}))
    } else {
        None
    }
}

/// Whether the model takes a number of tokens to think.
pub(in crate::models) fn has_budget(model: &str) -> bool {
    model.contains("anthropic.claude")
}
