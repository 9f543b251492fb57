//! The outside of a token: three parts, a header that asks for nothing unusual, claims that read in one way only.
//!
//! Nothing here is trusted yet; the aim is that whatever reaches the signature check is plain. Every refusal has its
//! own word for the log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::strict_json::{self, Malformed};

/// A word for the log: why a token is refused.
pub(crate) type Refusal = &'static str;

/// The longest token that is looked at, in bytes. API Gateway takes 10 240 bytes of headers in all.
pub(crate) const MAX_TOKEN_BYTES: usize = 8_192;

/// A signature algorithm that is accepted; which one is pinned by the key, not by the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
    Ps256,
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Rs256 => Self::RS256,
            Algorithm::Es256 => Self::ES256,
            Algorithm::Ps256 => Self::PS256,
        }
    }
}

impl Algorithm {
    /// By its name in a header or a key.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "PS256" => Some(Self::Ps256),
            _ => None,
        }
    }
}

/// What the header says the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `JWT`, or nothing.
    Plain,
    /// `at+jwt` (RFC 9068): an access token and nothing else.
    Access,
}

/// A token in its parts, nothing of it verified.
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) kind: Kind,
    /// What is signed.
    pub(crate) message: &'a str,
    payload: &'a str,
    pub(crate) signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.is_empty() {
            return Err("token_empty");
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err("token_too_long");
        }
        if !token
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'))
        {
            return Err("token_characters");
        }
        let mut parts = token.split('.');
        let (header, payload, signature) = match (parts.next(), parts.next(), parts.next(), parts.count()) {
            (Some(header), Some(payload), Some(signature), 0) => (header, payload, signature),
            (_, _, Some(_), 2) => return Err("token_encrypted"),
            _ => return Err("token_parts"),
        };
        if payload.is_empty() {
            return Err("claims_empty");
        }
        let header = members(header, "header_encoding", |malformed| match malformed {
            Malformed::Json => "header_json",
            Malformed::NotObject => "header_not_object",
            Malformed::Duplicate => "header_duplicate",
        })?;
        for (member, refusal) in UNWELCOME {
            if header.contains_key(member) {
                return Err(refusal);
            }
        }
        let algorithm = algorithm(header.get("alg"))?;
        let key_id = key_id(header.get("kid"))?;
        let kind = kind(header.get("typ"))?;
        if signature.is_empty() {
            return Err("signature_missing");
        }
        if URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err("signature_encoding");
        }
        let message = &token[..token.len() - signature.len() - 1];
        Ok(Self { algorithm, key_id, kind, message, payload, signature })
    }

    /// The claims. To be believed only once the signature is.
    pub(crate) fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        members(self.payload, "claims_encoding", |malformed| match malformed {
            Malformed::Json => "claims_json",
            Malformed::NotObject => "claims_not_object",
            Malformed::Duplicate => "claims_duplicate",
        })
    }
}

/// Header members that ask the verifier to fetch or believe a key, to unwrap another token, or to treat the content in
/// a way that is not implemented. No provider of ordinary tokens sends them.
const UNWELCOME: [(&str, Refusal); 9] = [
    ("jku", "header_jku"),
    ("jwk", "header_jwk"),
    ("x5u", "header_x5u"),
    ("x5c", "header_x5c"),
    ("crit", "header_crit"),
    ("cty", "header_cty"),
    ("b64", "header_b64"),
    ("zip", "header_zip"),
    ("enc", "header_enc"),
];

fn members(
    part: &str,
    encoding: Refusal,
    refusal: impl Fn(Malformed) -> Refusal,
) -> Result<Map<String, Value>, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| encoding)?;
    strict_json::object(&bytes).map_err(refusal)
}

fn algorithm(member: Option<&Value>) -> Result<Algorithm, Refusal> {
    let name = match member {
        None => return Err("alg_missing"),
        Some(Value::String(name)) => name,
        Some(_) => return Err("alg_malformed"),
    };
    if let Some(algorithm) = Algorithm::named(name) {
        return Ok(algorithm);
    }
    if name.trim().eq_ignore_ascii_case("none") || name.is_empty() {
        return Err("alg_none");
    }
    Err(if name.to_ascii_uppercase().starts_with("HS") { "alg_symmetric" } else { "alg_unsupported" })
}

fn key_id(member: Option<&Value>) -> Result<Option<String>, Refusal> {
    match member {
        None => Ok(None),
        Some(Value::String(id)) if !id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control) => {
            Ok(Some(id.clone()))
        }
        Some(_) => Err("kid_malformed"),
    }
}

fn kind(member: Option<&Value>) -> Result<Kind, Refusal> {
    let Some(member) = member else { return Ok(Kind::Plain) };
    let name = member.as_str().ok_or("typ_malformed")?.to_ascii_lowercase();
    match name.strip_prefix("application/").unwrap_or(&name) {
        "jwt" => Ok(Kind::Plain),
        "at+jwt" => Ok(Kind::Access),
        // Logout tokens, security events, proofs of possession: signed by the same keys, and no sign-in.
        _ => Err("typ_unknown"),
    }
}
