//! What an object store's failures mean.

use object_store::{Error, PutMode};

use crate::sessions::blob::BlobError;

/// The object is not there; the bucket is.
pub(super) fn is_no_such_object(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && code(error).as_deref() != Some("NoSuchBucket")
}

/// The condition did not hold.
pub(super) fn is_conflict(error: &Error, mode: &PutMode) -> bool {
    match (error, mode) {
        (Error::AlreadyExists { .. }, PutMode::Create) => true,
        (Error::Precondition { .. }, PutMode::Update(_)) => code(error).as_deref() != Some("NoSuchBucket"),
        _ => false,
    }
}

/// S3's 409 for an update: another conditional request for the object is under way, and this one changed nothing.
pub(super) fn is_under_way(error: &Error, mode: &PutMode) -> bool {
    matches!((error, mode), (Error::AlreadyExists { .. }, PutMode::Update(_)))
}

/// A failure in the words of the session logic. Only the status and the store's code go into its text: the answers
/// themselves name keys and access key ids.
pub(super) fn blob_error(error: &Error) -> BlobError {
    let text = text(error);
    let status = status(&text);
    let code = code_in(&text);
    let said = match (status, &code) {
        (Some(status), Some(code)) => format!("it answered {status} ({code})"),
        (Some(status), None) => format!("it answered {status}"),
        (None, Some(code)) => format!("it answered {code}"),
        (None, None) => match error {
            Error::NotFound { .. } => "there is no such bucket".to_owned(),
            _ => "no answer".to_owned(),
        },
    };
    let refused = match error {
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::InvalidPath { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. }
        | Error::NotFound { .. } => true,
        _ => status
            .is_some_and(|status| (300..500).contains(&status) && ![408, 409, 412, 429].contains(&status)),
    };
    if refused { BlobError::Refused(said) } else { BlobError::Unavailable(said) }
}

fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push('\n');
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn code(error: &Error) -> Option<String> {
    code_in(&text(error))
}

/// The code in an answer's XML.
fn code_in(text: &str) -> Option<String> {
    let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
    let is_name =
        !code.is_empty() && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_name.then(|| code.to_owned())
}

fn status(text: &str) -> Option<u16> {
    let number = text.split_once("status code: ")?.1;
    number.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn says_the_status_and_the_code_and_nothing_else() {
        let secret = "Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code>\
                      <AWSAccessKeyId>AKIAHIDDEN</AWSAccessKeyId></Error>";
        let error = blob_error(&generic(secret));
        assert_eq!(error.to_string(), "the store is not available: it answered 503 (SlowDown)");
        let error = blob_error(&generic("non-2xx status code: 400 Bad Request: <Code>ExpiredToken</Code>"));
        assert_eq!(error.to_string(), "the store refuses: it answered 400 (ExpiredToken)");
        let error = blob_error(&generic("error sending request for url (https://bucket/key)"));
        assert_eq!(error.to_string(), "the store is not available: no answer");
    }
}
