//! The events of one run in memory: numbered from 1, append-only, small.
//!
//! Almost all events are short pieces of text. Neighbouring pieces share one string and a list of where each ends, which
//! costs a few bytes a token instead of an allocation.

use loquat_agent::event::Event;

/// The events of one run.
#[derive(Clone, Debug, Default)]
pub struct Log {
    chunks: Vec<Chunk>,
    len: u64,
}

/// Events with neighbouring numbers.
#[derive(Clone, Debug)]
struct Chunk {
    /// The number of the first event.
    first: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(Pieces),
    Reasoning(Pieces),
    One(Box<Event>),
}

/// Pieces of text that follow each other.
#[derive(Clone, Debug, Default)]
struct Pieces {
    text: String,
    /// Where each piece ends.
    ends: Vec<u32>,
}

impl Pieces {
    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }

    fn piece(&self, at: usize) -> &str {
        &self.text[self.start(at)..self.ends[at] as usize]
    }
}

/// An event as it is read from the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// A piece of the answer.
    Text(&'a str),
    /// A piece of readable, unsigned reasoning.
    Reasoning(&'a str),
    /// Any other event.
    Other(&'a Event),
}

impl Entry<'_> {
    /// The event itself.
    #[must_use]
    pub fn to_event(self) -> Event {
        match self {
            Self::Text(text) => Event::Text { text: text.to_owned() },
            Self::Reasoning(text) => {
                Event::Reasoning { text: text.to_owned(), signature: None, redacted: None }
            }
            Self::Other(event) => event.clone(),
        }
    }
}

/// How a reader wants neighbouring pieces of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One by one, as they came.
    EachPiece,
    /// As one: the reader is far behind.
    Joined,
}

impl Log {
    /// How many events there are; also the number of the last one.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an event; gives its number.
    pub fn push(&mut self, event: Event) -> u64 {
        self.len += 1;
        let first = self.len;
        // A piece longer than the offsets can count stands alone; no model writes 4 GiB.
        let fits = |pieces: &Pieces, piece: &str| pieces.text.len() + piece.len() < u32::MAX as usize;
        match (event, self.chunks.last_mut().map(|chunk| &mut chunk.kind)) {
            (Event::Text { text }, Some(Kind::Text(pieces))) if fits(pieces, &text) => pieces.push(&text),
            (Event::Text { text }, _) => {
                let mut pieces = Pieces::default();
                pieces.push(&text);
                self.chunks.push(Chunk { first, kind: Kind::Text(pieces) });
            }
            (Event::Reasoning { text, signature: None, redacted: None }, last) => match last {
                Some(Kind::Reasoning(pieces)) if fits(pieces, &text) => pieces.push(&text),
                _ => {
                    let mut pieces = Pieces::default();
                    pieces.push(&text);
                    self.chunks.push(Chunk { first, kind: Kind::Reasoning(pieces) });
                }
            },
            (event, _) => self.chunks.push(Chunk { first, kind: Kind::One(Box::new(event)) }),
        }
        self.len
    }

    /// The last event.
    #[must_use]
    pub fn last(&self) -> Option<Entry<'_>> {
        let mut last = None;
        self.read(self.len.saturating_sub(1), Pace::EachPiece, |_, entry| {
            last = Some(entry);
            true
        });
        last
    }

    /// Reads the events after number `after`, in order, until `visit` says `false`. It gets each with its number; joined
    /// pieces come with the number of the last.
    pub fn read<'a>(&'a self, after: u64, pace: Pace, mut visit: impl FnMut(u64, Entry<'a>) -> bool) {
        if after >= self.len {
            return;
        }
        let from = self.chunks.partition_point(|chunk| chunk.first <= after + 1).saturating_sub(1);
        for chunk in &self.chunks[from..] {
            let go_on = match &chunk.kind {
                Kind::One(event) => chunk.first <= after || visit(chunk.first, Entry::Other(event)),
                Kind::Text(pieces) => {
                    read_pieces(chunk.first, pieces, after, pace, |n, t| visit(n, Entry::Text(t)))
                }
                Kind::Reasoning(pieces) => {
                    read_pieces(chunk.first, pieces, after, pace, |n, t| visit(n, Entry::Reasoning(t)))
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// All events, for folding.
    pub fn each(&self, mut visit: impl FnMut(&Event)) {
        self.read(0, Pace::EachPiece, |_, entry| {
            match entry {
                Entry::Other(event) => visit(event),
                entry => visit(&entry.to_event()),
            }
            true
        });
    }
}

fn read_pieces<'a>(
    first: u64,
    pieces: &'a Pieces,
    after: u64,
    pace: Pace,
    mut visit: impl FnMut(u64, &'a str) -> bool,
) -> bool {
    let begin = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
    if begin >= pieces.ends.len() {
        return true;
    }
    match pace {
        Pace::Joined => visit(first + pieces.ends.len() as u64 - 1, &pieces.text[pieces.start(begin)..]),
        Pace::EachPiece => (begin..pieces.ends.len()).all(|at| visit(first + at as u64, pieces.piece(at))),
    }
}

#[cfg(test)]
mod tests {
    use loquat_agent::event::Outcome;
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            "[a-zé🦀]{1,4}".prop_map(|text| Event::Text { text }),
            "[a-z]{1,4}".prop_map(|text| Event::Reasoning { text, signature: None, redacted: None }),
            Just(Event::Reasoning { text: String::new(), signature: Some("s".into()), redacted: None }),
            Just(Event::Reset { reason: "r".into() }),
            Just(Event::Finished { outcome: Outcome::Complete }),
        ]
    }

    proptest! {
        /// Read after any number, the log gives back exactly the events that came after it.
        #[test]
        fn gives_back_what_went_in(events in prop::collection::vec(event(), 0..40), after in 0..45u64) {
            let mut log = Log::default();
            for event in &events {
                log.push(event.clone());
            }
            let mut read = Vec::new();
            log.read(after, Pace::EachPiece, |n, entry| { read.push((n, entry.to_event())); true });
            let wanted: Vec<_> = events.iter().cloned().enumerate()
                .map(|(n, event)| (n as u64 + 1, event)).filter(|(n, _)| *n > after).collect();
            prop_assert_eq!(read, wanted);
            prop_assert_eq!(log.last().map(Entry::to_event), events.last().cloned());

            let text = |pace| {
                let mut text = String::new();
                let mut last = after;
                log.read(after, pace, |n, entry| {
                    assert!(n > last);
                    last = n;
                    if let Entry::Text(piece) = entry { text.push_str(piece); }
                    true
                });
                (text, last)
            };
            prop_assert_eq!(text(Pace::EachPiece), text(Pace::Joined));
        }
    }
}
