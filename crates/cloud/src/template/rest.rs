//! API Gateway REST with response streaming: `POST /chat` and everything else the server routes, one function
//! behind both.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Stack, authenticator, frontend, hosting,
    intrinsics::{attribute, no_value, reference, sub, when},
};
use crate::settings::{AuthKind, Settings};

/// API Gateway's own limit for a streamed integration, in milliseconds.
pub(super) const STREAM_TIMEOUT_MS: u32 = 900_000;

/// Paths that must answer before anybody has signed in: resource id, path, methods.
const OPEN: &[(&str, &str)] = &[("Health", "health"), ("Config", "config.json"), ("Openapi", "openapi.json")];

/// Headers a browser may send: what the server would say to a preflight, which it is never asked here. A test in the
/// `loquat` crate holds the two lists together.
const ALLOW_HEADERS: &str = "authorization,content-type,accept,last-event-id,x-api-key,traceparent,tracestate,\
     x-request-id,x-loquat-session-id,a2a-version,mcp-protocol-version,mcp-method,mcp-name,openai-organization,\
     openai-project,x-stainless-arch,x-stainless-helper-method,x-stainless-lang,x-stainless-os,\
     x-stainless-package-version,x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,\
     x-stainless-timeout,x-requested-with";
/// Headers it may read: the server's, and API Gateway's own.
const EXPOSE_HEADERS: &str = "x-loquat-run-id,retry-after,x-request-id,content-disposition,x-should-retry,\
     x-vercel-ai-ui-message-stream,x-amzn-requestid,x-amzn-errortype";

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    let mut api = Vec::new();
    stack.resource(
        "Api",
        "AWS::ApiGateway::RestApi",
        json!({
            "Name": sub("${AWS::StackName}"),
            "Description": "Streams the agent's answers",
            // Edge-optimised endpoints cut a silent stream after 30 seconds; regional ones after five minutes.
            "EndpointConfiguration": { "Types": ["REGIONAL"] }
        }),
    );
    authorizer(settings, stack);
    add_path(settings, stack, &mut api, &Path { id: "Chat", part: "chat", method: "POST", open: false });
    add_path(settings, stack, &mut api, &Path { id: "Proxy", part: "{proxy+}", method: "ANY", open: false });
    for (id, part) in OPEN {
        add_path(settings, stack, &mut api, &Path { id, part, method: "GET", open: true });
    }
    // Other agents read the card before they know how to sign in.
    let place = json!({
        "RestApiId": reference("Api"),
        "ParentId": attribute("Api", "RootResourceId"),
        "PathPart": ".well-known"
    });
    stack.resource("WellKnown", "AWS::ApiGateway::Resource", place);
    api.push("WellKnown".into());
    let card = Path { id: "AgentCard", part: "agent-card.json", method: "GET", open: true };
    add_path_under(settings, stack, &mut api, &reference("WellKnown"), &card);
    for (id, kind) in [("Cors4xx", "DEFAULT_4XX"), ("Cors5xx", "DEFAULT_5XX")] {
        gateway_response(settings, stack, id, kind);
        api.push(id.to_owned());
    }
    stage(settings, stack, &api);
    stack.resource(
        "ApiPermission",
        "AWS::Lambda::Permission",
        json!({
            "Action": "lambda:InvokeFunction",
            "FunctionName": attribute("Function", "Arn"),
            "Principal": "apigateway.amazonaws.com",
            "SourceArn": sub("arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*")
        }),
    );
    stack.env("LOQUAT_CORS_ORIGINS", cors_origin(settings));
    let url = settings.rest.domain_name.as_ref().map_or_else(
        || {
            sub(format!(
                "https://${{Api}}.execute-api.${{AWS::Region}}.${{AWS::URLSuffix}}/{}",
                settings.rest.stage
            ))
        },
        |name| json!(format!("https://{name}")),
    );
    stack.output("ApiUrl", "The API; POST /chat is under it", url);
    stack.output("ApiId", "The API's id", reference("Api"));
}

struct Path<'a> {
    id: &'a str,
    part: &'a str,
    method: &'a str,
    open: bool,
}

fn add_path(settings: &Settings, stack: &mut Stack, api: &mut Vec<String>, path: &Path<'_>) {
    add_path_under(settings, stack, api, &attribute("Api", "RootResourceId"), path);
}

