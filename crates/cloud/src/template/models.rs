//! Permission to call exactly the models the agent names, and exactly the Lambda functions it has as tools.

use serde_json::{Value, json};

use super::{Stack, intrinsics::sub};
use crate::agent::{Agent, BedrockResource};

/// The actions that call a model; `bedrock:InvokeModel*` would also cover what comes later.
const INVOKE: &[&str] = &["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"];

/// The geographies that cross-region inference profiles carry in their names.
const PROFILE_PREFIXES: &[&str] = &["us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global."];

/// Where model names of other providers start.
const OTHER_PROVIDERS: &[&str] = &["anthropic/", "openai/", "ollama/", "local/"];

pub(super) fn add(agent: &Agent, stack: &mut Stack) {
    let mut direct = Vec::new();
    for name in &agent.models {
        let Some(model) = bedrock_id(name) else { continue };
        let region = agent.model_regions.get(name).map_or("${AWS::Region}", String::as_str);
        if let Some((_, profile)) = model.split_once(":inference-profile/") {
            profile_of(json!(model), profile_base(profile).unwrap_or(profile), stack);
        } else if model.contains(":application-inference-profile/") {
            // Its name does not tell which model is behind it.
            profile_of(json!(model), "*", stack);
        } else if model.starts_with("arn:") {
            direct.push(json!(model));
        } else if let Some(base) = profile_base(model) {
            let profile = sub(format!(
                "arn:${{AWS::Partition}}:bedrock:{region}:${{AWS::AccountId}}:inference-profile/{model}"
            ));
            profile_of(profile, base, stack);
        } else {
            direct.push(foundation_model(region, model));
        }
    }
    if !direct.is_empty() {
        stack.allow(INVOKE, Value::Array(direct));
    }
    if !agent.guardrails.is_empty() {
        let guardrails = agent.guardrails.iter().map(|guardrail| own(guardrail, "guardrail"));
        stack.allow(&["bedrock:ApplyGuardrail"], guardrails.collect());
    }
    if let Some(base) = &agent.knowledge_base {
        stack.allow(&["bedrock:Retrieve"], json!([own(base, "knowledge-base")]));
    }
    if let Some(first) = agent.models.first() {
        stack.env("MODEL_ID", first.as_str());
    }
    if !agent.lambda_tools.is_empty() {
        let functions =
            agent.lambda_tools.iter().map(|arn| if arn.contains("${") { sub(arn) } else { json!(arn) });
        stack.allow(&["lambda:InvokeFunction"], functions.collect());
    }
}

/// Permission to call an inference profile, and the model behind it through that profile alone.
fn profile_of(profile: Value, base: &str, stack: &mut Stack) {
    stack.allow(INVOKE, json!([profile]));
    // A profile forwards to the same model in other regions, so the region is open and the way is not.
    stack.allow(INVOKE, json!([foundation_model("*", base), foundation_model("", base)]));
    if let Some(statement) = stack.last_statement() {
        statement["Condition"] = json!({ "StringEquals": { "bedrock:InferenceProfileArn": profile } });
    }
}

/// The model behind a cross-region profile.
fn profile_base(id: &str) -> Option<&str> {
    PROFILE_PREFIXES.iter().find_map(|prefix| id.strip_prefix(prefix))
}

/// The ARN of something of the account's own.
fn own(resource: &BedrockResource, kind: &str) -> Value {
    let id = &resource.id;
    if id.starts_with("arn:") {
        return json!(id);
    }
    let region = resource.region.as_deref().unwrap_or("${AWS::Region}");
    sub(format!("arn:${{AWS::Partition}}:bedrock:{region}:${{AWS::AccountId}}:{kind}/{id}"))
}

fn foundation_model(region: &str, id: &str) -> Value {
    sub(format!("arn:${{AWS::Partition}}:bedrock:{region}::foundation-model/{id}"))
}

/// The Bedrock model id in a model name, if it is Bedrock's.
fn bedrock_id(model: &str) -> Option<&str> {
    if OTHER_PROVIDERS.iter().any(|prefix| model.starts_with(prefix)) {
        return None;
    }
    Some(model.strip_prefix("bedrock/").unwrap_or(model))
}

#[cfg(test)]
mod tests {
    use super::bedrock_id;

    #[test]
    fn bare_and_prefixed_names_are_bedrocks() {
        assert_eq!(bedrock_id("bedrock/eu.a.b-v1:0"), Some("eu.a.b-v1:0"));
        assert_eq!(bedrock_id("anthropic.claude-v1:0"), Some("anthropic.claude-v1:0"));
        assert_eq!(bedrock_id("anthropic/claude"), None);
        assert_eq!(bedrock_id("local/smollm2"), None);
    }
}
