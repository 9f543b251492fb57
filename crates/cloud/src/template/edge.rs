//! What stands before the REST API on request: a web ACL and a domain name of one's own.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, reference, sub},
};
use crate::settings::Settings;

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    if settings.rest.waf {
        web_acl(settings, stack);
    }
    if let (Some(name), Some(certificate)) = (&settings.rest.domain_name, &settings.rest.certificate_arn) {
        domain(settings, stack, name, certificate);
    }
}

fn web_acl(settings: &Settings, stack: &mut Stack) {
    stack.resource(
        "WebAcl",
        "AWS::WAFv2::WebACL",
        json!({
            "Scope": "REGIONAL",
            "DefaultAction": { "Allow": {} },
            "VisibilityConfig": visibility("all"),
            "Rules": [
                // A chat message is longer than 8 KB more often than it is an attack.
                managed(0, "AWSManagedRulesCommonRuleSet", &["SizeRestrictions_BODY"]),
                managed(1, "AWSManagedRulesKnownBadInputsRuleSet", &[]),
                {
                    "Name": "rate",
                    "Priority": 2,
                    "Action": { "Block": {} },
                    "Statement": { "RateBasedStatement": { "AggregateKeyType": "IP", "Limit": settings.rest.waf_rate } },
                    "VisibilityConfig": visibility("rate")
                }
            ]
        }),
    );
    let association = stack.resource(
        "WebAclAssociation",
        "AWS::WAFv2::WebACLAssociation",
        json!({
            "ResourceArn": sub(format!(
                "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}::/restapis/${{Api}}/stages/{}", settings.rest.stage
            )),
            "WebACLArn": attribute("WebAcl", "Arn")
        }),
    );
    association["DependsOn"] = json!(["Stage"]);
}

fn managed(priority: u32, name: &str, counted: &[&str]) -> Value {
    let overrides: Vec<Value> =
        counted.iter().map(|rule| json!({ "Name": rule, "ActionToUse": { "Count": {} } })).collect();
    let mut group = json!({ "VendorName": "AWS", "Name": name });
    if !overrides.is_empty() {
        group["RuleActionOverrides"] = json!(overrides);
    }
    json!({
        "Name": name,
        "Priority": priority,
        "OverrideAction": { "None": {} },
        "Statement": { "ManagedRuleGroupStatement": group },
        "VisibilityConfig": visibility(name)
    })
}

fn visibility(name: &str) -> Value {
    json!({ "CloudWatchMetricsEnabled": true, "SampledRequestsEnabled": true, "MetricName": name })
}

fn domain(settings: &Settings, stack: &mut Stack, name: &str, certificate: &str) {
    stack.resource(
        "ApiDomain",
        "AWS::ApiGateway::DomainName",
        json!({
            "DomainName": name,
            "RegionalCertificateArn": certificate,
            "EndpointConfiguration": { "Types": ["REGIONAL"] },
            "SecurityPolicy": "TLS_1_2"
        }),
    );
    stack.resource(
        "ApiMapping",
        "AWS::ApiGateway::BasePathMapping",
        json!({ "DomainName": reference("ApiDomain"), "RestApiId": reference("Api"), "Stage": reference("Stage") }),
    );
    if let Some(zone) = &settings.rest.hosted_zone_id {
        stack.resource(
            "ApiRecord",
            "AWS::Route53::RecordSet",
            json!({
                "HostedZoneId": zone,
                "Name": name,
                "Type": "A",
                "AliasTarget": {
                    "DNSName": attribute("ApiDomain", "RegionalDomainName"),
                    "HostedZoneId": attribute("ApiDomain", "RegionalHostedZoneId")
                }
            }),
        );
    }
}
