//! Keys of the issuer that cannot be had: nobody gets in for it, everybody is told to come back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

/// A token whose form is right; nothing else of it is.
fn token() -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256","kid":"k"}"#), part(r#"{"sub":"ann"}"#), part("signature"))
}

#[tokio::test]
async fn without_the_issuers_keys_the_service_starts_and_lets_nobody_in() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let keys = format!("http://{closed}/keys");
    let settings = [
        ("AUTH_TYPE", "Cognito"),
        ("USER_POOL_ID", "eu-west-1_Pool"),
        ("USER_POOL_CLIENT_ID", "the-client"),
        ("LOQUAT_JWKS_URL", keys.as_str()),
    ];
    let served = serve(&settings, "say=\"hi\"").await;
    // What needs nobody's name works, the page among it.
    for path in ["/health", "/config.json", "/"] {
        assert_eq!(served.request("GET", path).send().await.unwrap().status(), 200, "{path}");
    }
    for (method, path) in [("POST", "/chat"), ("GET", "/sessions"), ("GET", "/runs/r/events")] {
        let request = served.request(method, path).bearer_auth(token()).json(&json!({"message": "hello"}));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        let retry = answer.headers()["retry-after"].to_str().unwrap();
        assert!((1..=60).contains(&retry.parse::<u32>().unwrap()), "{retry}");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "sign_in_unavailable");
        // What is no token is refused with or without keys.
        for credential in ["", "x", "a.b.c"] {
            let answer = served.request(method, path).bearer_auth(credential).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path} {credential}");
        }
        assert_eq!(served.request(method, path).send().await.unwrap().status(), 401, "{path}");
    }
    assert!(served.mock.requests().is_empty(), "the model was not asked");
    let log = secrets::log();
    let warned = log.lines().any(|line| line.contains("WARN") && line.contains("keys cannot be fetched"));
    assert!(warned, "the operator is told");
}
