//! Findings of `checkov` and `cdk-nag` that the stack accepts, each with its reason, written into the resources'
//! metadata where both tools look for it.

use serde_json::{Value, json};

/// An accepted finding: resource type, logical ids it is for (none: all of the type), checkov's and cdk-nag's
/// names for it (empty where a tool has none), reason.
struct Exception {
    kind: &'static str,
    ids: &'static [&'static str],
    checkov: &'static str,
    nag: &'static str,
    reason: &'static str,
}

const OPEN_METHODS: &[&str] = &["HealthMethod", "ConfigMethod", "OpenapiMethod", "AgentCardMethod"];

/// Methods that API Gateway's authorizer stands before, where Cognito signs people in.
const GUARDED_METHODS: &[&str] = &["ChatMethod", "ProxyMethod"];

const EXCEPTIONS: &[Exception] = &[
    Exception {
        kind: "AWS::S3::Bucket",
        ids: &[],
        checkov: "CKV_AWS_18",
        nag: "S1",
        reason: "One role and one distribution reach this bucket; CloudTrail data events log them where wanted",
    },
    Exception {
        kind: "AWS::S3::Bucket",
        ids: &["SessionBucket"],
        checkov: "CKV_AWS_21",
        nag: "",
        reason: "Versions would keep conversations that were deleted; writes are conditional instead",
    },
    Exception {
        kind: "AWS::S3::Bucket",
        ids: &["PageBucket"],
        checkov: "CKV_AWS_21",
        nag: "",
        reason: "The files come with the release and can be uploaded again",
    },
    Exception {
        kind: "AWS::CloudFront::Distribution",
        ids: &[],
        checkov: "CKV_AWS_68",
        nag: "CFR2",
        reason: "Static files; a web ACL for the API is a setting",
    },
    Exception {
        kind: "AWS::CloudFront::Distribution",
        ids: &[],
        checkov: "",
        nag: "CFR1",
        reason: "Where the agent may be used from is the owner's choice",
    },
    Exception {
        kind: "AWS::CloudFront::Distribution",
        ids: &[],
        checkov: "CKV_AWS_86",
        nag: "CFR3",
        reason: "The API has an access log; who fetched the page's files tells nothing more",
    },
    Exception {
        kind: "AWS::CloudFront::Distribution",
        ids: &[],
        checkov: "CKV_AWS_174",
        nag: "CFR4",
        reason: "CloudFront's own certificate allows no choice; with a domain name the minimum is TLS 1.2",
    },
    Exception {
        kind: "AWS::ApiGateway::RestApi",
        ids: &[],
        checkov: "",
        nag: "APIG2",
        reason: "The server checks every request and answers with a problem that names the field",
    },
    Exception {
        kind: "AWS::ApiGateway::Stage",
        ids: &[],
        checkov: "CKV_AWS_120",
        nag: "",
        reason: "Streamed answers cannot be cached and must not be",
    },
    Exception {
        kind: "AWS::ApiGateway::Stage",
        ids: &[],
        checkov: "",
        nag: "APIG3",
        reason: "A web ACL costs more than a small agent; rest.waf = true adds one",
    },
    Exception {
        kind: "AWS::ApiGateway::Method",
        ids: OPEN_METHODS,
        checkov: "CKV_AWS_59",
        nag: "APIG4",
        reason: "Health, the page's sign-in settings and the API's description must answer before sign-in",
    },
    Exception {
        kind: "AWS::ApiGateway::Method",
        ids: OPEN_METHODS,
        checkov: "",
        nag: "COG4",
        reason: "Health, the page's sign-in settings and the API's description must answer before sign-in",
    },
    Exception {
        kind: "AWS::ApiGateway::Method",
        ids: GUARDED_METHODS,
        checkov: "CKV_AWS_59",
        nag: "APIG4",
        reason: WHO_DECIDES,
    },
    Exception {
        kind: "AWS::ApiGateway::Method",
        ids: GUARDED_METHODS,
        checkov: "",
        nag: "COG4",
        reason: WHO_DECIDES,
    },
    Exception {
        kind: "AWS::Cognito::UserPool",
        ids: &[],
        checkov: "",
        nag: "COG8",
        reason: "The plus plan is priced per user; threat protection is the owner's choice",
    },
    Exception {
        kind: "AWS::Cognito::UserPool",
        ids: &[],
        checkov: "",
        nag: "COG2",
        reason: "A second factor is offered to every user and can be made a duty with an override",
    },
    Exception {
        kind: "AWS::IAM::Role",
        ids: &["Role"],
        checkov: "CKV_AWS_111",
        nag: "IAM5",
        reason: "Objects under a bucket, streams under a log group, a profile's regions, and actions without resources",
    },
    Exception {
        kind: "AWS::IAM::Role",
        ids: &["ApiLogsRole"],
        checkov: "",
        nag: "IAM4",
        reason: "API Gateway asks for exactly this managed policy",
    },
    Exception {
        kind: "AWS::Lambda::Function",
        ids: &[],
        checkov: "CKV_AWS_115",
        nag: "",
        reason: "The API throttles; a limit of instances is the setting reserved_concurrency",
    },
    Exception {
        kind: "AWS::Lambda::Function",
        ids: &[],
        checkov: "CKV_AWS_116",
        nag: "",
        reason: "Every invocation is synchronous: the caller sees the failure, there is nothing to queue",
    },
    Exception {
        kind: "AWS::Lambda::Function",
        ids: &[],
        checkov: "CKV_AWS_117",
        nag: "",
        reason: "The function reaches AWS's public endpoints only; a VPC is a setting",
    },
    Exception {
        kind: "AWS::Lambda::Function",
        ids: &[],
        checkov: "CKV_AWS_173",
        nag: "",
        reason: "The environment holds names; secrets come from Secrets Manager",
    },
    Exception {
        kind: "AWS::Lambda::Url",
        ids: &[],
        checkov: "CKV_AWS_258",
        nag: "",
        reason: "CloudFront's signature would overwrite the caller's token; the server verifies every token",
    },
];

/// Why a method has no authorizer of API Gateway's.
const WHO_DECIDES: &str = "The server verifies the OpenID Connect token of every request; without sign-in allow_public asked for it";

/// Writes the exceptions for a resource into its metadata.
pub(super) fn annotate(id: &str, resource: &mut Value) {
    let kind = resource["Type"].as_str().unwrap_or_default().to_owned();
    // A method with an authorizer needs no exception.
    let guarded = resource["Properties"].get("AuthorizerId").is_some();
    let fitting = || {
        EXCEPTIONS
            .iter()
            .filter(|one| one.kind == kind && (one.ids.is_empty() || one.ids.contains(&id)))
            .filter(move |one| !(guarded && one.ids == GUARDED_METHODS))
    };
    let checkov: Vec<Value> = fitting()
        .filter(|one| !one.checkov.is_empty())
        .map(|one| json!({ "id": one.checkov, "comment": one.reason }))
        .collect();
    let nag: Vec<Value> = fitting()
        .filter(|one| !one.nag.is_empty())
        .map(|one| json!({ "id": format!("AwsSolutions-{}", one.nag), "reason": one.reason }))
        .collect();
    if !checkov.is_empty() {
        resource["Metadata"]["checkov"] = json!({ "skip": checkov });
    }
    if !nag.is_empty() {
        resource["Metadata"]["cdk_nag"] = json!({ "rules_to_suppress": nag });
    }
}
