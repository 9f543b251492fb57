//! Stored conversations: a bucket that forgets, encrypted, reachable over TLS only; or one that exists.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, reference, sub},
};
use crate::settings::Settings;

/// How long the sums of a day are kept: a year can be looked back.
const USAGE_DAYS: u32 = 400;

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    // The only place a function may write to; it goes with the instance, so nothing is kept there.
    stack.env("LOQUAT_DATA_DIR", "/tmp/loquat");
    if !settings.sessions.enabled {
        stack.env("LOQUAT_STORE", "none");
        return;
    }
    stack.env("LOQUAT_SESSION_TTL", format!("{}h", settings.sessions.ttl_hours));
    if let Some(bucket) = &settings.sessions.bucket {
        stack.env("SESSION_BUCKET", bucket.as_str());
        access(
            stack,
            sub(format!("arn:${{AWS::Partition}}:s3:::{bucket}")),
            sub(format!("arn:${{AWS::Partition}}:s3:::{bucket}/*")),
        );
        if let Some(key) = &settings.sessions.kms_key_arn {
            stack.allow(&["kms:Decrypt", "kms:GenerateDataKey"], json!([key]));
        }
        return;
    }
    let days = settings.sessions.ttl_hours.div_ceil(24).max(1);
    stack.data_resource(
        "SessionBucket",
        "AWS::S3::Bucket",
        json!({
            "BucketEncryption": { "ServerSideEncryptionConfiguration": [{
                "BucketKeyEnabled": true,
                "ServerSideEncryptionByDefault": { "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": attribute("Key", "Arn") }
            }] },
            "LifecycleConfiguration": { "Rules": lifecycle(days) },
            "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
            "PublicAccessBlockConfiguration": block_public_access()
        }),
    );
    stack.resource("SessionBucketPolicy", "AWS::S3::BucketPolicy", tls_only("SessionBucket", &[]));
    stack.env("SESSION_BUCKET", reference("SessionBucket"));
    access(stack, attribute("SessionBucket", "Arn"), sub("${SessionBucket.Arn}/*"));
    stack.allow(&["kms:Decrypt", "kms:GenerateDataKey"], json!([attribute("Key", "Arn")]));
    stack.output("SessionBucketName", "The bucket with the conversations", reference("SessionBucket"));
}

/// What the store forgets, and when. What an agent remembers of a user (`memory/`) is forgotten on demand only.
fn lifecycle(days: u32) -> Vec<Value> {
    // Where nobody signs in the index is one object, `index.json`.
    let prefixes = [
        ("sessions", "/", days),
        ("index", "", days),
        ("runs", "/", days),
        ("stops", "/", days),
        ("usage", "/", USAGE_DAYS),
    ];
    let mut rules: Vec<Value> = prefixes
        .map(|(name, end, days)| {
            json!({ "Id": name, "Prefix": format!("{name}{end}"), "Status": "Enabled", "ExpirationInDays": days })
        })
        .into();
    rules.push(json!({
        "Id": "uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 }
    }));
    rules
}

/// The object level for reads and conditional writes, the bucket level for listing.
fn access(stack: &mut Stack, bucket: Value, objects: Value) {
    stack.allow(&["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], json!([objects]));
    stack.allow(&["s3:ListBucket"], json!([bucket]));
}

pub(super) fn block_public_access() -> Value {
    json!({
        "BlockPublicAcls": true,
        "BlockPublicPolicy": true,
        "IgnorePublicAcls": true,
        "RestrictPublicBuckets": true
    })
}

/// A bucket policy that refuses plain HTTP, with more statements after it.
pub(super) fn tls_only(bucket: &str, more: &[Value]) -> Value {
    let mut statements = vec![json!({
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": { "AWS": "*" },
        "Action": "s3:*",
        "Resource": [attribute(bucket, "Arn"), sub(format!("${{{bucket}.Arn}}/*"))],
        "Condition": { "Bool": { "aws:SecureTransport": "false" } }
    })];
    statements.extend_from_slice(more);
    json!({
        "Bucket": reference(bucket),
        "PolicyDocument": { "Version": "2012-10-17", "Statement": statements }
    })
}
