//! The token, read without its key: is it the right one, and is it still good?

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::Examination;

impl Examination<'_> {
    pub(super) fn token(&mut self, token: &str, config: &Value) {
        let Some(claims) = claims(token) else {
            return;
        };
        let wanted = config["auth"]["api_token"].as_str().unwrap_or("id");
        if let Some(kind) = claims["token_use"].as_str()
            && kind != wanted
        {
            self.fault(
                "wrong_token",
                format!("the token is Cognito's {kind} token; the API takes the {wanted} token"),
                format!(
                    "send the {wanted} token: API Gateway's Cognito authorizer refuses the other with 401"
                ),
            );
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if claims["exp"].as_u64().is_some_and(|end| end < now) {
            self.fault("expired_token", "the token has expired", "sign in again for a new one");
        }
        let begin = claims["iat"].as_u64().max(claims["nbf"].as_u64());
        if begin.is_some_and(|begin| begin > now + self.options.skew.as_secs()) {
            self.fault(
                "clock_skew",
                "the token was made in the future: the clocks differ",
                "set the clock (NTP): tokens are refused as expired or not yet valid",
            );
        }
    }
}

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
