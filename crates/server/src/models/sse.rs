//! Reading `text/event-stream` as it arrives.
//!
//! Bytes go in as the network delivers them, whole events come out. An event that its empty line does not end is never
//! handed out: half a frame is a cut stream, not a frame.

use std::borrow::Cow;

/// Largest event that is accepted, in bytes. Providers stay below a few kilobytes; a base64 image needs megabytes.
const MAX_EVENT: usize = 16 * 1024 * 1024;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The `event:` field, empty if there was none.
    pub name: Cow<'a, str>,
    /// The `data:` lines, joined by line feeds.
    pub data: Cow<'a, str>,
}

/// An event larger than the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// An incremental parser: [`SseParser::feed`] bytes, then take events until there are none.
#[derive(Debug, Default)]
pub struct SseParser {
    /// Bytes not yet looked at, from `at` on.
    buffer: Vec<u8>,
    at: usize,
    /// Fields of the event that is being read.
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The event in `name` and `data` was handed out: start afresh at the next line.
    handed_out: bool,
    /// The last line ended in a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    started: bool,
    /// The last `id:` of the stream.
    id: Vec<u8>,
}

impl SseParser {
    /// Adds bytes as they arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        // What was consumed is dropped here, once a chunk, and not once an event.
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The last id the stream has given, the one of the event at hand included; empty if there was none.
    #[must_use]
    pub fn last_id(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.id)
    }

    /// The next whole event, `None` if more bytes are needed.
    pub fn next_event(&mut self) -> Result<Option<SseEvent<'_>>, TooLarge> {
        if self.handed_out {
            self.handed_out = false;
            self.name.clear();
            self.data.clear();
            self.has_data = false;
        }
        if !self.started {
            const MARK: &[u8] = b"\xef\xbb\xbf";
            let seen = self.buffer.len().min(MARK.len());
            if seen < MARK.len() && self.buffer[..seen] == MARK[..seen] {
                return Ok(None);
            }
            if self.buffer.starts_with(MARK) {
                self.at = MARK.len();
            }
            self.started = true;
        }
        loop {
            if self.after_cr && self.at < self.buffer.len() {
                self.after_cr = false;
                if self.buffer[self.at] == b'\n' {
                    self.at += 1;
                }
            }
            let rest = &self.buffer[self.at..];
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return if rest.len() + self.data.len() > MAX_EVENT { Err(TooLarge) } else { Ok(None) };
            };
            let line = &rest[..end];
            self.after_cr = rest[end] == b'\r';
            self.at += end + 1;
            if line.is_empty() {
                if self.has_data {
                    self.handed_out = true;
                    return Ok(Some(SseEvent {
                        name: String::from_utf8_lossy(&self.name),
                        data: String::from_utf8_lossy(&self.data),
                    }));
                }
                self.name.clear();
                continue;
            }
            let (field, value) = match line.iter().position(|byte| *byte == b':') {
                Some(colon) => {
                    let value = &line[colon + 1..];
                    (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
                }
                None => (line, &line[..0]),
            };
            match field {
                b"data" => {
                    if self.has_data {
                        self.data.push(b'\n');
                    }
                    self.has_data = true;
                    self.data.extend_from_slice(value);
                    if self.data.len() > MAX_EVENT {
                        return Err(TooLarge);
                    }
                }
                b"event" => {
                    self.name.clear();
                    self.name.extend_from_slice(value);
                }
                b"id" => {
                    self.id.clear();
                    self.id.extend_from_slice(value);
                }
                // Comments, `retry` and unknown fields mean nothing here.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            parser.feed(chunk);
            while let Some(event) = parser.next_event().unwrap() {
                events.push((event.name.into_owned(), event.data.into_owned()));
            }
        }
        events
    }

    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
        assert_eq!(parse([text.as_bytes()]), expected, "{text:?} at once");
        assert_eq!(parse(text.as_bytes().chunks(1)), expected, "{text:?} byte by byte");
    }

    #[test]
    fn follows_the_standard() {
        check("data: a\n\n", &[("", "a")]);
        check("data:a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("event: x\ndata: a\ndata:  b\n\n", &[("x", "a\n b")]);
        check("event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", &[("x", "a"), ("", "b")]);
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check(": comment\n\nid: 1\nretry: 5\ndata: a\n\n", &[("", "a")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("data\n\n", &[("", "")]);
        check("event: lost\n\ndata: a\n\n", &[("", "a")]);
        check("data: grüße 🦀\n\n", &[("", "grüße 🦀")]);
        check("data: a:b\n\n", &[("", "a:b")]);
    }

    #[test]
    fn half_an_event_is_none() {
        check("data: a\n\ndata: [DONE]\n", &[("", "a")]);
        check("data: a\n\ndata: b", &[("", "a")]);
        check("", &[]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut parser = SseParser::default();
        parser.feed(b"data: ");
        parser.feed(&vec![b'x'; MAX_EVENT + 1]);
        assert_eq!(parser.next_event(), Err(TooLarge));
    }

    proptest! {
        /// However the network cuts the bytes, the events are the same.
        #[test]
        fn chunks_do_not_matter(
            text in "(data: [a-zé🦀 ]{0,6}(\n|\r\n|\r)|event: [a-z]{0,3}(\n|\r\n)|:[ a-z]{0,3}\n|\n|\r\n){0,12}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(chunks), parse([bytes]));
        }
    }
}
