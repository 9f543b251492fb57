//! From a tool's input to a request. The input decides parts of paths and queries, never where the request goes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::document::{BODY, Operation, Place};

/// The address, the headers and the body of a request.
///
/// # Errors
/// A value that cannot be written where it belongs; for the model.
pub(super) fn build(
    operation: &Operation,
    base: &Url,
    input: &Value,
) -> Result<(Url, HeaderMap, Option<Bytes>), String> {
    let mut path = operation.path.clone();
    let mut query: Vec<(String, String)> = Vec::new();
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/plain;q=0.9, */*;q=0.5"));
    for parameter in &operation.parameters {
        let Some(value) = input.get(&parameter.property).filter(|value| !value.is_null()) else {
            if parameter.required {
                return Err(format!("{} must be given", parameter.property));
            }
            continue;
        };
        match parameter.place {
            Place::Path => {
                let text = joined(value);
                // Encoded as a whole, a value stays one segment; these two would be taken as directions all the same.
                if matches!(text.as_str(), "" | "." | "..") {
                    return Err(format!("{} must not be \"{text}\"", parameter.property));
                }
                let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
                path = path.replace(&format!("{{{}}}", parameter.name), &encoded);
            }
            Place::Query => match value {
                Value::Array(items) if parameter.explode => {
                    query.extend(items.iter().map(|item| (parameter.name.clone(), plain(item))));
                }
                Value::Object(fields) if parameter.explode => {
                    query.extend(fields.iter().map(|(name, value)| (name.clone(), plain(value))));
                }
                value => query.push((parameter.name.clone(), joined(value))),
            },
            Place::Header => {
                let name = HeaderName::from_bytes(parameter.name.as_bytes());
                let value = HeaderValue::from_str(&joined(value));
                match (name, value) {
                    (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
                    _ => return Err(format!("{} cannot be sent as a header", parameter.property)),
                }
            }
        }
    }
    let mut url = base.clone();
    let prefix = base.path().trim_end_matches('/');
    url.set_path(&format!("{prefix}{path}"));
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(&query);
    }
    let body = match (&operation.body, input.get(BODY)) {
        (Some(kind), Some(value)) => {
            let content = HeaderValue::from_str(kind).map_err(|error| error.to_string())?;
            headers.insert(header::CONTENT_TYPE, content);
            Some(encode(kind, value))
        }
        _ => None,
    };
    Ok((url, headers, body))
}

fn encode(kind: &str, value: &Value) -> Bytes {
    match (kind.split(';').next().unwrap_or_default(), value) {
        ("application/x-www-form-urlencoded", Value::Object(fields)) => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in fields {
                form.append_pair(name, &plain(value));
            }
            form.finish().into()
        }
        ("text/plain", value) => plain(value).into(),
        (_, value) => value.to_string().into(),
    }
}

/// One value as text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One value, or several with commas between them.
fn joined(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => plain(other),
    }
}
