//! Reads the two stream forms that are measured: the chat dialect (SSE) and Bedrock's ConverseStream (binary frames).

use std::borrow::Cow;

use serde::Deserialize;

/// One thing a stream says.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece<'a> {
    /// A piece of the answer.
    Text(Cow<'a, str>),
    /// The proper end.
    Done,
    /// The stream says that it failed.
    Failed(String),
}

/// Which form a system answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `data: {"text": "…"}` … `event: done`.
    Sse,
    /// ConverseStream frames.
    Converse,
}

/// A decoder that is fed bytes as they come.
#[derive(Debug)]
pub struct Decoder {
    form: Form,
    /// What is not a whole frame or line yet.
    rest: Vec<u8>,
    event: String,
}

#[derive(Deserialize)]
struct TextFrame<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct DeltaFrame<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

impl Decoder {
    /// A decoder of one stream.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self { form, rest: Vec::new(), event: String::new() }
    }

    /// Takes the next bytes and reports the pieces that they complete.
    ///
    /// # Errors
    /// Bytes that are not of the form.
    pub fn feed(&mut self, bytes: &[u8], mut on: impl FnMut(Piece<'_>)) -> Result<(), String> {
        // The buffer is taken out for the time of reading, so that pieces can borrow from it.
        let mut rest = std::mem::take(&mut self.rest);
        let joined = !rest.is_empty();
        if joined {
            rest.extend_from_slice(bytes);
        }
        let all: &[u8] = if joined { &rest } else { bytes };
        let used = match self.form {
            Form::Sse => sse(all, &mut self.event, &mut on)?,
            Form::Converse => converse(all, &mut on)?,
        };
        self.rest = all[used..].to_vec();
        Ok(())
    }
}

fn sse(all: &[u8], event: &mut String, on: &mut impl FnMut(Piece<'_>)) -> Result<usize, String> {
    let mut used = 0;
    while let Some(length) = all[used..].iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&all[used..used + length]).map_err(|error| error.to_string())?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        used += length + 1;
        if line.is_empty() {
            event.clear();
        } else if let Some(name) = line.strip_prefix("event:") {
            name.trim_start().clone_into(event);
        } else if let Some(data) = line.strip_prefix("data:") {
            match event.as_str() {
                "" | "message" => {
                    let frame: TextFrame<'_> =
                        serde_json::from_str(data).map_err(|error| format!("{error} in {data}"))?;
                    on(Piece::Text(frame.text));
                }
                "done" => on(Piece::Done),
                "error" => on(Piece::Failed(data.trim().to_owned())),
                _ => {}
            }
        }
    }
    Ok(used)
}

fn converse(all: &[u8], on: &mut impl FnMut(Piece<'_>)) -> Result<usize, String> {
    let mut used = 0;
    loop {
        let frame = &all[used..];
        let (Some(total), Some(headers)) = (number(frame, 0), number(frame, 4)) else { return Ok(used) };
        if total < 16 || headers > total - 16 || total > 1 << 24 {
            return Err("not an event stream".to_owned());
        }
        if frame.len() < total {
            return Ok(used);
        }
        let head = &frame[12..12 + headers];
        let payload = &frame[12 + headers..total - 4];
        used += total;
        if header(head, b":message-type") == Some(b"exception") {
            on(Piece::Failed(String::from_utf8_lossy(payload).into_owned()));
            continue;
        }
        match header(head, b":event-type") {
            Some(b"contentBlockDelta") => {
                let frame: DeltaFrame<'_> =
                    serde_json::from_slice(payload).map_err(|error| error.to_string())?;
                if let Some(text) = frame.delta.and_then(|delta| delta.text) {
                    on(Piece::Text(text));
                }
            }
            Some(b"messageStop") => on(Piece::Done),
            _ => {}
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

/// The value of a header; all of Bedrock's are strings (type 7).
fn header<'a>(mut head: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    loop {
        let length = usize::from(*head.first()?);
        let name = head.get(1..=length)?;
        let rest = head.get(length + 1..)?;
        if *rest.first()? != 7 {
            return None;
        }
        let size = usize::from(u16::from_be_bytes([*rest.get(1)?, *rest.get(2)?]));
        let value = rest.get(3..3 + size)?;
        if name == wanted {
            return Some(value);
        }
        head = &rest[3 + size..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, bytes: &[u8], piece: usize) -> (String, bool, Vec<String>) {
        let (mut text, mut done, mut failures) = (String::new(), false, Vec::new());
        let mut decoder = Decoder::new(form);
        for bytes in bytes.chunks(piece) {
            decoder
                .feed(bytes, |piece| match piece {
                    Piece::Text(part) => text.push_str(&part),
                    Piece::Done => done = true,
                    Piece::Failed(why) => failures.push(why),
                })
                .unwrap();
        }
        (text, done, failures)
    }

    #[test]
    fn the_chat_dialect_is_read_in_pieces_of_any_size() {
        let stream = "id: 1\nevent: metadata\ndata: {\"session_id\":\"s\"}\n\n: ping\n\ndata: {\"text\":\"Grüße\\n\"}\n\n\
            data: {\"text\":\"!\"}\n\nevent: done\ndata: {}\n\n";
        for piece in 1..stream.len() {
            let read = read(Form::Sse, stream.as_bytes(), piece);
            assert_eq!(read, ("Grüße\n!".to_owned(), true, Vec::new()), "{piece}");
        }
        let failed = read(Form::Sse, b"event: error\ndata: {\"code\":\"x\"}\n\n", 7);
        assert_eq!(failed, (String::new(), false, vec!["{\"code\":\"x\"}".to_owned()]));
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(Decoder::new(Form::Converse).feed(b"HTTP/1.1 200 OK\r\n\r\n", |_| {}).is_err());
        assert!(Decoder::new(Form::Sse).feed(b"data: hello\n\n", |_| {}).is_err());
    }
}
