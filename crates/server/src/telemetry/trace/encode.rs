//! The two encodings of OTLP over HTTP: protobuf, by hand, and JSON.

use serde_json::{Value as Json, json};

use super::context::to_hex;
use super::span::{SpanData, Value};

/// What all spans of a process share.
pub(super) type Resource = [(String, Value)];

/// The name of what makes the spans.
const SCOPE: &str = "loquat";

/// As JSON.
pub(super) fn json(resource: &Resource, spans: &[SpanData]) -> Vec<u8> {
    let resource: Vec<Json> = resource.iter().map(|(name, value)| attribute(name, value)).collect();
    let spans: Vec<Json> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{
                "scope": {"name": SCOPE, "version": env!("CARGO_PKG_VERSION")},
                "spans": spans,
            }],
        }],
    })
    .to_string()
    .into_bytes()
}

fn span(span: &SpanData) -> Json {
    let attributes: Vec<Json> = span.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut out = json!({
        "traceId": to_hex(&span.context.trace_id),
        "spanId": to_hex(&span.context.span_id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": span.start_nanos.to_string(),
        "endTimeUnixNano": span.end_nanos.to_string(),
        "attributes": attributes,
        "status": if span.failed { json!({"code": 2}) } else { json!({}) },
        "flags": u8::from(span.context.sampled),
    });
    if let Some(parent) = &span.parent {
        out["parentSpanId"] = to_hex(parent).into();
    }
    if let Some(state) = &span.context.state {
        out["traceState"] = state.as_str().into();
    }
    out
}

fn attribute(name: &str, value: &Value) -> Json {
    json!({"key": name, "value": any(value)})
}

fn any(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Int(n) => json!({"intValue": n.to_string()}),
        Value::Double(n) => json!({"doubleValue": n}),
        Value::Bool(yes) => json!({"boolValue": yes}),
        Value::Texts(texts) => {
            let values: Vec<Json> = texts.iter().map(|text| json!({"stringValue": text})).collect();
            json!({"arrayValue": {"values": values}})
        }
    }
}

