//! The fields of a request that OpenAI's SDKs send: read one by one, so that an error names the one that is wrong, and
//! none is passed over in silence.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::http::problem::Problem;

/// An object of a request.
pub(super) struct Fields {
    /// Where it stands, with a dot at the end; empty for the request itself.
    place: String,
    left: Map<String, Value>,
}

/// A value that is wrong.
pub(super) fn wrong(param: &str, why: &str) -> Problem {
    Problem::bad("invalid_value", format!("{param}: {why}")).at(param)
}

/// A value that is right, but not served here.
pub(super) fn unsupported(param: &str, why: &str) -> Problem {
    Problem::bad("unsupported_parameter", format!("{param}: {why}")).at(param)
}

impl Fields {
    /// The request itself.
    pub(super) fn new(left: Map<String, Value>) -> Self {
        Self { place: String::new(), left }
    }

    /// An object inside it.
    pub(super) fn within(place: &str, value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(left) => Ok(Self { place: format!("{place}."), left }),
            _ => Err(wrong(place, "has to be an object")),
        }
    }

    /// The full name of a field.
    pub(super) fn name(&self, field: &str) -> String {
        format!("{}{field}", self.place)
    }

    /// A field as it is; `null` is as good as absent.
    pub(super) fn value(&mut self, field: &str) -> Option<Value> {
        self.left.remove(field).filter(|value| !value.is_null())
    }

    /// A field of some form.
    pub(super) fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>, Problem> {
        let Some(value) = self.value(field) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|error| wrong(&self.name(field), &error.to_string()))
    }

    /// A field that has to be there.
    pub(super) fn need<T: DeserializeOwned>(&mut self, field: &str) -> Result<T, Problem> {
        let missing = || {
            let name = self.name(field);
            Problem::bad("missing_required_parameter", format!("{name}: is missing")).at(name)
        };
        let missing = missing();
        self.take(field)?.ok_or(missing)
    }

    /// A field that changes nothing in what is answered.
    pub(super) fn ignore(&mut self, fields: &[&str]) {
        for field in fields {
            self.left.remove(*field);
        }
    }

    /// A field of which only these values are served: the ones that ask for nothing special.
    pub(super) fn only(&mut self, field: &str, served: &[Value], why: &str) -> Result<(), Problem> {
        match self.value(field) {
            Some(value) if !served.contains(&value) => Err(unsupported(&self.name(field), why)),
            _ => Ok(()),
        }
    }

    /// Nothing else may be there.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.left.into_iter().find(|(_, value)| !value.is_null()) {
            Some((field, _)) => {
                let name = format!("{}{field}", self.place);
                Err(Problem::bad("unknown_parameter", format!("Unknown parameter: '{name}'.")).at(name))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::within("a", value).map_err(|problem| problem.detail().to_owned()).unwrap()
    }

    #[test]
    fn every_error_names_its_field() {
        let mut given = fields(json!({"n": "x", "null": null, "old": 1, "new": 2}));
        assert_eq!(given.take::<u32>("n").unwrap_err().param(), Some("a.n"));
        assert_eq!(given.need::<u32>("gone").unwrap_err().code(), "missing_required_parameter");
        assert_eq!(given.need::<u32>("null").unwrap_err().param(), Some("a.null"));
        assert!(given.only("old", &[json!(1)], "no").is_ok());
        assert_eq!(given.finish().unwrap_err().detail(), "Unknown parameter: 'a.new'.");
        assert_eq!(
            fields(json!({"n": 3})).only("n", &[json!(1)], "only 1").unwrap_err().detail(),
            "a.n: only 1"
        );
        assert!(Fields::within("a", json!([])).is_err());
    }
}
