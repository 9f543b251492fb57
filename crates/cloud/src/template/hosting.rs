//! The function: `provided.al2023`, least privilege, its own log group; natively or behind the Lambda Web
//! Adapter layer.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, reference, sub},
};
use crate::settings::{Architecture, Hosting, Settings};

/// The account that publishes the Lambda Web Adapter, and the layer's version.
const ADAPTER_ACCOUNT: &str = "753240598075";
const ADAPTER_VERSION: u32 = 25;

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    log_group("LogGroup", "function", settings, stack);
    stack.allow(&["logs:CreateLogStream", "logs:PutLogEvents"], json!([sub("${LogGroup.Arn}")]));
    if settings.observability.xray {
        stack.allow(&["xray:PutTelemetryRecords", "xray:PutTraceSegments"], json!("*"));
    }
    if settings.vpc.is_some() {
        stack.allow(
            &[
                "ec2:AssignPrivateIpAddresses",
                "ec2:CreateNetworkInterface",
                "ec2:DeleteNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:UnassignPrivateIpAddresses",
            ],
            json!("*"),
        );
    }
    stack.env("LOQUAT_LOG_FORMAT", "json");
    if settings.hosting == Hosting::Adapter {
        stack.env("AWS_LAMBDA_EXEC_WRAPPER", "/opt/bootstrap");
        stack.env("AWS_LWA_INVOKE_MODE", "response_stream");
        stack.env("AWS_LWA_READINESS_CHECK_PATH", "/health");
        stack.env("AWS_LWA_PORT", "8080");
        stack.env("PORT", "8080");
    }
    // The server's own limit of a run is ten minutes; a shorter function must end its runs itself, whole.
    if settings.timeout_seconds < 630 {
        stack.env("LOQUAT_MAX_SECONDS", (settings.timeout_seconds - 25).to_string());
    }
    user_environment(settings, stack);
    role(stack, "lambda.amazonaws.com");
    let properties = function(settings, stack);
    stack.resource("Function", "AWS::Lambda::Function", properties);
    stack.output("FunctionName", "The function", reference("Function"));
    stack.output("LogGroupName", "The function's log group", reference("LogGroup"));
}

/// A log group of the stack. It goes with the stack whatever `removal` says: its name is fixed, and one that stayed would
/// stand in the way of the next deployment.
pub(super) fn log_group(id: &str, name: &str, settings: &Settings, stack: &mut Stack) {
    let group = stack.resource(
        id,
        "AWS::Logs::LogGroup",
        json!({
            "LogGroupName": sub(format!("/loquat/${{AWS::StackName}}/{name}")),
            "RetentionInDays": settings.log_retention_days,
            "KmsKeyId": attribute("Key", "Arn")
        }),
    );
    group["DeletionPolicy"] = json!("Delete");
    group["UpdateReplacePolicy"] = json!("Delete");
}

/// What the user adds last wins over what the strategies set.
pub(super) fn user_environment(settings: &Settings, stack: &mut Stack) {
    for (name, value) in &settings.environment {
        stack.env(name, value.as_str());
    }
    for (name, secret) in &settings.secrets {
        stack.env(name, format!("{{{{resolve:secretsmanager:{secret}}}}}"));
    }
}

/// The role, with every statement the strategies asked for.
pub(super) fn role(stack: &mut Stack, service: &str) {
    let statements = std::mem::take(&mut stack.statements);
    let mut assume =
        json!({ "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" });
    if service != "lambda.amazonaws.com" {
        assume["Condition"] = json!({ "StringEquals": { "aws:SourceAccount": reference("AWS::AccountId") } });
    }
    stack.resource(
        "Role",
        "AWS::IAM::Role",
        json!({
            "AssumeRolePolicyDocument": { "Version": "2012-10-17", "Statement": [assume] },
            "Policies": [{
                "PolicyName": "agent",
                "PolicyDocument": { "Version": "2012-10-17", "Statement": statements }
            }]
        }),
    );
}

fn function(settings: &Settings, stack: &Stack) -> Value {
    let adapter = settings.hosting == Hosting::Adapter;
    let mut properties = json!({
        "Description": "A Loquat agent",
        "Runtime": "provided.al2023",
        "Handler": if adapter { "run.sh" } else { "bootstrap" },
        "Architectures": [settings.architecture.as_str()],
        "MemorySize": settings.memory_mb,
        "Timeout": settings.timeout_seconds,
        "Role": attribute("Role", "Arn"),
        "Code": { "S3Bucket": reference("CodeBucket"), "S3Key": reference("CodeKey") },
        "Environment": { "Variables": stack.environment },
        "LoggingConfig": { "LogFormat": "JSON", "LogGroup": reference("LogGroup") },
        "TracingConfig": { "Mode": if settings.observability.xray { "Active" } else { "PassThrough" } }
    });
    if adapter {
        let layer = match settings.architecture {
            Architecture::Arm64 => "LambdaAdapterLayerArm64",
            Architecture::X86_64 => "LambdaAdapterLayerX86",
        };
        let published = sub(format!(
            "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:{ADAPTER_ACCOUNT}:layer:{layer}:{ADAPTER_VERSION}"
        ));
        let own = settings.adapter_layer.as_ref().map(|arn| json!(arn));
        properties["Layers"] = json!([own.unwrap_or(published)]);
    }
    if let Some(limit) = settings.reserved_concurrency {
        properties["ReservedConcurrentExecutions"] = json!(limit);
    }
    if let Some(vpc) = &settings.vpc {
        properties["VpcConfig"] =
            json!({ "SubnetIds": vpc.subnet_ids, "SecurityGroupIds": vpc.security_group_ids });
    }
    properties
}
