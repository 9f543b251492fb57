//! The frames of `application/vnd.amazon.eventstream`, read in place.
//!
//! ```text
//! total length u32 │ headers' length u32 │ CRC-32 of these 8 bytes │ headers │ payload │ CRC-32 of all before
//! ```
//!
//! All big-endian; specified in the Smithy documentation under "Event stream specification". The decoder of the AWS SDK
//! makes a string of every header and an object of every frame, which costs more than all the rest of a token here
//! (bench/NOTES.md); this one hands out what it finds where it lies.

use bytes::{Buf as _, BytesMut};

/// Lengths and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end.
const CHECKSUM: usize = 4;
/// The service allows 16 MiB of payload and 128 KiB of headers.
const MOST: usize = (16 * 1024 + 128) * 1024 + PRELUDE + CHECKSUM;

/// One frame, lent from the buffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub(super) kind: &'a [u8],
    /// `:event-type`, `:exception-type` or `:error-code`, whichever the kind has.
    pub(super) name: &'a [u8],
    /// `:error-message`.
    pub(super) message: &'a [u8],
    /// JSON, except that of an `error`, which has none.
    pub(super) payload: &'a [u8],
}

/// These bytes are not the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// Lengths that do not fit one another, or that nobody sends.
    #[error("a frame of impossible length")]
    Length,
    /// Something was changed on the way.
    #[error("a checksum does not fit")]
    Checksum,
    /// A header that cannot be read.
    #[error("a malformed header")]
    Header,
}

/// An incremental reader: [`Frames::feed`] bytes, then take frames until there are none.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: BytesMut,
    /// The frame at the front was handed out.
    taken: usize,
}

