//! JSON in which no object names a member twice.
//!
//! Two readers of the same bytes may disagree on which of two equal names counts; a token that is read in two ways is
//! no proof of anything.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why some bytes are not a JSON object without duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Not JSON, or nested too deeply.
    Json,
    /// JSON, but not an object.
    NotObject,
    /// Some object names a member twice.
    Duplicate,
}

/// Reads an object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(members))) => Ok(members),
        Ok(_) => Err(Malformed::NotObject),
        // Every type is welcome, so the only complaint about data (and not about syntax) is the one below.
        Err(error) if error.is_data() => Err(Malformed::Duplicate),
        Err(_) => Err(Malformed::Json),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_once_at_any_depth() {
        assert!(object(br#"{"a":[{"b":1.5},null,true,-3],"c":"d"}"#).is_ok());
        assert_eq!(object(br#"{"a":1,"a":1}"#), Err(Malformed::Duplicate));
        assert_eq!(object(br#"{"a":1,"\u0061":2}"#), Err(Malformed::Duplicate));
        assert_eq!(object(br#"{"a":[{"b":1,"b":2}]}"#), Err(Malformed::Duplicate));
        assert_eq!(object(b"[1]"), Err(Malformed::NotObject));
        assert_eq!(object(br#"{"a":1} "#).map(|members| members.len()), Ok(1));
        assert_eq!(object(br#"{"a":1}x"#), Err(Malformed::Json));
        assert_eq!(object("[".repeat(100_000).as_bytes()), Err(Malformed::Json));
        assert_eq!(object(b"\xff"), Err(Malformed::Json));
    }
}
