//! One span: begun, given attributes, and sent when it is dropped.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::context::TraceContext;
use super::conventions::ERROR_TYPE;
use super::export::Exporter;

/// Which side of a call a span is, by OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work of this process.
    Internal = 1,
    /// A call of another service.
    Client = 3,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Yes or no.
    Bool(bool),
    /// Texts.
    Texts(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Int(n.into())
    }
}
impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Double(n)
    }
}
impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}
impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

/// A span as it is sent.
#[derive(Clone, Debug)]
pub(super) struct SpanData {
    pub(super) context: TraceContext,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) start_nanos: u64,
    pub(super) end_nanos: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) failed: bool,
}

/// A span under way. Ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: TraceContext,
    /// `None` for one that is not recorded.
    recorded: Option<Box<(SpanData, Instant, Arc<Exporter>)>>,
}

impl Span {
    pub(super) fn begin(
        exporter: Arc<Exporter>,
        context: TraceContext,
        parent: Option<[u8; 8]>,
        name: String,
        kind: Kind,
    ) -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let start_nanos = u64::try_from(start.as_nanos()).unwrap_or(u64::MAX);
        let recorded = context.sampled.then(|| {
            let data = SpanData {
                context: context.clone(),
                parent,
                name,
                kind,
                start_nanos,
                end_nanos: start_nanos,
                attributes: Vec::with_capacity(16),
                failed: false,
            };
            Box::new((data, Instant::now(), exporter))
        });
        Self { context, recorded }
    }

    /// Its place, for those below it.
    #[must_use]
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Whether anybody will see it.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// Says something about it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(recorded) = &mut self.recorded {
            recorded.0.attributes.push((name, value.into()));
        }
    }

    /// Says that it failed, and why, in a stable word: a message may hold what a user wrote.
    pub fn fail(&mut self, kind: &str) {
        self.set(ERROR_TYPE, kind);
        if let Some(recorded) = &mut self.recorded {
            recorded.0.failed = true;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(recorded) = self.recorded.take() {
            let (mut data, began, exporter) = *recorded;
            let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            data.end_nanos = data.start_nanos.saturating_add(took);
            exporter.add(data);
        }
    }
}
