//! AWS's reasons in plain words, with what to do about them.

/// Part of a reason, and what it means.
const MEANINGS: &[(&str, &str)] = &[
    (
        "Domain already associated with another user pool",
        "the sign-in domain is taken: set auth.domain_prefix",
    ),
    ("BucketAlreadyExists", "somebody else has a bucket of that name"),
    (
        "BucketAlreadyOwnedByYou",
        "a bucket of that name is left from an earlier deployment: empty and delete it",
    ),
    ("BucketNotEmpty", "the bucket is not empty: `loquat destroy` empties the buckets it made"),
    ("CloudWatch Logs role ARN must be set", "the account's API Gateway log role is missing: deploy again"),
    ("is not authorized to perform", "your AWS user lacks a permission"),
    ("AccessDenied", "your AWS user lacks a permission"),
    ("The role defined for the function cannot be assumed", "IAM was not ready yet: deploy again"),
    (
        "decreases account's UnreservedConcurrentExecution",
        "the account's Lambda concurrency is too low for reserved_concurrency",
    ),
    ("already exists", "something of that name exists outside the stack: delete it or choose another name"),
    ("LimitExceeded", "a limit of the account is reached: ask AWS to raise it, or remove what is unused"),
    ("Rate exceeded", "AWS asked for patience: deploy again"),
    ("Error occurred while GetObject", "the package is not in the deployment bucket, or in another region"),
    ("CNAMEAlreadyExists", "another distribution has that domain name"),
    ("certificate", "the certificate does not fit: the API's must be in its region, the page's in us-east-1"),
];

/// A reason with its meaning before it, where it is a known one.
pub fn explain(reason: &str) -> String {
    match MEANINGS.iter().find(|(part, _)| reason.contains(part)) {
        Some((_, meaning)) => format!("{meaning} (AWS: {reason})"),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn known_reasons_say_what_to_do() {
        let text = explain(
            "Resource handler returned message: \"User: x is not authorized to perform: iam:CreateRole\"",
        );
        assert!(text.starts_with("your AWS user lacks a permission"), "{text}");
        assert_eq!(explain("Strange"), "Strange");
    }
}
