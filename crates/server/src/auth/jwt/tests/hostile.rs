//! The table of hostile tokens: none gets in, none panics, and the log can tell every kind from every other.

use std::collections::BTreeMap;

use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http_body_util::BodyExt as _;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::*;
use crate::http::problem::Problem;

/// A request with one `Authorization` header.
fn raw(value: &[u8]) -> Parts {
    let mut parts = http::Request::get("/").body(()).unwrap().into_parts().0;
    parts.headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    parts
}

/// What is logged meanwhile, at the level that is on by default.
fn collected(work: impl FnOnce()) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let writer = std::sync::Mutex::new(file.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(writer)
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    std::fs::read_to_string(file.path()).unwrap()
}

#[tokio::test]
async fn none_of_them_gets_in() {
    let rsa = TestKey::rsa("rsa", Algorithm::RS256);
    let ec = TestKey::ec("ec");
    let issuer = Issuer::start(&[&rsa, &ec]).await;
    let server = cognito(&issuer, "");
    let good = id_claims(issuer.name());
    let good_text = good.to_string();
    let token = ec.sign(&good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    // A token that is good but for what its header adds, signed with the issuer's own key.
    let headed = |header: Value| ec.sign_raw(&with(ec.header(), header).to_string(), &good_text);
    let claiming = |changes: Value| ec.sign(&with(good.clone(), changes));
    let own = TestKey::other_rsa("rsa");

    // The public key as text, used as the secret of an HMAC: the classic confusion.
    let public_pem = rsa.public().to_string();
    let hs256 = {
        let message = format!("{}.{payload}", encode(r#"{"alg":"HS256","kid":"rsa"}"#));
        let secret = EncodingKey::from_secret(public_pem.as_bytes());
        let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
        format!("{message}.{mac}")
    };
    let own_key = with(own.header(), json!({"jwk": own.public()}));

    let bearers: Vec<(&str, &str, String)> = vec![
        ("token_empty", "no token", String::new()),
        ("token_too_long", "a megabyte", "A".repeat(1 << 20)),
        ("token_too_long", "a good token with huge claims", claiming(json!({"pad": "x".repeat(9_000)}))),
        ("token_characters", "standard base64", format!("{message}.{}+/=", signature)),
        ("token_characters", "padding", format!("{token}=")),
        ("token_characters", "two tokens", format!("{token},{token}")),
        ("token_characters", "percent", token.replace('.', "%2E")),
        ("token_parts", "one part", header.to_owned()),
        ("token_parts", "two parts", message.to_owned()),
        ("token_parts", "four parts", format!("{token}.{signature}")),
        (
            "token_encrypted",
            "five parts, as an encrypted token has",
            format!("{token}.{payload}.{signature}"),
        ),
        ("claims_empty", "detached payload", format!("{header}..{signature}")),
        ("header_encoding", "header with loose bits", format!("eyJhbGciOiJFUzI1NiJ9X.{payload}.{signature}")),
        ("header_json", "header that is no JSON", format!("{}.{payload}.{signature}", encode("{alg:none}"))),
        ("header_not_object", "header that is a list", format!("{}.{payload}.{signature}", encode("[]"))),
        (
            "header_json",
            "header of 3 000 brackets",
            format!("{}.{payload}.{signature}", encode(&"[".repeat(3_000))),
        ),
        (
            "header_duplicate",
            "two algorithms",
            ec.sign_raw(r#"{"alg":"none","kid":"ec","alg":"ES256"}"#, &good_text),
        ),
        (
            "header_duplicate",
            "two algorithms, one spelt with escapes",
            ec.sign_raw(r#"{"alg":"ES256","kid":"ec","\u0061lg":"none"}"#, &good_text),
        ),
        ("header_jku", "key at an address", headed(json!({"jku": "http://127.0.0.1:1/keys"}))),
        ("header_jwk", "own key in the header", own.sign_raw(&own_key.to_string(), &good_text)),
        ("header_x5u", "certificate at an address", headed(json!({"x5u": "http://127.0.0.1:1/cert"}))),
        ("header_x5c", "own certificate", headed(json!({"x5c": ["MIIB"]}))),
        ("header_crit", "critical extension", headed(json!({"crit": ["exp"]}))),
        ("header_cty", "a token within a token", headed(json!({"cty": "JWT"}))),
        ("header_b64", "payload that is not encoded", headed(json!({"b64": false}))),
        ("header_zip", "compressed", headed(json!({"zip": "DEF"}))),
        ("header_enc", "encrypted", headed(json!({"enc": "A128GCM"}))),
        ("alg_missing", "no algorithm", format!("{}.{payload}.{signature}", encode(r#"{"kid":"ec"}"#))),
        ("alg_malformed", "algorithm that is a number", headed(json!({"alg": 256}))),
        ("alg_none", "none, unsigned", format!("{}.{payload}.", encode(r#"{"alg":"none"}"#))),
        ("alg_none", "None, signed", headed(json!({"alg": "None"}))),
        ("alg_none", "nOnE with a space", headed(json!({"alg": "nOnE "}))),
        ("alg_none", "empty algorithm", headed(json!({"alg": ""}))),
        ("alg_symmetric", "HS256 with the public key", hs256),
        ("alg_symmetric", "hs512", headed(json!({"alg": "hs512"}))),
        ("alg_unsupported", "RS1", headed(json!({"alg": "RS1"}))),
        ("alg_unsupported", "lower case", headed(json!({"alg": "es256"}))),
        ("alg_unsupported", "homoglyph", headed(json!({"alg": "ЕS256"}))),
        ("kid_malformed", "key id that is a list", headed(json!({"kid": ["ec"]}))),
        ("kid_malformed", "key id with a line end", headed(json!({"kid": "ec\n"}))),
        ("kid_malformed", "empty key id", headed(json!({"kid": ""}))),
        ("kid_missing", "no key id, two keys", ec.sign_raw(r#"{"alg":"ES256"}"#, &good_text)),
        ("kid_unknown", "another key id", headed(json!({"kid": "../../dev/null"}))),
        ("kid_unknown", "SQL", headed(json!({"kid": "ec' UNION SELECT 'x"}))),
        (
            "alg_not_of_key",
            "key confusion: RS256 with the id of the EC key",
            TestKey::rsa("ec", Algorithm::RS256).sign(&good),
        ),
        ("alg_not_of_key", "PS256 with a key for RS256", TestKey::rsa("rsa", Algorithm::PS256).sign(&good)),
        ("typ_malformed", "type that is a number", headed(json!({"typ": 1}))),
        ("typ_unknown", "logout token", headed(json!({"typ": "logout+jwt"}))),
        ("typ_access_token", "access token by its type", headed(json!({"typ": "at+JWT"}))),
        ("signature_missing", "signature cut off", format!("{message}.")),
        (
            "signature_encoding",
            "signature with loose bits",
            format!("{message}.{}", &signature[..signature.len() - 1]),
        ),
        ("signature_wrong", "somebody else's key with our key's id", own.sign(&good)),
        ("signature_wrong", "zeroes, which some ECDSA accepts", format!("{message}.{}", "A".repeat(86))),
        (
            "signature_wrong",
            "another payload under a good signature",
            format!(
                "{header}.{}.{signature}",
                encode(&with(good.clone(), json!({"sub": "bob"})).to_string())
            ),
        ),
        ("claims_encoding", "claims with loose bits", {
            let message = format!("{}.AAAAB", encode(&ec.header().to_string()));
            let signature =
                jsonwebtoken::crypto::sign(message.as_bytes(), &ec.signing, ec.algorithm).unwrap();
            format!("{message}.{signature}")
        }),
        ("claims_json", "nested token as the claims", ec.sign_raw(&ec.header().to_string(), &token)),
        ("claims_not_object", "claims that are text", ec.sign_raw(&ec.header().to_string(), "\"sub\"")),
        (
            "claims_duplicate",
            "two users",
            ec.sign_raw(&ec.header().to_string(), &good_text.replacen('{', "{\"sub\":\"bob\",", 1)),
        ),
        ("iss_missing", "no issuer", claiming(json!({"iss": null}))),
        ("iss_malformed", "list of issuers", claiming(json!({"iss": [issuer.name()]}))),
        ("iss_wrong", "another pool", claiming(json!({"iss": format!("{}/other", issuer.name())}))),
        ("iss_wrong", "a slash more", claiming(json!({"iss": format!("{}/", issuer.name())}))),
        ("exp_missing", "no expiry", claiming(json!({"exp": null}))),
        ("exp_malformed", "expiry as text", claiming(json!({"exp": "99999999999"}))),
        ("exp_malformed", "expiry before 1970", claiming(json!({"exp": -1}))),
        ("exp_past", "expired", claiming(json!({"exp": now() - 61}))),
        ("exp_past", "expired in 1970", claiming(json!({"exp": 0}))),
        ("nbf_malformed", "start as text", claiming(json!({"nbf": "0"}))),
        ("nbf_future", "not yet", claiming(json!({"nbf": now() + 120}))),
        ("iat_malformed", "issued at an object", claiming(json!({"iat": {}}))),
        ("iat_future", "issued tomorrow", claiming(json!({"iat": now() + 86_400}))),
        ("token_use_missing", "no use", claiming(json!({"token_use": null}))),
        ("token_use_malformed", "use that is a list", claiming(json!({"token_use": ["id"]}))),
        (
            "token_use_wrong",
            "access instead of id",
            claiming(json!({"token_use": "access", "client_id": "the-client"})),
        ),
        ("aud_missing", "no audience", claiming(json!({"aud": null}))),
        ("aud_malformed", "audience that is an object", claiming(json!({"aud": {"the-client": true}}))),
        ("aud_malformed", "no audience in a list", claiming(json!({"aud": []}))),
        ("aud_wrong", "another client", claiming(json!({"aud": "another-client"}))),
        ("aud_wrong", "the client in other letters", claiming(json!({"aud": "The-Client"}))),
        (
            "azp_wrong",
            "for us, asked for by another",
            claiming(json!({"aud": ["the-client", "x"], "azp": "x"})),
        ),
        ("azp_malformed", "party that is a number", claiming(json!({"aud": ["the-client", "x"], "azp": 1}))),
        ("user_missing", "no user", claiming(json!({"sub": null}))),
        ("user_malformed", "user that is a number", claiming(json!({"sub": 7}))),
        ("user_malformed", "blank user", claiming(json!({"sub": " \u{3000}"}))),
        ("user_malformed", "user with a NUL", claiming(json!({"sub": "ann\u{0}"}))),
        ("user_malformed", "endless user", claiming(json!({"sub": "a".repeat(600)}))),
    ];

    let mut requests: Vec<(&str, &str, Parts)> =
        bearers.into_iter().map(|(reason, what, token)| (reason, what, bearer(&token))).collect();
    requests.push((
        "credential_missing",
        "no header",
        http::Request::get("/").body(()).unwrap().into_parts().0,
    ));
    requests.push(("credential_missing", "in the query", {
        http::Request::get(format!("/?access_token={token}")).body(()).unwrap().into_parts().0
    }));
    requests.push(("credential_not_bearer", "password", raw(b"Basic YW5uOnB3")));
    requests.push(("credential_not_bearer", "token alone", raw(token.as_bytes())));
    requests.push(("credential_not_ascii", "unicode", raw("Bearer eyJ\u{feff}".as_bytes())));
    let mut twice = bearer(&token);
    twice.headers.append(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
    requests.push(("credential_twice", "two headers", twice));

    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (reason, what, request) in &requests {
        assert_eq!(outcome(&server, request).await, Err(*reason), "{what}");
        *seen.entry(reason).or_default() += 1;
    }
    // Outside they are all one answer, and each has its reason in the log.
    let told = collected(|| {
        let mut answers = seen.keys().map(|reason| {
            let response = Problem::from(AuthError::Unauthorized { reason }).into_response();
            let (parts, body) = response.into_parts();
            let body = body.collect().now_or_never().unwrap().unwrap().to_bytes();
            (parts.status, parts.headers, body)
        });
        let first = answers.next().unwrap();
        assert_eq!(first.0, http::StatusCode::UNAUTHORIZED);
        assert!(answers.all(|answer| answer == first));
    });
    for reason in seen.keys() {
        assert_eq!(told.matches(&format!("reason=\"{reason}\"")).count(), 1, "{reason}: {told}");
    }
    assert!(requests.len() >= 80, "{}", requests.len());
    assert!(seen.len() >= 55, "{} kinds", seen.len());
    // The same server still lets the good one in, and asked for keys at the start and for an unknown id only.
    assert!(outcome(&server, &bearer(&token)).await.is_ok());
    assert!(issuer.asked() <= 2, "{}", issuer.asked());
}
