//! JSON values as the AWS SDK writes them.

use std::collections::HashMap;

use aws_smithy_types::{Document, Number};
use serde_json::Value;

/// The SDK's form of a JSON value.
pub(super) fn document(value: &Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(*value),
        Value::Number(number) => Document::Number(if let Some(value) = number.as_u64() {
            Number::PosInt(value)
        } else if let Some(value) = number.as_i64() {
            Number::NegInt(value)
        } else {
            Number::Float(number.as_f64().unwrap_or_default())
        }),
        Value::String(text) => Document::String(text.clone()),
        Value::Array(values) => Document::Array(values.iter().map(document).collect()),
        Value::Object(map) => Document::Object(
            map.iter().map(|(key, value)| (key.clone(), document(value))).collect::<HashMap<_, _>>(),
        ),
    }
}
