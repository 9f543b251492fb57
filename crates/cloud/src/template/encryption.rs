//! One key for everything the stack stores: sessions, logs, alarms.
//!
//! The account's own statement lists its actions, so that a rule can forbid `*` without an exception.

use serde_json::json;

use super::{Stack, intrinsics::sub};
use crate::settings::Settings;

pub(super) fn add(_settings: &Settings, stack: &mut Stack) {
    let statements = json!([
        {
            "Sid": "TheAccountManagesTheKey",
            "Effect": "Allow",
            "Principal": { "AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root") },
            "Action": [
                "kms:CancelKeyDeletion", "kms:CreateAlias", "kms:CreateGrant", "kms:Decrypt", "kms:DeleteAlias",
                "kms:DescribeKey", "kms:DisableKey", "kms:DisableKeyRotation", "kms:EnableKey",
                "kms:EnableKeyRotation", "kms:Encrypt", "kms:GenerateDataKey",
                "kms:GenerateDataKeyWithoutPlaintext", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
                "kms:ListGrants", "kms:ListKeyPolicies", "kms:ListResourceTags", "kms:ListRetirableGrants",
                "kms:PutKeyPolicy", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:RetireGrant",
                "kms:RevokeGrant", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
                "kms:UpdateAlias", "kms:UpdateKeyDescription"
            ],
            "Resource": "*"
        },
        {
            "Sid": "LogGroupsOfThisStack",
            "Effect": "Allow",
            "Principal": { "Service": sub("logs.${AWS::Region}.${AWS::URLSuffix}") },
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey",
                       "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"],
            "Resource": "*",
            "Condition": { "ArnLike": { "kms:EncryptionContext:aws:logs:arn":
                sub("arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/loquat/${AWS::StackName}/*") } }
        },
        {
            "Sid": "AlarmsIntoTheTopic",
            "Effect": "Allow",
            "Principal": { "Service": "cloudwatch.amazonaws.com" },
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "*",
            "Condition": { "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } }
        }
    ]);
    stack.data_resource(
        "Key",
        "AWS::KMS::Key",
        json!({
            "Description": sub("Sessions, logs and alarms of ${AWS::StackName}"),
            "EnableKeyRotation": true,
            "PendingWindowInDays": 7,
            "KeyPolicy": { "Version": "2012-10-17", "Statement": statements }
        }),
    );
}
