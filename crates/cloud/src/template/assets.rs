//! Code, system prompt and tools: uploaded by `loquat deploy` into the deployment bucket, named to the stack by
//! parameters, so that the template itself never changes with them.

use serde_json::json;

use super::{
    Stack,
    intrinsics::{no_value, reference, sub, when},
};
use crate::{
    agent::Agent,
    assets::{Location, Prompt, Tools},
    settings::Hosting,
};

pub(super) fn add(agent: &Agent, stack: &mut Stack) {
    stack.parameter("CodeBucket", "The bucket with the package, the system prompt and the tools", None);
    if agent.deploy.hosting == Hosting::Agentcore {
        stack.parameter("ImageUri", "The container image, arm64, in ECR", None);
    } else {
        stack.parameter("CodeKey", "The package's key in that bucket", None);
    }
    stack.parameter("SystemPromptKey", "The system prompt's key in that bucket; empty for none", Some(""));
    stack.parameter("ToolsConfig", "The tools: a JSON list of S3 locations; empty for none", Some(""));
    for (condition, parameter) in [("HasSystemPrompt", "SystemPromptKey"), ("HasTools", "ToolsConfig")] {
        stack
            .conditions
            .push((condition.into(), json!({ "Fn::Not": [{ "Fn::Equals": [reference(parameter), ""] }] })));
    }
    stack.env("SYSTEM_PROMPT_S3_BUCKET_NAME", when("HasSystemPrompt", reference("CodeBucket"), no_value()));
    stack.env("SYSTEM_PROMPT_S3_KEY", when("HasSystemPrompt", reference("SystemPromptKey"), no_value()));
    stack.env("TOOLS_CONFIG", when("HasTools", reference("ToolsConfig"), no_value()));
    stack.allow(
        &["s3:GetObject"],
        json!([sub("arn:${AWS::Partition}:s3:::${CodeBucket}/${AWS::StackName}/assets/*")]),
    );
    let prompt = match &agent.prompt {
        Prompt::Object(location) => Some(location),
        _ => None,
    };
    let tools = match &agent.tools {
        Tools::Objects(objects) => objects.as_slice(),
        Tools::Folder(_) => &[],
    };
    let own: Vec<_> = prompt.into_iter().chain(tools).map(object).collect();
    if !own.is_empty() {
        stack.allow(&["s3:GetObject"], json!(own));
    }
}

/// An object of the user's own.
fn object(at: &Location) -> serde_json::Value {
    sub(format!("arn:${{AWS::Partition}}:s3:::{}/{}", at.bucket_name, at.key))
}