fn add_path_under(
    settings: &Settings,
    stack: &mut Stack,
    api: &mut Vec<String>,
    parent: &Value,
    path: &Path<'_>,
) {
    let resource = format!("{}Resource", path.id);
    stack.resource(
        &resource,
        "AWS::ApiGateway::Resource",
        json!({
            "RestApiId": reference("Api"),
            "ParentId": parent,
            "PathPart": path.part
        }),
    );
    let id = format!("{}Method", path.id);
    let mut properties = method(&resource, path.method);
    if settings.auth.kind == AuthKind::Cognito && !path.open {
        properties["AuthorizationType"] = json!("COGNITO_USER_POOLS");
        properties["AuthorizerId"] = reference("Authorizer");
    } else {
        properties["AuthorizationType"] = json!("NONE");
    }
    stack.resource(&id, "AWS::ApiGateway::Method", properties);
    let options = format!("{}Options", path.id);
    stack.resource(&options, "AWS::ApiGateway::Method", preflight(settings, &resource));
    api.extend([resource, id, options]);
}

/// A method that streams the function's answer.
fn method(resource: &str, verb: &str) -> Value {
    json!({
        "RestApiId": reference("Api"),
        "ResourceId": reference(resource),
        "HttpMethod": verb,
        "Integration": {
            "Type": "AWS_PROXY",
            "IntegrationHttpMethod": "POST",
            "ResponseTransferMode": "STREAM",
            "Uri": sub("arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2021-11-15/functions/${Function.Arn}/response-streaming-invocations"),
            "TimeoutInMillis": STREAM_TIMEOUT_MS
        }
    })
}

/// The preflight is answered by API Gateway itself: no token, no invocation.
fn preflight(settings: &Settings, resource: &str) -> Value {
    json!({
        "RestApiId": reference("Api"),
        "ResourceId": reference(resource),
        "HttpMethod": "OPTIONS",
        "AuthorizationType": "NONE",
        "Integration": {
            "Type": "MOCK",
            "IntegrationHttpMethod": "OPTIONS",
            "RequestTemplates": { "application/json": "{\"statusCode\": 204}" },
            "IntegrationResponses": [{
                "StatusCode": "204",
                "ResponseParameters": {
                    "method.response.header.Access-Control-Allow-Headers": format!("'{ALLOW_HEADERS}'"),
                    "method.response.header.Access-Control-Allow-Methods": "'DELETE,GET,OPTIONS,PATCH,POST'",
                    "method.response.header.Access-Control-Allow-Origin": quoted(settings),
                    "method.response.header.Access-Control-Max-Age": "'600'",
                    "method.response.header.Vary": "'Origin'"
                }
            }]
        },
        "MethodResponses": [{
            "StatusCode": "204",
            "ResponseParameters": {
                "method.response.header.Access-Control-Allow-Headers": true,
                "method.response.header.Access-Control-Allow-Methods": true,
                "method.response.header.Access-Control-Allow-Origin": true,
                "method.response.header.Access-Control-Max-Age": true,
                "method.response.header.Vary": true
            }
        }]
    })
}

/// What API Gateway refuses by itself (401, 413, 429, 504 …) must be readable by the page too.
fn gateway_response(settings: &Settings, stack: &mut Stack, id: &str, kind: &str) {
    stack.resource(
        id,
        "AWS::ApiGateway::GatewayResponse",
        json!({
            "RestApiId": reference("Api"),
            "ResponseType": kind,
            "ResponseParameters": {
                "gatewayresponse.header.Access-Control-Allow-Headers": format!("'{ALLOW_HEADERS}'"),
                "gatewayresponse.header.Access-Control-Allow-Origin": quoted(settings),
                "gatewayresponse.header.Access-Control-Expose-Headers": format!("'{EXPOSE_HEADERS}'"),
                "gatewayresponse.header.Vary": "'Origin'"
            },
            "ResponseTemplates": { "application/json": "{\"message\":$context.error.messageString}" }
        }),
    );
}

fn authorizer(settings: &Settings, stack: &mut Stack) {
    if settings.auth.kind != AuthKind::Cognito {
        return;
    }
    stack.resource(
        "Authorizer",
        "AWS::ApiGateway::Authorizer",
        json!({
            "Name": "cognito",
            "Type": "COGNITO_USER_POOLS",
            "RestApiId": reference("Api"),
            "IdentitySource": "method.request.header.Authorization",
            "ProviderARNs": [authenticator::pool_arn(settings)],
            "AuthorizerResultTtlInSeconds": 300
        }),
    );
}

