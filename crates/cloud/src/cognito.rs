//! Signing in to a user pool as the page does: SRP, so that no password leaves this machine.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use num_bigint::BigUint;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::aws::{Aws, AwsError};

/// The 3072-bit group of RFC 5054 that Cognito uses; its generator is 2.
const PRIME: &str = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C\
BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF";

/// What a sign-in brings.
#[derive(Clone)]
pub struct Tokens {
    /// For the API.
    pub id_token: String,
    /// For Cognito itself.
    pub access_token: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// Signs a user in.
///
/// # Errors
/// When Cognito refuses, or asks for more than a password.
pub async fn sign_in(
    aws: &Aws,
    pool: &str,
    client: &str,
    user: &str,
    password: &str,
) -> Result<Tokens, AwsError> {
    let srp = Srp::new(pool);
    let begin = json!({
        "AuthFlow": "USER_SRP_AUTH",
        "ClientId": client,
        "AuthParameters": { "USERNAME": user, "SRP_A": srp.public.to_str_radix(16) }
    });
    let challenge = aws.cognito("InitiateAuth", begin).await?;
    if challenge["ChallengeName"] != "PASSWORD_VERIFIER" {
        return Err(AwsError::unreadable("InitiateAuth", &challenge["ChallengeName"]));
    }
    let parameters = &challenge["ChallengeParameters"];
    let timestamp = jiff::Timestamp::now().strftime("%a %b %-d %H:%M:%S UTC %Y").to_string();
    let signature = srp
        .signature(parameters, password, &timestamp)
        .ok_or_else(|| AwsError::unreadable("InitiateAuth", "the challenge"))?;
    let answer = json!({
        "ChallengeName": "PASSWORD_VERIFIER",
        "ClientId": client,
        "Session": challenge["Session"],
        "ChallengeResponses": {
            "USERNAME": parameters["USER_ID_FOR_SRP"],
            "PASSWORD_CLAIM_SECRET_BLOCK": parameters["SECRET_BLOCK"],
            "PASSWORD_CLAIM_SIGNATURE": signature,
            "TIMESTAMP": timestamp
        }
    });
    let result = aws.cognito("RespondToAuthChallenge", answer).await?;
    let token = |name: &str| result["AuthenticationResult"][name].as_str().map(str::to_owned);
    match (token("IdToken"), token("AccessToken")) {
        (Some(id_token), Some(access_token)) => Ok(Tokens { id_token, access_token }),
        _ => Err(AwsError::unreadable("RespondToAuthChallenge", &result["ChallengeName"])),
    }
}

/// A password that every policy takes.
pub fn random_password() -> String {
    let digest = Sha256::digest(random_bytes());
    format!("Aa1!{}", STANDARD.encode(&digest[..24]).replace(['+', '/'], "x"))
}

fn random_bytes() -> [u8; 128] {
    let mut bytes = [0; 128];
    for chunk in bytes.chunks_mut(16) {
        chunk.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    bytes
}

struct Srp {
    prime: BigUint,
    generator: BigUint,
    secret: BigUint,
    public: BigUint,
    /// The pool's id without its region.
    pool: String,
}

impl Srp {
    fn new(pool: &str) -> Self {
        let prime = BigUint::parse_bytes(PRIME.as_bytes(), 16).unwrap_or_default();
        let generator = BigUint::from(2_u8);
        let secret = BigUint::from_bytes_be(&random_bytes()) % &prime;
        let public = generator.modpow(&secret, &prime);
        let pool = pool.split_once('_').map_or(pool, |(_, name)| name).to_owned();
        Self { prime, generator, secret, public, pool }
    }

    /// Proves knowledge of the password to a challenge.
    fn signature(&self, challenge: &Value, password: &str, timestamp: &str) -> Option<String> {
        let number = |name: &str| BigUint::parse_bytes(challenge[name].as_str()?.as_bytes(), 16);
        let (salt, server) = (number("SALT")?, number("SRP_B")?);
        let user = challenge["USER_ID_FOR_SRP"].as_str()?;
        let block = STANDARD.decode(challenge["SECRET_BLOCK"].as_str()?).ok()?;

        let multiplier = hash(&[&padded(&self.prime), &padded(&self.generator)]);
        let scrambler = hash(&[&padded(&self.public), &padded(&server)]);
        let identity = Sha256::digest(format!("{}{user}:{password}", self.pool));
        let private = hash(&[&padded(&salt), &identity]);

        let verifier = self.generator.modpow(&private, &self.prime);
        // B - k*v, kept above zero.
        let base = (&server + &self.prime * &multiplier - &multiplier * verifier) % &self.prime;
        let shared = base.modpow(&(&self.secret + &scrambler * private), &self.prime);

        let extracted = hmac(&padded(&scrambler), &[&padded(&shared)]);
        let key = hmac(&extracted, &[b"Caldera Derived Key", &[1]]);
        let proof = hmac(&key[..16], &[self.pool.as_bytes(), user.as_bytes(), &block, timestamp.as_bytes()]);
        Some(STANDARD.encode(proof))
    }
}

fn hash(parts: &[&[u8]]) -> BigUint {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    BigUint::from_bytes_be(&digest.finalize())
}

/// A number's bytes as a signed integer would have them: a zero before a set first bit.
fn padded(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    bytes
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new();
    inner.update(block.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(hmac(&[0x0b; 20], &[b"Hi ", b"There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"])),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
