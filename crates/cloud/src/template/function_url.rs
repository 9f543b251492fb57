//! A function URL behind CloudFront: the second way to stream, without API Gateway's price and limits.
//!
//! The URL itself takes anybody (`AuthType: NONE`), because CloudFront's signing would overwrite the caller's
//! `Authorization` header; the server verifies every token, and `auth.type = "none"` has to be asked for.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, sub},
};
use crate::settings::Settings;

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    stack.resource(
        "Url",
        "AWS::Lambda::Url",
        json!({
            "TargetFunctionArn": attribute("Function", "Arn"),
            "AuthType": "NONE",
            "InvokeMode": "RESPONSE_STREAM"
        }),
    );
    stack.resource(
        "UrlPermission",
        "AWS::Lambda::Permission",
        json!({
            "Action": "lambda:InvokeFunctionUrl",
            "FunctionName": attribute("Function", "Arn"),
            "FunctionUrlAuthType": "NONE",
            "Principal": "*"
        }),
    );
    // Since October 2025 a URL needs this one too; it counts only for calls that come through the URL.
    stack.resource(
        "UrlInvokePermission",
        "AWS::Lambda::Permission",
        json!({
            "Action": "lambda:InvokeFunction",
            "FunctionName": attribute("Function", "Arn"),
            "InvokedViaFunctionUrl": true,
            "Principal": "*"
        }),
    );
    let mut configuration = json!({
        "Comment": sub("${AWS::StackName}"),
        "Enabled": true,
        "HttpVersion": "http2and3",
        "IPV6Enabled": true,
        "PriceClass": settings.frontend.price_class,
        "Origins": [origin()],
        "DefaultCacheBehavior": {
            "TargetOriginId": "function",
            "ViewerProtocolPolicy": "redirect-to-https",
            "AllowedMethods": ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"],
            // Compression would hold frames back until a block is full.
            "Compress": false,
            "CachePolicyId": super::frontend::CACHING_DISABLED,
            "OriginRequestPolicyId": super::frontend::ALL_VIEWER_EXCEPT_HOST
        }
    });
    super::frontend::names(settings, &mut configuration);
    stack.resource(
        "Distribution",
        "AWS::CloudFront::Distribution",
        json!({ "DistributionConfig": configuration }),
    );
    let url = super::frontend::page_url(settings, "");
    stack.output("ApiUrl", "The API; POST /chat is under it", url.clone());
    stack.output("PageUrl", "The page", url);
    stack.output("FunctionUrl", "The function's own URL, for tests", attribute("Url", "FunctionUrl"));
}

/// Heartbeats come every ten seconds, so a minute without a byte is a dead stream.
fn origin() -> Value {
    json!({
        "Id": "function",
        "DomainName": { "Fn::Select": [2, { "Fn::Split": ["/", attribute("Url", "FunctionUrl")] }] },
        "CustomOriginConfig": {
            "OriginProtocolPolicy": "https-only",
            "OriginSSLProtocols": ["TLSv1.2"],
            "OriginReadTimeout": 60,
            "OriginKeepaliveTimeout": 60
        }
    })
}
