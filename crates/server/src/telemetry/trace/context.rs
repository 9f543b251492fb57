//! Where a span stands, and how that is told to other services: W3C `traceparent` and `X-Amzn-Trace-Id`, in and out.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The W3C headers and Amazon's.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to the W3C header.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Amazon's header.
pub const XRAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// A span's place: which trace, which span, and whether it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span; zeros where only the trace is known, which is all that a load balancer or API Gateway says.
    pub span_id: [u8; 8],
    /// Whether spans of this trace are recorded.
    pub sampled: bool,
    /// Whether somebody has decided on that.
    pub decided: bool,
    /// What vendors said, passed on as it is.
    pub state: Option<String>,
    /// It came from another process.
    pub remote: bool,
}

impl TraceContext {
    /// The place of a new span: in the parent's trace, or at the root of one of its own, whose id is one that X-Ray
    /// takes too (it begins with the time).
    #[must_use]
    pub fn child_of(parent: Option<&Self>) -> Self {
        let mut span_id = fastrand::u64(1..).to_be_bytes();
        if span_id == [0; 8] {
            span_id[7] = 1;
        }
        match parent {
            Some(parent) => Self { span_id, remote: false, decided: true, ..parent.clone() },
            None => {
                let mut trace_id = fastrand::u128(1..).to_be_bytes();
                let now = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX);
                trace_id[..4].copy_from_slice(&now.to_be_bytes());
                Self { trace_id, span_id, sampled: true, decided: true, state: None, remote: false }
            }
        }
    }

    /// From the headers of a request: W3C's, else Amazon's. Lambda hands out a trace that is not sampled wherever X-Ray
    /// is not used; unless `xray_decides`, such a one is passed over, or nothing would ever be recorded there.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, xray_decides: bool) -> Option<Self> {
        let text = |name: &HeaderName| headers.get(name)?.to_str().ok();
        let w3c = text(&TRACEPARENT).and_then(Self::parse_traceparent).map(|mut context| {
            // A list of vendors longer than this is cut by the standard anyway.
            context.state = text(&TRACESTATE).filter(|state| state.len() <= 512).map(str::to_owned);
            context
        });
        let obeyed = |xray: &Self| xray.sampled || !xray.decided || xray_decides;
        let xray = || text(&XRAY).and_then(Self::parse_xray).filter(obeyed);
        w3c.or_else(xray)
    }

    /// `00-<trace>-<span>-<flags>`.
    #[must_use]
    pub fn parse_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex::<1>(parts.next()?)?[0];
        let (trace_id, span_id) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
        let flags = hex::<1>(parts.next()?)?[0];
        // Later versions may add parts; version 00 has none, and ff is no version.
        let valid = version != 0xff && (version != 0 || parts.next().is_none());
        (valid && trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
            decided: true,
            state: None,
            remote: true,
        })
    }

    /// `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=1`. Who only routes a request says `Root` alone: then the trace is
    /// known, but no span to stand below, and nobody has decided whether it is recorded.
    #[must_use]
    pub fn parse_xray(text: &str) -> Option<Self> {
        let field =
            |name: &str| text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let root = field("Root")?.strip_prefix("1-")?;
        let (time, rest) = root.split_once('-')?;
        let trace_id = hex::<16>(&format!("{time}{rest}"))?;
        let span_id = match field("Parent") {
            Some(parent) => hex::<8>(parent).filter(|id| *id != [0; 8])?,
            None => [0; 8],
        };
        let sampled = field("Sampled");
        (trace_id != [0; 16]).then_some(Self {
            trace_id,
            span_id,
            sampled: sampled == Some("1"),
            decided: matches!(sampled, Some("0" | "1")),
            state: None,
            remote: true,
        })
    }

    /// The span, where one is known.
    #[must_use]
    pub fn span(&self) -> Option<[u8; 8]> {
        (self.span_id != [0; 8]).then_some(self.span_id)
    }

    /// As `traceparent`, which needs a span.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", to_hex(&self.trace_id), to_hex(&self.span_id), u8::from(self.sampled))
    }

    /// As `X-Amzn-Trace-Id`.
    #[must_use]
    pub fn xray(&self) -> String {
        let trace = to_hex(&self.trace_id);
        let (time, rest) = trace.split_at(8);
        let mut text = format!("Root=1-{time}-{rest}");
        // Writing to a string cannot fail.
        if let Some(span) = self.span() {
            let _ = write!(text, ";Parent={}", to_hex(&span));
        }
        if self.decided {
            let _ = write!(text, ";Sampled={}", u8::from(self.sampled));
        }
        text
    }

    /// The headers that tell another service, by name.
    #[must_use]
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = vec![(XRAY, self.xray())];
        headers.extend(self.span().map(|_| (TRACEPARENT, self.traceparent())));
        headers.extend(self.state.clone().map(|state| (TRACESTATE, state)));
        let value = |(name, text): (HeaderName, String)| Some((name, HeaderValue::from_str(&text).ok()?));
        headers.into_iter().filter_map(value).collect()
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(n * 2..n * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_headers_and_writes_them() {
        let text = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        let context = TraceContext::parse_traceparent(text).unwrap();
        assert_eq!(context.traceparent(), text);
        let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        assert_eq!(context.xray(), xray);
        assert_eq!(TraceContext::parse_xray(xray), Some(context.clone()));
        let unsampled = TraceContext::parse_xray(&xray.replace("Sampled=1", "Sampled=0;Lineage=x")).unwrap();
        assert!(!unsampled.sampled);
        let later = format!("01{}-more", &text[2..]);
        assert!(TraceContext::parse_traceparent(&later).is_some());
    }

    #[test]
    fn nonsense_is_no_context() {
        for text in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-0000000000000000-01",
            "ff-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-5759E988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-x",
        ] {
            assert_eq!(TraceContext::parse_traceparent(text), None, "{text}");
        }
        for text in ["", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0", "Root=1-é-x;Parent=é", "Self=1"]
        {
            assert_eq!(TraceContext::parse_xray(text), None, "{text}");
        }
    }

    /// What API Gateway and load balancers add.
    #[test]
    fn a_trace_without_a_span_is_gone_on_with() {
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        let mut headers = HeaderMap::new();
        headers.insert(XRAY, HeaderValue::from_static(root));
        let context = TraceContext::from_headers(&headers, false).unwrap();
        assert_eq!((context.span(), context.decided), (None, false));
        // Passed on by who sends no spans: as it came.
        assert_eq!(context.headers(), [(XRAY, HeaderValue::from_static(root))]);
        let child = TraceContext::child_of(Some(&context));
        assert_eq!(child.trace_id, context.trace_id);
        assert!(child.xray().starts_with(&format!("{root};Parent=")));
    }

    #[test]
    fn xray_decides_only_if_it_is_used() {
        let mut headers = HeaderMap::new();
        let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0";
        headers.insert(XRAY, HeaderValue::from_static(xray));
        assert_eq!(TraceContext::from_headers(&headers, false), None);
        assert!(TraceContext::from_headers(&headers, true).is_some());
        // W3C's header is the caller's own word.
        let w3c = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00";
        headers.insert(TRACEPARENT, HeaderValue::from_static(w3c));
        assert!(!TraceContext::from_headers(&headers, false).unwrap().sampled);
    }

    #[test]
    fn a_child_stands_in_its_parents_trace() {
        let root = TraceContext::child_of(None);
        let child = TraceContext::child_of(Some(&root));
        assert_eq!(child.trace_id, root.trace_id);
        assert_ne!(child.span_id, root.span_id);
        let age = jiff::Timestamp::now().as_second()
            - i64::from(u32::from_be_bytes(root.trace_id[..4].try_into().unwrap()));
        assert!((0..5).contains(&age));
    }
}
