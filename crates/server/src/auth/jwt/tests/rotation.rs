//! Keys that change, go away and cannot be had.

use std::time::Duration;

use axum::http::StatusCode;
use jsonwebtoken::Algorithm;

use super::issuer::Mood;
use super::*;

/// Lets time pass for the server without waiting.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A second key whose id is not that of the first.
fn next_key() -> TestKey {
    TestKey::other_rsa("next")
}

#[tokio::test]
async fn a_new_key_is_found_by_the_first_token_that_names_it() {
    let (old, new) = (TestKey::ec("ec"), next_key());
    let issuer = Issuer::start(&[&old]).await;
    let server = cognito(&issuer, "");
    let claims = id_claims(issuer.name());
    assert!(outcome(&server, &bearer(&old.sign(&claims))).await.is_ok());
    pass(Duration::from_secs(60)).await;
    issuer.publish(&[&old, &new]);
    assert!(outcome(&server, &bearer(&new.sign(&claims))).await.is_ok());
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn unknown_key_ids_do_not_make_the_server_hammer_the_issuer() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "");
    let claims = id_claims(issuer.name());
    assert!(outcome(&server, &bearer(&key.sign(&claims))).await.is_ok());
    for round in 0..3 {
        pass(Pace::default().on_demand).await;
        let before = issuer.asked();
        for n in 0..50 {
            let header = format!(r#"{{"alg":"ES256","kid":"made-up-{round}-{n}"}}"#);
            let token = format!("{}.{}.{}", encode(&header), encode("{}"), "A".repeat(86));
            assert_eq!(outcome(&server, &bearer(&token)).await, Err("kid_unknown"));
        }
        assert_eq!(issuer.asked(), before + 1);
    }
}

#[tokio::test]
async fn one_fetch_serves_everybody_who_waits_and_nobody_waits_later() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "");
    let token = key.sign(&id_claims(issuer.name()));
    let all = (0..20).map(|_| {
        let (server, parts) = (server.clone(), bearer(&token));
        tokio::spawn(async move { outcome(&server, &parts).await })
    });
    for one in futures_util::future::join_all(all).await {
        assert!(one.unwrap().is_ok());
    }
    assert_eq!(issuer.asked(), 1);
    // With the issuer gone, known keys and known tokens are all that is needed.
    issuer.set(Mood::Broken(StatusCode::INTERNAL_SERVER_ERROR));
    let second = key.sign(&with(id_claims(issuer.name()), json!({"sub": "bob"})));
    assert!(outcome(&server, &bearer(&token)).await.is_ok());
    assert_eq!(outcome(&server, &bearer(&second)).await, Ok("bob".into()));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn without_keys_nobody_gets_in_and_the_answer_says_later() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[]).await;
    let token = key.sign(&id_claims(issuer.name()));
    for mood in [
        Mood::Broken(StatusCode::NOT_FOUND),
        Mood::Text("<html>".into()),
        Mood::Text("x".repeat(1 << 20)),
        Mood::Keys(vec![]),
        // An open redirect at the issuer's would let others provide its keys.
        Mood::Redirects,
        // Keys that are too short, for encryption, symmetric, or for an algorithm that is not accepted.
        Mood::Keys(vec![
            json!({"kty": "RSA", "kid": "ec", "n": encode(&"x".repeat(128)), "e": "AQAB"}),
            with(key.public(), json!({"use": "enc"})),
            with(key.public(), json!({"alg": "ES512"})),
            with(key.public(), json!({"x": "AAAA"})),
            json!({"kty": "oct", "kid": "ec", "k": encode("secret")}),
        ]),
    ] {
        issuer.set(mood.clone());
        let server = cognito(&issuer, "");
        match server.authenticate(&bearer(&token)).await {
            Err(AuthError::Unavailable { retry_after }) => assert!(retry_after >= Duration::from_secs(1)),
            other => panic!("{mood:?}: {other:?}"),
        }
        // It recovers by itself.
        issuer.publish(&[&key]);
        pass(Pace::default().on_demand).await;
        assert!(outcome(&server, &bearer(&token)).await.is_ok(), "{mood:?}");
    }
}

#[tokio::test]
async fn nobody_listens_at_the_issuers_address() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let config: AuthConfig =
        toml::from_str(&format!("type = 'Oidc'\nissuer = 'http://{address}'\naudience = ['a']")).unwrap();
    let server = config.jwt(Host::Listener, Pace::default()).unwrap();
    let token = TestKey::ec("ec").sign(&id_claims("x"));
    assert_eq!(outcome(&server, &bearer(&token)).await, Err("unavailable"));
}

#[tokio::test]
async fn a_key_that_is_withdrawn_takes_its_tokens_along() {
    let (old, new) = (TestKey::ec("ec"), next_key());
    let issuer = Issuer::start(&[&old]).await;
    let server = cognito(&issuer, "");
    let claims = id_claims(issuer.name());
    let stolen = bearer(&old.sign(&claims));
    assert!(outcome(&server, &stolen).await.is_ok());
    issuer.publish(&[&new]);
    pass(Pace::default().on_demand).await;
    assert!(outcome(&server, &bearer(&new.sign(&claims))).await.is_ok());
    assert_eq!(outcome(&server, &stolen).await, Err("kid_unknown"));
}

#[tokio::test]
async fn keys_that_could_not_be_refreshed_for_a_day_are_not_relied_on() {
    let key = TestKey::ec("ec");
    let issuer = Issuer::start(&[&key]).await;
    let server = cognito(&issuer, "");
    let claims = with(id_claims(issuer.name()), json!({"exp": now() + 10 * 86_400}));
    assert!(outcome(&server, &bearer(&key.sign(&claims))).await.is_ok());
    issuer.set(Mood::Broken(StatusCode::BAD_GATEWAY));
    pass(Duration::from_secs(23 * 60 * 60)).await;
    let second = with(claims, json!({"sub": "bob"}));
    assert!(outcome(&server, &bearer(&key.sign(&second))).await.is_ok());
    pass(Duration::from_secs(2 * 60 * 60)).await;
    let third = with(second, json!({"sub": "carol"}));
    assert_eq!(outcome(&server, &bearer(&key.sign(&third))).await, Err("unavailable"));
}

#[tokio::test]
async fn keys_are_fetched_in_the_background_before_anybody_needs_them() {
    let (old, new) = (TestKey::rsa("rsa", Algorithm::RS256), next_key());
    let issuer = Issuer::start(&[&old]).await;
    let server = cognito(&issuer, "");
    server.keep_fresh();
    let asked = async |times: usize| {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while issuer.asked() < times {
            assert!(std::time::Instant::now() < deadline, "{} fetches, not {times}", issuer.asked());
            tokio::task::yield_now().await;
        }
    };
    asked(1).await;
    issuer.publish(&[&new]);
    // The task may not sleep yet when its request is counted: pass the hour once it does.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while issuer.asked() < 2 {
        assert!(std::time::Instant::now() < deadline);
        pass(Duration::from_secs(3_600)).await;
        tokio::time::timeout(Duration::from_millis(50), asked(2)).await.ok();
    }
    assert!(outcome(&server, &bearer(&new.sign(&id_claims(issuer.name())))).await.is_ok());
}
