//! What Bedrock answers when it does not answer, and what the AWS SDK says when it could not ask.

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use loquat_agent::model::{ModelError, ModelErrorKind};

use crate::models::failure::{self, Words};
use crate::models::http::retry_after;

const PROVIDER: &str = "Amazon Bedrock";

/// A call that failed before its stream began.
pub(super) fn refused<E>(
    model: &str,
    error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>,
) -> ModelError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ServiceError(inner) => {
            let status = inner.raw().status().as_u16();
            let mut failure = service(
                model,
                inner.err().code().unwrap_or_default(),
                inner.err().message().unwrap_or_default(),
                &format!("HTTP {status}"),
                Some(status),
            );
            failure.retry_after = headers(inner.raw());
            failure
        }
        SdkError::ResponseError(inner) => {
            let status = inner.raw().status().as_u16();
            let words = Words { provider: PROVIDER, model, key: None, secret: None };
            words.error(failure::kind_of_status(status), &format!("HTTP {status}"), "")
        }
        SdkError::TimeoutError(_) => {
            ModelError::new(ModelErrorKind::Timeout, format!("{PROVIDER} did not answer in time"))
        }
        other => unsent(&chain(other)),
    }
}

/// An exception in the middle of a stream, by its name there (`throttlingException`).
pub(super) fn in_stream(name: &str, message: &str) -> ModelError {
    let mut letters = name.chars();
    // Errors before the stream are called the same, with a capital.
    let code: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    service("", &code, message, "in the middle of its answer", None)
}

/// Bytes that are not an event stream.
pub(super) fn not_the_protocol() -> ModelError {
    let what = format!("{PROVIDER} sent something that is not its protocol");
    ModelError::new(ModelErrorKind::Protocol, what)
}

/// A good head, and no body behind it.
pub(super) fn cut() -> ModelError {
    ModelError::new(ModelErrorKind::Truncated, format!("the answer of {PROVIDER} was cut"))
}