/// The deployment's name carries a digest of what it deploys: CloudFormation makes a new one exactly when the
/// API has changed, and only a new one puts a change in effect.
fn stage(settings: &Settings, stack: &mut Stack, api: &[String]) {
    let mut digest = Sha256::new();
    for (id, value) in stack.resources.iter().filter(|(id, _)| api.contains(id)) {
        digest.update(id.as_bytes());
        digest.update(super::render::canonical(value).as_bytes());
    }
    let digest: String = digest.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let deployment = format!("Deployment{digest}");
    let methods: Vec<&String> = api.iter().collect();
    stack.resource(&deployment, "AWS::ApiGateway::Deployment", json!({ "RestApiId": reference("Api") }))["DependsOn"] =
        json!(methods);
    hosting::log_group("AccessLog", "access", settings, stack);
    log_role(stack);
    stack.resource(
        "Stage",
        "AWS::ApiGateway::Stage",
        json!({
            "RestApiId": reference("Api"),
            "DeploymentId": reference(&deployment),
            "StageName": settings.rest.stage,
            // Read as "after the log account": a condition cannot stand in DependsOn.
            "Description": when("MakeApiLogRole", sub("Logs with the role of ${ApiLogAccount}"), no_value()),
            "TracingEnabled": settings.observability.xray,
            "AccessLogSetting": { "DestinationArn": attribute("AccessLog", "Arn"), "Format": access_log_format() },
            "MethodSettings": [{
                "ResourcePath": "/*",
                "HttpMethod": "*",
                "MetricsEnabled": true,
                "DataTraceEnabled": false,
                "LoggingLevel": "ERROR",
                "ThrottlingRateLimit": settings.rest.throttle_rate,
                "ThrottlingBurstLimit": settings.rest.throttle_burst
            }]
        }),
    );
}

/// API Gateway writes logs with one role per account and region. It is made only where the account has none, and
/// stays when the stack goes, because other APIs may have come to use it.
fn log_role(stack: &mut Stack) {
    stack.parameter(
        "ApiLogRole",
        "\"make\" where the account has no API Gateway log role yet, else \"keep\"",
        Some("make"),
    );
    stack
        .conditions
        .push(("MakeApiLogRole".into(), json!({ "Fn::Equals": [reference("ApiLogRole"), "make"] })));
    let role = stack.resource(
        "ApiLogsRole",
        "AWS::IAM::Role",
        json!({
            "AssumeRolePolicyDocument": { "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "apigateway.amazonaws.com" },
                "Action": "sts:AssumeRole"
            }] },
            "ManagedPolicyArns": [
                sub("arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs")
            ]
        }),
    );
    role["Condition"] = json!("MakeApiLogRole");
    role["DeletionPolicy"] = json!("Retain");
    role["UpdateReplacePolicy"] = json!("Retain");
    let account = stack.resource(
        "ApiLogAccount",
        "AWS::ApiGateway::Account",
        json!({ "CloudWatchRoleArn": attribute("ApiLogsRole", "Arn") }),
    );
    account["Condition"] = json!("MakeApiLogRole");
    account["DeletionPolicy"] = json!("Retain");
    account["UpdateReplacePolicy"] = json!("Retain");
}

/// One JSON line a request: enough to see where time went, nothing the user wrote.
fn access_log_format() -> String {
    let fields = [
        ("request_id", "$context.requestId"),
        ("time", "$context.requestTime"),
        ("method", "$context.httpMethod"),
        ("resource", "$context.resourcePath"),
        ("status", "$context.status"),
        ("latency_ms", "$context.responseLatency"),
        ("integration_ms", "$context.integration.latency"),
        ("transfer_mode", "$context.integration.responseTransferMode"),
        ("headers_ms", "$context.integration.timeToAllHeaders"),
        ("first_byte_ms", "$context.integration.timeToFirstContent"),
        ("bytes", "$context.responseLength"),
        ("error", "$context.error.responseType"),
        ("integration_error", "$context.integration.error"),
    ];
    let body: Vec<String> =
        fields.iter().map(|(name, variable)| format!("\"{name}\":\"{variable}\"")).collect();
    format!("{{{}}}", body.join(","))
}

/// The origin browsers may call from.
fn cors_origin(settings: &Settings) -> Value {
    match &settings.rest.cors_origin {
        Some(origin) => json!(origin),
        None if settings.has_page_bucket() => frontend::page_url(settings, ""),
        None => json!("*"),
    }
}

/// The same in the quotes that API Gateway's parameter mappings want.
fn quoted(settings: &Settings) -> Value {
    match cors_origin(settings) {
        Value::String(origin) => json!(format!("'{origin}'")),
        Value::Object(mut object) => match object.remove("Fn::Sub") {
            Some(Value::String(text)) => sub(format!("'{text}'")),
            other => json!(other),
        },
        other => other,
    }
}
