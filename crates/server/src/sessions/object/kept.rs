//! Long objects as they were last read or written here. A read then asks the store whether that is still how they are,
//! which spares it to carry a long conversation again for each turn.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::sessions::blob::Blob;

/// From this many bytes on an object is kept. Asking takes as long as reading a shorter one.
const LONG: usize = 64 * 1024;
/// How many bytes are kept in all.
const ROOM: usize = 16 * 1024 * 1024;

/// One object in one state.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What the store calls the state, for the question.
    pub(super) e_tag: String,
    /// The state as the session logic knows it, and the content.
    pub(super) blob: Blob,
}

/// Those used last, as many as there is room for.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Objects>);

#[derive(Debug, Default)]
struct Objects {
    /// The one used last stands last. There are few: each is long.
    known: VecDeque<(String, Known)>,
    bytes: usize,
}

impl Objects {
    fn take(&mut self, key: &str) -> Option<Known> {
        let at = self.known.iter().position(|(known, _)| known == key)?;
        let (_, known) = self.known.remove(at)?;
        self.bytes -= known.blob.bytes.len();
        Some(known)
    }

    fn add(&mut self, key: String, known: Known) {
        self.bytes += known.blob.bytes.len();
        self.known.push_back((key, known));
        while self.bytes > ROOM {
            let Some((_, oldest)) = self.known.pop_front() else { break };
            self.bytes -= oldest.blob.bytes.len();
        }
    }
}

impl Kept {
    /// What is known of an object.
    pub(super) fn get(&self, key: &str) -> Option<Known> {
        let mut objects = self.0.lock();
        let known = objects.take(key)?;
        objects.add(key.to_owned(), known.clone());
        Some(known)
    }

    /// Notes the state of an object, if it is worth it. Without an ETag nobody can be asked about it.
    pub(super) fn note(&self, key: &str, e_tag: Option<String>, blob: &Blob) {
        let mut objects = self.0.lock();
        objects.take(key);
        if let Some(e_tag) = e_tag
            && (LONG..=ROOM).contains(&blob.bytes.len())
        {
            objects.add(key.to_owned(), Known { e_tag, blob: blob.clone() });
        }
    }

    /// Nothing is known of an object any more.
    pub(super) fn forget(&self, key: &str) {
        self.0.lock().take(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sessions::blob::Version;

    fn blob(bytes: usize) -> Blob {
        Blob { bytes: vec![b'x'; bytes].into(), version: Version("v".to_owned()) }
    }

    fn note(kept: &Kept, key: &str, bytes: usize) {
        kept.note(key, Some("e".to_owned()), &blob(bytes));
    }

    #[test]
    fn keeps_what_is_long_and_fits() {
        let kept = Kept::default();
        note(&kept, "short", LONG - 1);
        note(&kept, "huge", ROOM + 1);
        kept.note("nameless", None, &blob(LONG));
        note(&kept, "long", LONG);
        for unknown in ["short", "huge", "nameless", "other"] {
            assert!(kept.get(unknown).is_none(), "{unknown}");
        }
        assert_eq!(kept.get("long").unwrap().blob.bytes.len(), LONG);
        kept.forget("long");
        assert!(kept.get("long").is_none());
        assert_eq!(kept.0.lock().bytes, 0);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let kept = Kept::default();
        for key in ["a", "b", "c", "d"] {
            note(&kept, key, ROOM / 4);
        }
        assert!(kept.get("a").is_some());
        note(&kept, "e", ROOM / 4);
        assert!(kept.get("b").is_none(), "the oldest unused one went");
        for key in ["a", "c", "d", "e"] {
            assert!(kept.get(key).is_some(), "{key}");
        }
        // A newer state takes the place of the older one.
        note(&kept, "a", LONG);
        assert_eq!(kept.0.lock().bytes, ROOM / 4 * 3 + LONG);
        // One that shrank is no longer worth it, and its old state is not what there is.
        note(&kept, "a", 1);
        assert!(kept.get("a").is_none());
    }
}
