//! Tokens good and bad, against an issuer on this machine.

mod good;
mod hostile;
mod invocation;
mod issuer;
mod rotation;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{AuthError, Authenticator as _, Host, JwtAuthenticator, Pace, seconds_since_1970};
use crate::auth::AuthConfig;
use issuer::Issuer;

/// A private key, and how the issuer publishes its public half.
struct TestKey {
    id: &'static str,
    algorithm: Algorithm,
    signing: EncodingKey,
}

impl TestKey {
    fn rsa(id: &'static str, algorithm: Algorithm) -> Self {
        let signing = EncodingKey::from_rsa_pem(include_bytes!("../testdata/rsa_1.pem")).unwrap();
        Self { id, algorithm, signing }
    }

    fn other_rsa(id: &'static str) -> Self {
        let signing = EncodingKey::from_rsa_pem(include_bytes!("../testdata/rsa_2.pem")).unwrap();
        Self { id, algorithm: Algorithm::RS256, signing }
    }

    fn ec(id: &'static str) -> Self {
        let signing = EncodingKey::from_ec_pem(include_bytes!("../testdata/ec.pem")).unwrap();
        Self { id, algorithm: Algorithm::ES256, signing }
    }

    fn public(&self) -> Value {
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&self.signing, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = self.id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "kid": self.id, "typ": "JWT"})
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_raw(&self.header().to_string(), &claims.to_string())
    }

    /// Signs whatever it is given, well-formed or not.
    fn sign_raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.signing, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn now() -> i64 {
    seconds_since_1970() as i64
}

/// An id token of Cognito, such as a signed-in page sends.
fn id_claims(issuer: &str) -> Value {
    json!({
        "sub": "7d6f1c9e-0b1a-4f7e-9a55-1c2d3e4f5a6b", "iss": issuer, "aud": "the-client", "token_use": "id",
        "cognito:username": "ann", "cognito:groups": ["readers"], "auth_time": now(), "iat": now(),
        "exp": now() + 3600,
    })
}

fn with(mut claims: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(&name);
        } else {
            claims[name] = value;
        }
    }
    claims
}

fn bearer(token: &str) -> Parts {
    http::Request::get("/sessions")
        .header("authorization", format!("Bearer {token}"))
        .body(())
        .unwrap()
        .into_parts()
        .0
}

/// A server that accepts what a user pool of this issuer signs.
fn cognito(issuer: &Issuer, changes: &str) -> Arc<JwtAuthenticator> {
    let config: AuthConfig = toml::from_str(&format!(
        "type = 'Cognito'\nuser_pool_id = 'local_pool'\nuser_pool_client_id = 'the-client'\nissuer = '{}'\n\
         jwks_url = '{}'\n{changes}",
        issuer.name(),
        issuer.keys_address(),
    ))
    .unwrap();
    Arc::new(config.jwt(Host::Listener, Pace::default()).unwrap())
}

async fn outcome(server: &JwtAuthenticator, parts: &Parts) -> Result<String, &'static str> {
    match server.authenticate(parts).await {
        Ok(principal) => Ok(principal.user.unwrap().to_string()),
        Err(AuthError::Unauthorized { reason }) => Err(reason),
        Err(AuthError::Unavailable { .. }) => Err("unavailable"),
    }
}
