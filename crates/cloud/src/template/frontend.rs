//! The page: a private bucket behind CloudFront with origin access control, security headers and SPA routing.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, reference, sub},
    sessions::{block_public_access, tls_only},
};
use crate::settings::{AuthKind, Settings};

/// CloudFront's managed policies.
pub(super) const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
const CACHING_OPTIMIZED: &str = "658327ea-f89d-4fab-a63d-7e88639e58f6";
pub(super) const ALL_VIEWER_EXCEPT_HOST: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";

/// What is one of its kind in the whole account, whatever the region, is told apart from another region's.
pub(super) const WORLDWIDE_NAME: &str = "${AWS::StackName}-${AWS::Region}";

/// Paths without a dot are the application's own: they all get its one page.
const ROUTER: &str = "function handler(event) {\n  var request = event.request;\n  if (request.uri.indexOf('.') === -1) { request.uri = '/index.html'; }\n  return request;\n}\n";

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    if !settings.has_page_bucket() {
        return;
    }
    stack.resource(
        "PageBucket",
        "AWS::S3::Bucket",
        json!({
            "BucketEncryption": { "ServerSideEncryptionConfiguration": [
                { "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }
            ] },
            "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
            "PublicAccessBlockConfiguration": block_public_access()
        }),
    );
    stack.resource(
        "PageAccess",
        "AWS::CloudFront::OriginAccessControl",
        json!({ "OriginAccessControlConfig": {
            "Name": sub(WORLDWIDE_NAME),
            "OriginAccessControlOriginType": "s3",
            "SigningBehavior": "always",
            "SigningProtocol": "sigv4"
        } }),
    );
    stack.resource(
        "PageRouter",
        "AWS::CloudFront::Function",
        json!({
            "Name": sub(WORLDWIDE_NAME),
            "AutoPublish": true,
            "FunctionCode": ROUTER,
            "FunctionConfig": { "Comment": "SPA routing", "Runtime": "cloudfront-js-2.0" }
        }),
    );
    stack.resource("PageHeaders", "AWS::CloudFront::ResponseHeadersPolicy", headers(settings));
    let mut configuration = distribution(settings);
    names(settings, &mut configuration);
    stack.resource(
        "Distribution",
        "AWS::CloudFront::Distribution",
        json!({ "DistributionConfig": configuration }),
    );
    let read = json!({
        "Sid": "TheDistributionReads",
        "Effect": "Allow",
        "Principal": { "Service": "cloudfront.amazonaws.com" },
        "Action": "s3:GetObject",
        "Resource": sub("${PageBucket.Arn}/*"),
        "Condition": { "StringEquals": {
            "AWS:SourceArn": sub("arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}")
        } }
    });
    stack.resource("PageBucketPolicy", "AWS::S3::BucketPolicy", tls_only("PageBucket", &[read]));
    stack.output("PageUrl", "The page", page_url(settings, ""));
    stack.output("PageBucketName", "The bucket with the page's files", reference("PageBucket"));
    stack.output("DistributionId", "The page's distribution", reference("Distribution"));
}

/// The page's address with `path` after it.
pub(super) fn page_url(settings: &Settings, path: &str) -> Value {
    settings.frontend.domain_name.as_ref().map_or_else(
        || sub(format!("https://${{Distribution.DomainName}}{path}")),
        |name| json!(format!("https://{name}{path}")),
    )
}

/// The name and certificate of a distribution.
pub(super) fn names(settings: &Settings, configuration: &mut Value) {
    if let (Some(name), Some(certificate)) =
        (&settings.frontend.domain_name, &settings.frontend.certificate_arn)
    {
        configuration["Aliases"] = json!([name]);
        configuration["ViewerCertificate"] = json!({
            "AcmCertificateArn": certificate,
            "MinimumProtocolVersion": "TLSv1.2_2021",
            "SslSupportMethod": "sni-only"
        });
    }
}

fn distribution(settings: &Settings) -> Value {
    let behaviour = |cache: &str| {
        json!({
            "TargetOriginId": "page",
            "ViewerProtocolPolicy": "redirect-to-https",
            "AllowedMethods": ["GET", "HEAD"],
            "Compress": true,
            "CachePolicyId": cache,
            "ResponseHeadersPolicyId": reference("PageHeaders"),
            "FunctionAssociations": [
                { "EventType": "viewer-request", "FunctionARN": attribute("PageRouter", "FunctionMetadata.FunctionARN") }
            ]
        })
    };
    // Assets carry a digest in their names; the page and its configuration do not and must always be fresh.
    let mut assets = behaviour(CACHING_OPTIMIZED);
    assets["PathPattern"] = json!("/assets/*");
    json!({
        "Comment": sub("${AWS::StackName}"),
        "Enabled": true,
        "DefaultRootObject": "index.html",
        "HttpVersion": "http2and3",
        "IPV6Enabled": true,
        "PriceClass": settings.frontend.price_class,
        "Origins": [{
            "Id": "page",
            "DomainName": attribute("PageBucket", "RegionalDomainName"),
            "OriginAccessControlId": attribute("PageAccess", "Id"),
            "S3OriginConfig": { "OriginAccessIdentity": "" }
        }],
        "DefaultCacheBehavior": behaviour(CACHING_DISABLED),
        "CacheBehaviors": [assets]
    })
}

fn headers(settings: &Settings) -> Value {
    json!({ "ResponseHeadersPolicyConfig": {
        "Name": sub(WORLDWIDE_NAME),
        "SecurityHeadersConfig": {
            "ContentSecurityPolicy": { "Override": true, "ContentSecurityPolicy": content_security_policy(settings) },
            "ContentTypeOptions": { "Override": true },
            "FrameOptions": { "Override": true, "FrameOption": "DENY" },
            "ReferrerPolicy": { "Override": true, "ReferrerPolicy": "strict-origin-when-cross-origin" },
            "StrictTransportSecurity": {
                "Override": true, "AccessControlMaxAgeSec": 63_072_000, "IncludeSubdomains": true, "Preload": true
            }
        }
    } })
}

fn content_security_policy(settings: &Settings) -> Value {
    let mut connect = vec![match &settings.rest.domain_name {
        Some(name) => format!("https://{name}"),
        None => "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}".into(),
    }];
    match settings.auth.kind {
        AuthKind::Cognito => {
            connect.push("https://cognito-idp.${AWS::Region}.${AWS::URLSuffix}".into());
            if settings.owns_user_pool() {
                connect.push("https://${UserPoolDomain}.auth.${AWS::Region}.amazoncognito.com".into());
            }
        }
        AuthKind::Oidc => connect.push(origin_of(settings.auth.issuer.as_deref().unwrap_or_default())),
        AuthKind::None => {}
    }
    sub(format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; \
         connect-src 'self' {}; manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        connect.join(" ")
    ))
}

/// Scheme and host of a URL.
fn origin_of(url: &str) -> String {
    url.split('/').take(3).collect::<Vec<_>>().join("/")
}
