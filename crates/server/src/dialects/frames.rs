//! SSE frames of dialects that tell one event in several of them.
//!
//! The cursor stands on the last frame of an event: a client that has it has the whole event. Frames without one belong
//! to the next that has one.

use std::io::Write as _;

use serde::Serialize;

/// Adds the line with the cursor. Once for each piece of text: `write!` would cost several times as much.
pub(super) fn cursor(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(&mut *out, &n);
    out.push(b'\n');
}

/// The frames of one event.
pub(super) struct Frames<'a> {
    out: &'a mut Vec<u8>,
    /// Where the last frame begins.
    last: Option<usize>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, last: None }
    }

    /// Adds a frame with JSON.
    pub(super) fn add(&mut self, data: &impl Serialize) {
        self.last = Some(self.out.len());
        self.out.extend_from_slice(b"data: ");
        // Writing to a vector cannot fail, and all data here has a JSON form.
        let _ = serde_json::to_writer(&mut *self.out, data);
        self.out.extend_from_slice(b"\n\n");
    }

    /// Adds a frame with a word.
    pub(super) fn word(&mut self, word: &str) {
        self.last = Some(self.out.len());
        let _ = write!(self.out, "data: {word}\n\n");
    }

    /// Notes the cursor on the last frame.
    pub(super) fn finish(self, n: u64) {
        if let Some(at) = self.last {
            let end = self.out.len();
            cursor(n, self.out);
            let line = self.out.len() - end;
            self.out[at..].rotate_right(line);
        }
    }
}
