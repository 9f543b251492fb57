//! CloudFormation's functions, short enough to read in a property.

use serde_json::{Value, json};

pub(super) fn reference(id: &str) -> Value {
    json!({ "Ref": id })
}

pub(super) fn attribute(id: &str, name: &str) -> Value {
    json!({ "Fn::GetAtt": [id, name] })
}

pub(super) fn sub(text: impl Into<String>) -> Value {
    json!({ "Fn::Sub": text.into() })
}

pub(super) fn when(condition: &str, yes: Value, no: Value) -> Value {
    json!({ "Fn::If": [condition, yes, no] })
}

pub(super) fn no_value() -> Value {
    reference("AWS::NoValue")
}