impl Frames {
    /// Adds bytes as they arrived.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.advance(std::mem::take(&mut self.taken));
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` if more bytes are needed.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        self.buffer.advance(std::mem::take(&mut self.taken));
        let bytes = &self.buffer[..];
        if bytes.len() < PRELUDE {
            return Ok(None);
        }
        // Before the lengths are believed.
        if crc32fast::hash(&bytes[..8]) != number(bytes, 8) {
            return Err(FrameError::Checksum);
        }
        let (total, headers) = (number(bytes, 0) as usize, number(bytes, 4) as usize);
        if !(PRELUDE + CHECKSUM..=MOST).contains(&total) || headers > total - PRELUDE - CHECKSUM {
            return Err(FrameError::Length);
        }
        if bytes.len() < total {
            return Ok(None);
        }
        let (content, checksum) = bytes[..total].split_at(total - CHECKSUM);
        if crc32fast::hash(content) != number(checksum, 0) {
            return Err(FrameError::Checksum);
        }
        let (headers, payload) = content[PRELUDE..].split_at(headers);
        self.taken = total;
        read(headers, payload).ok_or(FrameError::Header).map(Some)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().copied().map_or(0, u32::from_be_bytes)
}

fn read<'a>(mut headers: &'a [u8], payload: &'a [u8]) -> Option<Frame<'a>> {
    let mut frame = Frame { payload, ..Frame::default() };
    while !headers.is_empty() {
        let length = take(&mut headers, 1)?[0];
        let name = take(&mut headers, usize::from(length))?;
        let kind = take(&mut headers, 1)?[0];
        let length = match kind {
            // `true` and `false`
            0 | 1 => 0,
            // Integers of growing size
            2 => 1,
            3 => 2,
            4 => 4,
            // 64 bits, and a point in time
            5 | 8 => 8,
            // Bytes and text
            6 | 7 => usize::from(u16::from_be_bytes(take(&mut headers, 2)?.first_chunk().copied()?)),
            // A UUID
            9 => 16,
            _ => return None,
        };
        let value = take(&mut headers, length)?;
        if kind != 7 {
            continue;
        }
        let place = match name {
            b":message-type" => &mut frame.kind,
            b":event-type" | b":exception-type" | b":error-code" => &mut frame.name,
            b":error-message" => &mut frame.message,
            _ => continue,
        };
        *place = value;
    }
    Some(frame)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    bytes.split_off(..length)
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use proptest::prelude::*;

    use super::*;

    /// Written by the SDK's own encoder.
    fn written(headers: &[(String, HeaderValue)], payload: &[u8]) -> Vec<u8> {
        let mut message = Message::new(payload.to_vec());
        for (name, value) in headers {
            message = message.add_header(Header::new(name.clone(), value.clone()));
        }
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn text(value: &str) -> HeaderValue {
        HeaderValue::String(value.to_owned().into())
    }

    fn event(name: &str, payload: &[u8]) -> Vec<u8> {
        let headers = [
            (":event-type".to_owned(), text(name)),
            (":content-type".to_owned(), text("application/json")),
            (":message-type".to_owned(), text("event")),
        ];
        written(&headers, payload)
    }

    fn all(bytes: &[u8], pieces: impl Iterator<Item = usize>) -> Result<Vec<(String, Vec<u8>)>, FrameError> {
        let (mut frames, mut found, mut at) = (Frames::default(), Vec::new(), 0);
        for piece in pieces {
            let end = (at + piece).min(bytes.len());
            frames.feed(&bytes[at..end]);
            at = end;
            while let Some(frame) = frames.next_frame()? {
                assert_eq!(frame.kind, b"event");
                found.push((String::from_utf8(frame.name.to_vec()).unwrap(), frame.payload.to_vec()));
            }
        }
        assert_eq!(at, bytes.len());
        assert_eq!(frames.taken, frames.buffer.len());
        Ok(found)
    }

    #[test]
    fn failures_have_a_name_and_a_message() {
        let headers = [
            (":error-code".to_owned(), text("InternalError")),
            (":error-message".to_owned(), text("lost")),
            (":message-type".to_owned(), text("error")),
        ];
        let mut frames = Frames::default();
        frames.feed(&written(&headers, b""));
        let expected = Frame { kind: b"error", name: b"InternalError", message: b"lost", payload: b"" };
        assert_eq!(frames.next_frame(), Ok(Some(expected)));
    }

    #[test]
    fn no_length_is_believed() {
        // A good checksum over lengths that are too large, too small, and at odds.
        for (total, headers) in [(u32::MAX, 0_u32), (MOST as u32 + 1, 0), (15, 0), (16, 1), (0, 0)] {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            bytes.extend([0; 64]);
            let mut frames = Frames::default();
            frames.feed(&bytes);
            assert_eq!(frames.next_frame(), Err(FrameError::Length), "{total} {headers}");
        }
    }

    fn value() -> impl Strategy<Value = HeaderValue> {
        prop_oneof![
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i8>().prop_map(HeaderValue::Byte),
            any::<i16>().prop_map(HeaderValue::Int16),
            any::<i32>().prop_map(HeaderValue::Int32),
            any::<i64>().prop_map(HeaderValue::Int64),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| HeaderValue::ByteArray(bytes.into())),
            "\\PC{0,20}".prop_map(|value| text(&value)),
            any::<u128>().prop_map(HeaderValue::Uuid),
            (0..1_i64 << 40)
                .prop_map(|ms| HeaderValue::Timestamp(aws_smithy_types::DateTime::from_millis(ms))),
        ]
    }

    proptest! {
        /// What the SDK writes is read, whatever other headers there are and however the network cuts it.
        #[test]
        fn reads_what_the_sdk_writes(
            frames in prop::collection::vec(
                ("[a-zA-Z]{0,12}", prop::collection::vec(("[a-z-]{1,9}", value()), 0..4),
                 prop::collection::vec(any::<u8>(), 0..200)),
                0..5,
            ),
            pieces in prop::collection::vec(1..90_usize, 1..20),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (name, mut headers, payload) in frames {
                headers.push((":message-type".to_owned(), text("event")));
                headers.insert(0, (":event-type".to_owned(), text(&name)));
                bytes.extend(written(&headers, &payload));
                expected.push((name, payload));
            }
            let rest = bytes.len().saturating_sub(pieces.iter().sum());
            prop_assert_eq!(all(&bytes, pieces.into_iter().chain([rest])), Ok(expected));
        }

        /// A byte that was changed is noticed, wherever it stands.
        #[test]
        fn a_changed_byte_is_an_error(at in any::<prop::sample::Index>(), mask in 1..=255_u8) {
            let mut bytes = event("contentBlockDelta", br#"{"contentBlockIndex":0,"delta":{"text":"hi"}}"#);
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
            prop_assert_eq!(all(&bytes, std::iter::once(bytes.len())), Err(FrameError::Checksum));
        }

        /// No bytes make it panic.
        #[test]
        fn survives_anything(bytes in prop::collection::vec(any::<u8>(), 0..300), good in any::<bool>()) {
            let mut bytes = bytes;
            if good && bytes.len() >= PRELUDE {
                // With a good checksum of the prelude, and of the whole, the headers are reached.
                let total = bytes.len() as u32;
                bytes[..4].copy_from_slice(&total.to_be_bytes());
                bytes[4..6].fill(0);
                let sum = crc32fast::hash(&bytes[..8]).to_be_bytes();
                bytes[8..12].copy_from_slice(&sum);
                if let Some(content) = bytes.len().checked_sub(CHECKSUM).filter(|at| *at >= PRELUDE) {
                    let sum = crc32fast::hash(&bytes[..content]).to_be_bytes();
                    bytes[content..].copy_from_slice(&sum);
                }
            }
            let mut frames = Frames::default();
            frames.feed(&bytes);
            while let Ok(Some(_)) = frames.next_frame() {}
        }
    }
}
