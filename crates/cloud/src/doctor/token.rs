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
        self.maker(&claims, &config["auth"]);
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

    /// Whether it was made by whom the agent believes, and for the agent's own client.
    fn maker(&mut self, claims: &Value, auth: &Value) {
        let issuer = |value: &Value| value.as_str().map(|text| text.trim_end_matches('/').to_owned());
        if let (Some(made_by), Some(believed)) = (issuer(&claims["iss"]), issuer(&auth["authority"]))
            && made_by != believed
        {
            self.fault(
                "other_issuer",
                format!("the token was made by {made_by}; the agent believes {believed}"),
                "sign in at the agent's own user pool or issuer, or correct USER_POOL_ID or LOQUAT_ISSUER",
            );
        }
        // What an API that is no page expects as its audience is not told to anybody.
        let (Some("cognito"), Some(client)) = (auth["type"].as_str(), auth["user_pool_client_id"].as_str())
        else {
            return;
        };
        let names = [&claims["aud"], &claims["client_id"]].into_iter().find_map(Value::as_str);
        if let Some(other) = names.filter(|name| *name != client) {
            self.fault(
                "other_client",
                format!("the token was made for the app client {other}; the agent takes those for {client}"),
                "sign in with the agent's own app client, or correct USER_POOL_CLIENT_ID",
            );
        }
    }
}

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