/// As protobuf: `ExportTraceServiceRequest`.
pub(super) fn protobuf(resource: &Resource, spans: &[SpanData]) -> Vec<u8> {
    let mut out = Wire::default();
    out.message(1, |resource_spans| {
        resource_spans.message(1, |out| {
            for (name, value) in resource {
                out.key_value(1, name, value);
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.text(1, SCOPE);
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for span in spans {
                scope_spans.message(2, |out| out.span(span));
            }
        });
    });
    out.0
}

/// Protobuf's wire format, as much of it as spans need.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Wire {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push((n & 0x7f) as u8);
    }

    fn tag(&mut self, field: u32, kind: u8) {
        self.varint(u64::from(field) << 3 | u64::from(kind));
    }

    fn number(&mut self, field: u32, n: u64) {
        self.tag(field, 0);
        self.varint(n);
    }

    fn fixed64(&mut self, field: u32, n: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn fixed32(&mut self, field: u32, n: u32) {
        self.tag(field, 5);
        self.0.extend_from_slice(&n.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u32, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn key_value(&mut self, field: u32, name: &str, value: &Value) {
        self.message(field, |out| {
            out.text(1, name);
            out.message(2, |out| out.any(value));
        });
    }

    fn any(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.text(1, text),
            Value::Bool(yes) => self.number(2, u64::from(*yes)),
            // Negative numbers are written as their two's complement.
            Value::Int(n) => self.number(3, n.cast_unsigned()),
            Value::Double(n) => self.fixed64(4, n.to_bits()),
            Value::Texts(texts) => self.message(5, |out| {
                for text in texts {
                    out.message(1, |out| out.text(1, text));
                }
            }),
        }
    }

    fn span(&mut self, span: &SpanData) {
        self.bytes(1, &span.context.trace_id);
        self.bytes(2, &span.context.span_id);
        if let Some(state) = &span.context.state {
            self.text(3, state);
        }
        if let Some(parent) = &span.parent {
            self.bytes(4, parent);
        }
        self.text(5, &span.name);
        self.number(6, span.kind as u64);
        self.fixed64(7, span.start_nanos);
        self.fixed64(8, span.end_nanos);
        for (name, value) in &span.attributes {
            self.key_value(9, name, value);
        }
        if span.failed {
            self.message(15, |status| status.number(3, 2));
        }
        self.fixed32(16, u32::from(span.context.sampled));
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::TraceContext;
    use super::super::span::Kind;
    use super::*;

    /// A field of a message: its number, and its value.
    #[derive(Debug, PartialEq)]
    enum Field {
        Number(u64),
        Bytes(Vec<u8>),
    }

    /// Reads protobuf without knowing its schema.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Field)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let mut n = 0;
            for shift in (0..).step_by(7) {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                n |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            n
        }
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let value = match tag & 7 {
                0 => Field::Number(varint(&mut bytes)),
                kind @ (1 | 5) => {
                    let (own, rest) = bytes.split_at(if kind == 1 { 8 } else { 4 });
                    bytes = rest;
                    let mut whole = [0; 8];
                    whole[..own.len()].copy_from_slice(own);
                    Field::Number(u64::from_le_bytes(whole))
                }
                2 => {
                    let len = usize::try_from(varint(&mut bytes)).unwrap();
                    let (own, rest) = bytes.split_at(len);
                    bytes = rest;
                    Field::Bytes(own.to_vec())
                }
                kind => panic!("wire type {kind}"),
            };
            out.push((tag >> 3, value));
        }
        out
    }

    fn inner(bytes: &[u8], number: u64) -> Vec<Vec<u8>> {
        let own = fields(bytes).into_iter().filter(|(field, _)| *field == number);
        own.map(|(_, value)| match value {
            Field::Bytes(bytes) => bytes,
            Field::Number(n) => panic!("{number} is {n}"),
        })
        .collect()
    }

    #[test]
    fn protobuf_says_the_same_as_json() {
        let context = TraceContext { state: Some("v=1".into()), ..TraceContext::child_of(None) };
        let data = SpanData {
            parent: Some([9; 8]),
            context: context.clone(),
            name: "chat m".into(),
            kind: Kind::Client,
            start_nanos: 1_700_000_000_000_000_000,
            end_nanos: 1_700_000_000_000_000_300,
            attributes: vec![
                ("t", "text".into()),
                ("i", Value::Int(-300)),
                ("d", 0.25.into()),
                ("b", true.into()),
                ("l", vec!["x".to_owned(), "y".to_owned()].into()),
            ],
            failed: true,
        };
        let resource = [("service.name".to_owned(), Value::from("agent"))];
        let bytes = protobuf(&resource, std::slice::from_ref(&data));
        let resource_spans = &inner(&bytes, 1)[0];
        let scope_spans = &inner(resource_spans, 2)[0];
        let service = &inner(&inner(resource_spans, 1)[0], 1)[0];
        assert_eq!(inner(service, 1)[0], b"service.name");
        let span = fields(&inner(scope_spans, 2)[0]);
        let number = |field: u64| span.iter().find(|(own, _)| *own == field).map(|(_, value)| value);
        assert_eq!(number(1), Some(&Field::Bytes(context.trace_id.to_vec())));
        assert_eq!(number(2), Some(&Field::Bytes(context.span_id.to_vec())));
        assert_eq!(number(3), Some(&Field::Bytes(b"v=1".to_vec())));
        assert_eq!(number(4), Some(&Field::Bytes(vec![9; 8])));
        assert_eq!(number(5), Some(&Field::Bytes(b"chat m".to_vec())));
        assert_eq!(number(6), Some(&Field::Number(3)));
        assert_eq!(number(7), Some(&Field::Number(data.start_nanos)));
        assert_eq!(number(8), Some(&Field::Number(data.end_nanos)));
        assert_eq!(number(15), Some(&Field::Bytes(vec![3 << 3, 2])));
        assert_eq!(number(16), Some(&Field::Number(1)));
        let attributes = inner(&inner(scope_spans, 2)[0], 9);
        let values: Vec<Vec<(u64, Field)>> =
            attributes.iter().map(|attribute| fields(&inner(attribute, 2)[0])).collect();
        assert_eq!(values[0], [(1, Field::Bytes(b"text".to_vec()))]);
        assert_eq!(values[1], [(3, Field::Number((-300_i64).cast_unsigned()))]);
        assert_eq!(values[2], [(4, Field::Number(0.25_f64.to_bits()))]);
        assert_eq!(values[3], [(2, Field::Number(1))]);
        let Field::Bytes(list) = &values[4][0].1 else { panic!("{values:?}") };
        assert_eq!(inner(list, 1).len(), 2);

        let text: Json = serde_json::from_slice(&json(&resource, &[data])).unwrap();
        let span = &text["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], to_hex(&context.trace_id));
        assert_eq!(span["attributes"][1], json!({"key": "i", "value": {"intValue": "-300"}}));
        assert_eq!(span["status"]["code"], 2);
    }
}
