//! The issuer's public keys, each with the one algorithm it may be used for.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::compact::{Algorithm, Refusal};

/// The largest number of keys that are read from one set.
const MAX_KEYS: usize = 64;

/// A public key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
}

impl Key {
    /// Whether it made this signature over this message.
    pub(crate) fn verifies(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, self.algorithm.into())
            .unwrap_or(false)
    }

    /// Reads one JSON Web Key; `None` for what cannot check a signature here.
    fn read(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(Value::Array(operations)) = jwk.get("key_ops")
            && !operations.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let named = match text("alg") {
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        match text("kty")? {
            "RSA" => {
                // A key that does not say is for RS256, what every provider signs with unless it says otherwise.
                let algorithm = named.unwrap_or(Algorithm::Rs256);
                let (n, e) = (text("n")?, text("e")?);
                let bits = significant_bytes(n)? * 8;
                if algorithm == Algorithm::Es256 || !(2_048..=4_096).contains(&bits) {
                    return None;
                }
                let decoding = DecodingKey::from_rsa_components(n, e).ok()?;
                Some(Self { algorithm, decoding })
            }
            "EC" if text("crv") == Some("P-256") && matches!(named, None | Some(Algorithm::Es256)) => {
                let (x, y) = (text("x")?, text("y")?);
                if URL_SAFE_NO_PAD.decode(x).ok()?.len() != 32 || URL_SAFE_NO_PAD.decode(y).ok()?.len() != 32
                {
                    return None;
                }
                let decoding = DecodingKey::from_ec_components(x, y).ok()?;
                Some(Self { algorithm: Algorithm::Es256, decoding })
            }
            _ => None,
        }
    }
}

/// The length of a big-endian number without leading zeroes.
fn significant_bytes(encoded: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    Some(bytes.len() - bytes.iter().take_while(|byte| **byte == 0).count())
}

/// All keys of an issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet {
    by_id: HashMap<String, Vec<Key>>,
    without_id: Vec<Key>,
}

/// What a search in a key set comes to when there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// No key has this id: the issuer may have new ones.
    Unknown,
    /// The set cannot have a key for this token, however new it is.
    Refused(Refusal),
}

impl KeySet {
    /// Reads a JSON Web Key Set; keys that cannot be used here are left out.
    ///
    /// # Errors
    /// What is wrong, if the set is none or has no key that can be used.
    pub(crate) fn read(json: &[u8]) -> Result<Self, &'static str> {
        let set: Value = serde_json::from_slice(json).map_err(|_| "not JSON")?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("no list of keys")?;
        let mut read = Self::default();
        for jwk in keys.iter().take(MAX_KEYS) {
            let Some(key) = Key::read(jwk) else { continue };
            match jwk.get("kid").and_then(Value::as_str) {
                Some(id) => read.by_id.entry(id.to_owned()).or_default().push(key),
                None => read.without_id.push(key),
            }
        }
        if read.by_id.is_empty() && read.without_id.is_empty() { Err("no usable key") } else { Ok(read) }
    }

    /// The key with this id, if it is one for this algorithm. A token without an id is served only by an issuer with
    /// one single key.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let candidates = match id {
            Some(id) => self.by_id.get(id).ok_or(NoKey::Unknown)?,
            None => {
                let mut all = self.by_id.values().chain([&self.without_id]).filter(|keys| !keys.is_empty());
                match (all.next(), all.next()) {
                    (Some(keys), None) if keys.len() == 1 => keys,
                    _ => return Err(NoKey::Refused("kid_missing")),
                }
            }
        };
        candidates.iter().find(|key| key.algorithm == algorithm).ok_or(NoKey::Refused("alg_not_of_key"))
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.values().map(Vec::len).sum::<usize>() + self.without_id.len()
    }

    /// Whether every key id of `other` is still here.
    pub(crate) fn keeps_all_of(&self, other: &Self) -> bool {
        other.without_id.len() == self.without_id.len()
            && other.by_id.keys().all(|id| self.by_id.contains_key(id))
    }
}
