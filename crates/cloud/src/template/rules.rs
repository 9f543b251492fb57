//! Rules every template must satisfy, as functions over it. `loquat synth` and `loquat deploy` run them too, so
//! an override cannot undo one unnoticed.

use serde_json::Value;

use super::graph;

/// What a template breaks, in words; empty when it is sound.
pub fn check(template: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for (id, resource) in resources(template) {
        let properties = &resource["Properties"];
        match resource["Type"].as_str().unwrap_or_default() {
            "AWS::IAM::Role" => role(id, properties, &mut findings),
            "AWS::KMS::Key" => key(id, properties, &mut findings),
            "AWS::Logs::LogGroup" if !properties["RetentionInDays"].is_u64() => {
                findings.push(format!("{id}: a log group without retention grows for ever"));
            }
            "AWS::ApiGateway::Method" => method(id, properties, &mut findings),
            "AWS::ApiGateway::GatewayResponse" => {
                let header = "gatewayresponse.header.Access-Control-Allow-Origin";
                if properties["ResponseParameters"].get(header).is_none() {
                    findings.push(format!("{id}: browsers cannot read this answer without CORS headers"));
                }
            }
            "AWS::ApiGateway::RestApi" => rest_api(template, id, properties, &mut findings),
            "AWS::S3::Bucket" => bucket(template, id, properties, &mut findings),
            "AWS::Lambda::Url" if properties["InvokeMode"] != "RESPONSE_STREAM" => {
                findings.push(format!("{id}: the function URL would hold the answer back until it is whole"));
            }
            "AWS::Lambda::Function" => function(template, id, properties, &mut findings),
            _ => {}
        }
    }
    graph::check(template, &mut findings);
    findings
}

fn resources(template: &Value) -> impl Iterator<Item = (&String, &Value)> {
    template["Resources"].as_object().into_iter().flatten()
}

fn of_type<'a>(template: &'a Value, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    resources(template).filter(move |(_, resource)| resource["Type"] == kind)
}

/// A string, or a list of them, as a list.
fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn statements(document: &Value) -> Vec<&Value> {
    document["Statement"].as_array().into_iter().flatten().filter(|one| one["Effect"] == "Allow").collect()
}

fn no_star(id: &str, document: &Value, findings: &mut Vec<String>) {
    for statement in statements(document) {
        for action in strings(&statement["Action"]) {
            if action.contains('*') {
                findings.push(format!("{id}: the action {action} allows more than is used"));
            }
        }
    }
}

/// Actions that AWS offers for all resources only.
const RESOURCELESS: &[&str] = &[
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:GetAuthorizationToken",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

fn role(id: &str, properties: &Value, findings: &mut Vec<String>) {
    for policy in properties["Policies"].as_array().into_iter().flatten() {
        let document = &policy["PolicyDocument"];
        no_star(id, document, findings);
        for statement in statements(document) {
            let anything = strings(&statement["Resource"]).contains(&"*");
            for action in strings(&statement["Action"]) {
                if anything && !RESOURCELESS.contains(&action) {
                    findings.push(format!("{id}: {action} is allowed on every resource"));
                }
            }
        }
    }
}

fn key(id: &str, properties: &Value, findings: &mut Vec<String>) {
    if properties["EnableKeyRotation"] != true {
        findings.push(format!("{id}: the key does not rotate"));
    }
    no_star(id, &properties["KeyPolicy"], findings);
}

fn method(id: &str, properties: &Value, findings: &mut Vec<String>) {
    let integration = &properties["Integration"];
    if integration["Type"] != "AWS_PROXY" {
        return;
    }
    let streams = integration["ResponseTransferMode"] == "STREAM";
    let uri = integration["Uri"].to_string();
    if streams != uri.contains("/response-streaming-invocations") {
        findings
            .push(format!("{id}: transfer mode and integration URI disagree; API Gateway would answer 500"));
    }
    let limit = if streams { 900_000 } else { 29_000 };
    if integration["TimeoutInMillis"].as_u64().unwrap_or(29_000) > limit {
        findings.push(format!("{id}: API Gateway allows {limit} ms in this mode"));
    }
    if streams
        && properties["HttpMethod"] == "POST"
        && integration["TimeoutInMillis"].as_u64() < Some(900_000)
    {
        findings.push(format!("{id}: answers would be cut before the function's own limit"));
    }
}

fn rest_api(template: &Value, id: &str, properties: &Value, findings: &mut Vec<String>) {
    if strings(&properties["EndpointConfiguration"]["Types"]) != ["REGIONAL"] {
        findings.push(format!("{id}: only regional endpoints keep a silent stream open for five minutes"));
    }
    for kind in ["DEFAULT_4XX", "DEFAULT_5XX"] {
        let found = of_type(template, "AWS::ApiGateway::GatewayResponse")
            .any(|(_, resource)| resource["Properties"]["ResponseType"] == kind);
        if !found {
            findings
                .push(format!("{id}: {kind} has no gateway response, so browsers see a CORS error instead"));
        }
    }
    for (resource, _) in of_type(template, "AWS::ApiGateway::Resource") {
        let preflight = of_type(template, "AWS::ApiGateway::Method").any(|(_, method)| {
            method["Properties"]["HttpMethod"] == "OPTIONS"
                && method["Properties"]["ResourceId"]["Ref"] == resource.as_str()
                && method["Properties"]["AuthorizationType"] == "NONE"
        });
        // A step on the way to another resource answers nobody.
        let answers = of_type(template, "AWS::ApiGateway::Method")
            .any(|(_, method)| method["Properties"]["ResourceId"]["Ref"] == resource.as_str());
        if answers && !preflight {
            findings.push(format!("{resource}: has no open preflight"));
        }
    }
    for (stage, value) in of_type(template, "AWS::ApiGateway::Stage") {
        let settings = &value["Properties"]["MethodSettings"][0];
        if !settings["ThrottlingRateLimit"].is_u64() || settings["DataTraceEnabled"] != false {
            findings.push(format!("{stage}: must throttle, and must not write bodies into logs"));
        }
    }
}

fn bucket(template: &Value, id: &str, properties: &Value, findings: &mut Vec<String>) {
    let block = &properties["PublicAccessBlockConfiguration"];
    for key in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
        if block[key] != true {
            findings.push(format!("{id}: {key} is off"));
        }
    }
    if properties["BucketEncryption"].is_null() {
        findings.push(format!("{id}: is not encrypted"));
    }
    let tls = of_type(template, "AWS::S3::BucketPolicy").any(|(_, policy)| {
        policy["Properties"]["Bucket"]["Ref"] == id
            && policy["Properties"]["PolicyDocument"]["Statement"].as_array().into_iter().flatten().any(
                |one| one["Effect"] == "Deny" && one["Condition"]["Bool"]["aws:SecureTransport"] == "false",
            )
    });
    if !tls {
        findings.push(format!("{id}: answers plain HTTP"));
    }
}

fn function(template: &Value, id: &str, properties: &Value, findings: &mut Vec<String>) {
    let group = properties["LoggingConfig"]["LogGroup"]["Ref"].as_str().unwrap_or_default();
    if !of_type(template, "AWS::Logs::LogGroup").any(|(known, _)| known == group) {
        findings.push(format!("{id}: Lambda would make a log group without retention"));
    }
    if properties["Timeout"].as_u64() > Some(900) {
        findings.push(format!("{id}: Lambda allows 900 seconds"));
    }
}
