//! Bedrock AgentCore Runtime: the same binary in an arm64 image, called through AgentCore's own endpoint.

use serde_json::json;

use super::{
    Stack, authenticator, hosting,
    intrinsics::{attribute, reference, sub},
};
use crate::{
    agent::Agent,
    settings::{AuthKind, Settings},
};

pub(super) fn add(agent: &Agent, stack: &mut Stack) {
    let settings = &agent.deploy;
    hosting::user_environment(settings, stack);
    stack.env("PORT", "8080");
    if settings.auth.kind == AuthKind::None {
        // AgentCore itself lets only signed requests of the account's principals through; the container has no other door.
        stack.env("LOQUAT_INSECURE", "true");
    }
    stack.env("LOQUAT_LOG_FORMAT", "json");
    let log_groups = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/bedrock-agentcore/runtimes/*";
    stack.allow(
        &["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        json!([sub(log_groups)]),
    );
    stack.allow(
        &["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        json!([sub("arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/*")]),
    );
    stack.allow(&["ecr:GetAuthorizationToken"], json!("*"));
    if settings.observability.xray {
        stack.allow(&["xray:PutTelemetryRecords", "xray:PutTraceSegments"], json!("*"));
    }
    hosting::role(stack, "bedrock-agentcore.amazonaws.com");
    let mut properties = json!({
        "AgentRuntimeName": settings.name.replace('-', "_"),
        "Description": format!("{}: a Loquat agent", agent.name),
        "AgentRuntimeArtifact": { "ContainerConfiguration": { "ContainerUri": reference("ImageUri") } },
        "RoleArn": attribute("Role", "Arn"),
        "NetworkConfiguration": { "NetworkMode": "PUBLIC" },
        "ProtocolConfiguration": "HTTP",
        "EnvironmentVariables": stack.environment
    });
    if let Some(vpc) = &settings.vpc {
        properties["NetworkConfiguration"] = json!({
            "NetworkMode": "VPC",
            "NetworkModeConfig": { "Subnets": vpc.subnet_ids, "SecurityGroups": vpc.security_group_ids }
        });
    }
    if let Some(authorizer) = authorizer(settings) {
        properties["AuthorizerConfiguration"] = json!({ "CustomJWTAuthorizer": authorizer });
        // The server verifies the token again, so it must see it.
        properties["RequestHeaderConfiguration"] = json!({ "RequestHeaderAllowlist": ["Authorization"] });
    }
    stack.resource("Runtime", "AWS::BedrockAgentCore::Runtime", properties);
    stack.output("RuntimeArn", "The AgentCore runtime", attribute("Runtime", "AgentRuntimeArn"));
}

fn authorizer(settings: &Settings) -> Option<serde_json::Value> {
    match settings.auth.kind {
        AuthKind::None => None,
        AuthKind::Oidc => {
            let issuer = settings.auth.issuer.as_deref().unwrap_or_default().trim_end_matches('/');
            Some(json!({
                "DiscoveryUrl": format!("{issuer}/.well-known/openid-configuration"),
                "AllowedAudience": [settings.auth.audience]
            }))
        }
        AuthKind::Cognito => Some(json!({
            "DiscoveryUrl": { "Fn::Sub": [
                "https://cognito-idp.${AWS::Region}.${AWS::URLSuffix}/${Pool}/.well-known/openid-configuration",
                { "Pool": authenticator::pool_id(settings) }
            ] },
            // The id token carries the client in `aud`.
            "AllowedAudience": [authenticator::client_id(settings)]
        })),
    }
}
