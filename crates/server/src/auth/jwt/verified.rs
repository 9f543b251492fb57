//! Tokens that were verified already, so that a signature is checked once and not at every request.

use std::collections::HashMap;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::claims::SignedIn;

/// How many verified tokens are remembered. Each takes about 200 bytes.
const CAPACITY: usize = 10_000;

/// What a token is remembered by: never the token itself.
type Fingerprint = [u8; 32];

/// Remembers who a token is for until it expires.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_token: HashMap<Fingerprint, SignedIn>,
    /// The key withdrawals that were known when the entries were made.
    withdrawn: u64,
}

impl Verified {
    pub(crate) fn fingerprint(token: &str) -> Fingerprint {
        Sha256::digest(token.as_bytes()).into()
    }

    /// Who the token is for, if that was verified with keys that are all still in use.
    pub(crate) fn get(&self, token: &Fingerprint, withdrawn: u64, now: f64) -> Option<SignedIn> {
        let entries = self.entries.lock();
        if entries.withdrawn != withdrawn {
            return None;
        }
        entries.by_token.get(token).filter(|signed_in| now < signed_in.until).cloned()
    }

    /// `withdrawn` is what was known before the token was verified.
    pub(crate) fn remember(&self, token: Fingerprint, signed_in: SignedIn, withdrawn: u64, now: f64) {
        let mut entries = self.entries.lock();
        if entries.withdrawn < withdrawn {
            entries.by_token.clear();
            entries.withdrawn = withdrawn;
        } else if entries.withdrawn > withdrawn {
            return;
        }
        if entries.by_token.len() >= CAPACITY {
            entries.by_token.retain(|_, known| now < known.until);
        }
        if entries.by_token.len() >= CAPACITY {
            // All of them are good. Forgetting half costs a signature check each, and keeps this rare.
            let mut keep = false;
            entries.by_token.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        entries.by_token.insert(token, signed_in);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;

    fn signed_in(until: f64) -> SignedIn {
        SignedIn { principal: Principal::user("u"), until }
    }

    #[test]
    fn a_token_is_forgotten_when_it_expires_and_when_a_key_is_withdrawn() {
        let verified = Verified::default();
        let token = Verified::fingerprint("t");
        verified.remember(token, signed_in(100.0), 0, 1.0);
        assert!(verified.get(&token, 0, 99.9).is_some());
        assert!(verified.get(&token, 0, 100.0).is_none());
        assert!(verified.get(&token, 1, 50.0).is_none(), "its key may be the one that went away");
        verified.remember(Verified::fingerprint("new"), signed_in(100.0), 1, 1.0);
        assert!(verified.get(&token, 1, 50.0).is_none());
        // Verified with the old keys, and slower than the news that one is gone.
        verified.remember(token, signed_in(100.0), 0, 1.0);
        assert!(verified.get(&token, 1, 50.0).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let verified = Verified::default();
        for n in 0..(CAPACITY * 2) {
            verified.remember(Verified::fingerprint(&n.to_string()), signed_in(100.0), 0, 1.0);
        }
        let size = verified.entries.lock().by_token.len();
        assert!((CAPACITY / 2..=CAPACITY).contains(&size), "{size}");
    }
}
