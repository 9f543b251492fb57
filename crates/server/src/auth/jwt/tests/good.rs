//! Tokens that must be accepted, and what is read from them.

use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::json;

use super::*;

#[tokio::test]
async fn every_accepted_algorithm_signs_a_user_in() {
    let keys =
        [TestKey::rsa("rs", Algorithm::RS256), TestKey::rsa("ps", Algorithm::PS256), TestKey::ec("ec")];
    let issuer = Issuer::start(&keys.each_ref()).await;
    let server = cognito(&issuer, "");
    for key in &keys {
        let token = key.sign(&id_claims(issuer.name()));
        assert_eq!(
            outcome(&server, &bearer(&token)).await,
            Ok("7d6f1c9e-0b1a-4f7e-9a55-1c2d3e4f5a6b".into()),
            "{}",
            key.id
        );
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn clocks_may_be_a_minute_apart() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "");
    for changes in [
        json!({"exp": now() - 55}),
        json!({"nbf": now() + 55, "iat": now() + 55}),
        json!({"exp": (now() + 10) as f64 + 0.5}),
        json!({"nbf": 0, "iat": 0}),
    ] {
        let token = key.sign(&with(id_claims(issuer.name()), changes.clone()));
        assert!(outcome(&server, &bearer(&token)).await.is_ok(), "{changes}");
    }
}

#[tokio::test]
async fn an_access_token_is_for_whoever_asks_for_access_tokens() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "api_token = 'access'");
    let access = with(
        id_claims(issuer.name()),
        json!({"token_use": "access", "aud": null, "client_id": "the-client", "scope": "openid"}),
    );
    assert!(outcome(&server, &bearer(&key.sign(&access))).await.is_ok());
    let marked = json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}).to_string();
    assert!(outcome(&server, &bearer(&key.sign_raw(&marked, &access.to_string()))).await.is_ok());
    let other = with(access.clone(), json!({"client_id": "another"}));
    assert_eq!(outcome(&server, &bearer(&key.sign(&other))).await, Err("client_wrong"));
    let id = key.sign(&id_claims(issuer.name()));
    assert_eq!(outcome(&server, &bearer(&id)).await, Err("token_use_wrong"));
}

#[tokio::test]
async fn any_provider_is_found_by_discovery() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let config: AuthConfig = toml::from_str(&format!(
        "type = 'Oidc'\nissuer = '{}'\naudience = ['api', 'page']\nuser_claim = 'email'\n\
         admin_claim = 'realm_access.roles'\nadmin_role = 'chief'",
        issuer.name()
    ))
    .unwrap();
    let server = config.jwt(Host::Listener, Pace::default()).unwrap();
    let claims = json!({
        "iss": issuer.name(), "aud": ["account", "api"], "azp": "page", "exp": now() + 60, "email": "ann@example.org",
        "realm_access": {"roles": ["chief"]},
    });
    let principal = server.authenticate(&bearer(&key.sign(&claims))).await.unwrap();
    assert_eq!(principal.user.as_deref(), Some("ann@example.org"));
    assert!(principal.admin);
    let plain = with(claims, json!({"realm_access": {"roles": ["chiefs"]}, "chief": true}));
    assert!(!server.authenticate(&bearer(&key.sign(&plain))).await.unwrap().admin);

    let liar = Issuer::start(&[&key]).await;
    liar.says_it_is("https://accounts.example");
    let config: AuthConfig =
        toml::from_str(&format!("type = 'Oidc'\nissuer = '{}'\naudience = ['api']", liar.name())).unwrap();
    let server = config.jwt(Host::Listener, Pace::default()).unwrap();
    assert_eq!(outcome(&server, &bearer(&key.sign(&plain))).await, Err("unavailable"));
}

#[tokio::test]
async fn a_token_without_key_id_is_fine_where_there_is_one_key() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "");
    let token = key.sign_raw(r#"{"alg":"ES256"}"#, &id_claims(issuer.name()).to_string());
    assert!(outcome(&server, &bearer(&token)).await.is_ok());
}

#[tokio::test]
async fn the_role_of_an_administrator_is_configured_or_nobodys() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let token = key.sign(&with(id_claims(issuer.name()), json!({"cognito:groups": ["admin", "ops"]})));
    for (config, admin) in [
        ("", false),
        ("admin_role = 'ops'", true),
        ("admin_role = 'op'", false),
        ("admin_claim = 'cognito:groups'", true),
        ("admin_claim = 'cognito:groups'\nadmin_role = 'op'", false),
        ("admin_claim = 'roles'", false),
    ] {
        let server = cognito(&issuer, config);
        assert_eq!(server.authenticate(&bearer(&token)).await.unwrap().admin, admin, "{config}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing that a client may send makes the reader panic.
    #[test]
    fn prop_anything_can_be_taken_apart(token in "[ -~]{0,200}", header in "\\PC{0,80}", claims in "\\PC{0,80}") {
        let _ = super::super::compact::Compact::parse(&token);
        let encoded = format!("{}.{}.c2ln", encode(&header), encode(&claims));
        if let Ok(parts) = super::super::compact::Compact::parse(&encoded) {
            let _ = parts.claims();
        }
    }
}

#[tokio::test]
async fn no_changed_byte_goes_unnoticed() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "");
    let token = key.sign(&id_claims(issuer.name()));
    assert!(outcome(&server, &bearer(&token)).await.is_ok());
    for place in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(outcome(&server, &bearer(&changed)).await.is_err(), "{place}");
    }
}