fn headers(
    response: &aws_smithy_runtime_api::client::orchestrator::HttpResponse,
) -> Option<std::time::Duration> {
    let mut headers = http::HeaderMap::new();
    for name in ["retry-after", "retry-after-ms"] {
        if let Some(value) = response.headers().get(name).and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    retry_after(&headers)
}

/// An exception of the service.
fn service(model: &str, code: &str, message: &str, place: &str, status: Option<u16>) -> ModelError {
    let words = Words { provider: PROVIDER, model, key: None, secret: None };
    let kind = match code {
        "ThrottlingException" | "ServiceQuotaExceededException" | "TooManyRequestsException" => {
            ModelErrorKind::Throttled
        }
        "InternalServerException"
        | "ServiceUnavailableException"
        | "ModelStreamErrorException"
        | "ModelErrorException"
        | "ModelNotReadyException" => ModelErrorKind::Unavailable,
        "ModelTimeoutException" => ModelErrorKind::Timeout,
        "ResourceNotFoundException" => ModelErrorKind::NotFound,
        "ValidationException" if failure::says_too_long(message) => ModelErrorKind::ContextTooLong,
        "ValidationException" if message.contains("inference profile") => {
            // "Invocation of model ID … with on-demand throughput isn't supported. Retry your request with the ID or
            // ARN of an inference profile that contains this model."
            let what = format!(
                "{PROVIDER} offers \"{model}\" through an inference profile only: use the profile's id, for example us.{model} or eu.{model}"
            );
            return ModelError::new(ModelErrorKind::NotFound, what);
        }
        "ValidationException" if message.contains("model identifier is invalid") => ModelErrorKind::NotFound,
        "ValidationException" => ModelErrorKind::BadRequest,
        "AccessDeniedException" => {
            let what = format!(
                "{PROVIDER} denies access to \"{model}\" ({place}): grant model access in the Bedrock console of this region, and allow bedrock:InvokeModelWithResponseStream for these credentials"
            );
            return ModelError::new(ModelErrorKind::Auth, what);
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "InvalidClientTokenId" => {
            let what = format!(
                "{PROVIDER} refused the credentials ({place}, {code}): sign in again, or check AWS_BEARER_TOKEN_BEDROCK, AWS_PROFILE and their like"
            );
            return ModelError::new(ModelErrorKind::Auth, what);
        }
        _ => match status {
            // 424 is the model's failure, not the request's.
            Some(424) | None => ModelErrorKind::Unavailable,
            Some(status) => failure::kind_of_status(status),
        },
    };
    words.error(kind, place, message)
}

/// The SDK could not send the request.
fn unsent(causes: &str) -> ModelError {
    let lower = causes.to_ascii_lowercase();
    if lower.contains("region") {
        let what = "no AWS region is known: set AWS_REGION, or region of this model in loquat.toml";
        return ModelError::new(ModelErrorKind::Auth, what);
    }
    if ["credential", "identity", "token", "auth scheme", "sso"].iter().any(|word| lower.contains(word)) {
        let what = "no AWS credentials were found: set AWS_BEARER_TOKEN_BEDROCK, AWS_PROFILE or AWS_ACCESS_KEY_ID, or sign in with `aws sso login`";
        return ModelError::new(ModelErrorKind::Auth, what);
    }
    if lower.contains("timed out") || lower.contains("timeout") {
        let what =
            format!("{PROVIDER} did not accept a connection in time; check the network and the region");
        return ModelError::new(ModelErrorKind::Timeout, what);
    }
    let what = format!(
        "cannot reach {PROVIDER}; check the network, the region and AWS_ENDPOINT_URL_BEDROCK_RUNTIME"
    );
    ModelError::new(ModelErrorKind::Unavailable, what)
}

/// The words of an error and of everything that caused it; only looked at, never shown.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do() {
        for (code, message, kind, part) in [
            ("AccessDeniedException", "x", ModelErrorKind::Auth, "grant model access"),
            ("ExpiredTokenException", "x", ModelErrorKind::Auth, "sign in again"),
            (
                "ValidationException",
                "Invocation of model ID m with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
                ModelErrorKind::NotFound,
                "us.m or eu.m",
            ),
            (
                "ValidationException",
                "The provided model identifier is invalid.",
                ModelErrorKind::NotFound,
                "check its name",
            ),
            (
                "ValidationException",
                "Input is too long for requested model.",
                ModelErrorKind::ContextTooLong,
                "too long",
            ),
            ("ValidationException", "Malformed.", ModelErrorKind::BadRequest, "refused the request"),
            ("ThrottlingException", "x", ModelErrorKind::Throttled, "try again later"),
            ("ModelErrorException", "x", ModelErrorKind::Unavailable, "try again later"),
            ("ModelTimeoutException", "x", ModelErrorKind::Timeout, "took too long"),
            ("ResourceNotFoundException", "x", ModelErrorKind::NotFound, "does not know the model \"m\""),
            ("SomethingNewException", "x", ModelErrorKind::Unavailable, "try again later"),
        ] {
            let error = service("m", code, message, "HTTP", None);
            assert_eq!(error.kind, kind, "{code}: {error}");
            assert!(error.message.contains(part), "{code}: {error}");
        }
        assert_eq!(service("m", "", "", "HTTP 502", Some(502)).kind, ModelErrorKind::Unavailable);
        assert_eq!(service("m", "", "", "HTTP 403", Some(403)).kind, ModelErrorKind::Auth);
        for (causes, kind) in [
            ("dispatch failure: no credentials in the provider chain", ModelErrorKind::Auth),
            ("A region must be set when sending requests", ModelErrorKind::Auth),
            ("dispatch failure: io error: Connection refused", ModelErrorKind::Unavailable),
            ("HTTP connect timeout occurred", ModelErrorKind::Timeout),
        ] {
            assert_eq!(unsent(causes).kind, kind, "{causes}");
        }
    }
}
