//! The long values that were read or written last, so that a read need not fetch them again and a write knows what of
//! them it changes.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::blocks::BLOCK;

/// The most bytes that are kept.
const ROOM: usize = 32 * 1024 * 1024;

/// What was stored under a key in a version. The version alone says whether it is still so: other processes write too.
pub(super) type Known = (i64, Bytes);

/// Values of more than one block.
#[derive(Debug, Default)]
pub(super) struct Recent {
    values: Mutex<HashMap<String, Known>>,
}

impl Recent {
    /// What is known of a key.
    pub(super) fn of(&self, key: &str) -> Option<Known> {
        self.values.lock().get(key).cloned()
    }

    /// Notes what is stored (and committed).
    pub(super) fn note(&self, key: &str, version: i64, bytes: &Bytes) {
        if bytes.len() <= BLOCK {
            return self.forget(key);
        }
        let mut values = self.values.lock();
        let newer = values.get(key).is_some_and(|(known, _)| *known >= version);
        if newer {
            return;
        }
        values.remove(key);
        let held: usize = values.values().map(|(_, bytes)| bytes.len()).sum();
        if held + bytes.len() > ROOM {
            values.clear();
        }
        if bytes.len() <= ROOM {
            values.insert(key.to_owned(), (version, bytes.clone()));
        }
    }

    /// Forgets a value.
    pub(super) fn forget(&self, key: &str) {
        let mut values = self.values.lock();
        if !values.is_empty() {
            values.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_not_too_much() {
        let recent = Recent::default();
        let value = |byte: u8| Bytes::from(vec![byte; BLOCK + 1]);
        recent.note("a", 2, &value(2));
        recent.note("a", 1, &value(1));
        assert_eq!(recent.of("a"), Some((2, value(2))));
        recent.note("a", 3, &Bytes::from_static(b"short"));
        assert_eq!(recent.of("a"), None);
        for n in 0..5000 {
            recent.note(&n.to_string(), 1, &value(0));
        }
        let held: usize = recent.values.lock().values().map(|(_, bytes)| bytes.len()).sum();
        assert!(held <= ROOM, "{held}");
        assert!(recent.of("4999").is_some());
    }
}
