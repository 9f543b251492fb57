//! The `COGNITO_USER_POOLS` authorizer: takes id tokens of one pool, and nothing else.

use axum::http::HeaderMap;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Map, Value};

/// Who signs the tokens.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The `iss` claim.
    pub issuer: String,
    /// Where the keys are.
    pub jwks: String,
}

impl Issuer {
    /// The claims of the request's token, or why there are none.
    pub(super) async fn claims(&self, headers: &HeaderMap) -> Result<Map<String, Value>, String> {
        let value = headers.get("authorization").and_then(|value| value.to_str().ok()).ok_or("no token")?;
        let token = value.strip_prefix("Bearer ").unwrap_or(value);
        let head = decode_header(token).map_err(|error| error.to_string())?;
        let keys: JwkSet = reqwest::get(&self.jwks)
            .await
            .map_err(|error| error.to_string())?
            .json()
            .await
            .map_err(|error| error.to_string())?;
        let key = keys.find(&head.kid.unwrap_or_default()).ok_or("unknown key")?;
        let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.issuer]);
        // API Gateway takes the tokens of every client of the pool.
        validation.validate_aud = false;
        let claims =
            decode::<Map<String, Value>>(token, &key, &validation).map_err(|error| error.to_string())?.claims;
        if claims.get("token_use").and_then(Value::as_str) != Some("id") {
            return Err("not an id token".into());
        }
        // API Gateway hands every claim on as text.
        Ok(claims
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(_) => (name, value),
                other => (name, Value::String(other.to_string())),
            })
            .collect())
    }
}
