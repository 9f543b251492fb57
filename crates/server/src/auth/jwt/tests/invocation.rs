//! What API Gateway says about the caller of a Lambda function.

use lambda_http::request::RequestContext;

use super::*;

const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Pool";

fn server(host: Host) -> JwtAuthenticator {
    let config: AuthConfig = toml::from_str(
        "type = 'Cognito'\nuser_pool_id = 'eu-west-1_Pool'\nuser_pool_client_id = 'the-client'\n\
         admin_role = 'ops'\njwks_url = 'http://127.0.0.1:1/'",
    )
    .unwrap();
    config.jwt(host, Pace::default()).unwrap()
}

/// The claims as a REST API's Cognito authorizer hands them over: all text, times for people.
fn claims() -> Value {
    json!({
        "sub": "ann", "iss": ISSUER, "aud": "the-client", "token_use": "id", "cognito:groups": "readers,ops",
        "exp": "Thu Nov 26 10:00:00 UTC 2026", "iat": "Thu Nov 26 09:00:00 UTC 2026",
    })
}

fn rest(authorizer: &Value) -> RequestContext {
    RequestContext::ApiGatewayV1(
        serde_json::from_value(json!({
            "accountId": "1", "resourceId": "r", "stage": "prod", "requestId": "q", "identity": {"sourceIp": "192.0.2.1"},
            "authorizer": authorizer, "httpMethod": "POST", "apiId": "a", "resourcePath": "/chat",
        }))
        .unwrap(),
    )
}

fn http_api(claims: &Value) -> RequestContext {
    RequestContext::ApiGatewayV2(
        serde_json::from_value(json!({
            "routeKey": "$default", "stage": "$default", "time": "", "timeEpoch": 0,
            "http": {"method": "POST", "path": "/chat", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "authorizer": {"jwt": {"claims": claims, "scopes": []}},
        }))
        .unwrap(),
    )
}

fn invoked(context: RequestContext) -> Parts {
    let mut parts = http::Request::post("/chat").body(()).unwrap().into_parts().0;
    parts.extensions.insert(context);
    parts
}

#[tokio::test]
async fn the_authorizers_claims_sign_in_without_any_key() {
    let server = server(Host::Lambda);
    for context in [
        rest(&json!({"claims": claims()})),
        http_api(&with(claims(), json!({"cognito:groups": "[readers ops]"}))),
    ] {
        let principal = server.authenticate(&invoked(context)).await.unwrap();
        assert_eq!(principal.user.as_deref(), Some("ann"));
        assert!(principal.admin);
    }
}

#[tokio::test]
async fn an_authorizer_for_others_is_not_one_for_us() {
    let server = server(Host::Lambda);
    for (changes, reason) in [
        (json!({"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"}), "iss_wrong"),
        (json!({"aud": "another-client"}), "aud_wrong"),
        (json!({"token_use": "access"}), "token_use_wrong"),
        (json!({"sub": ""}), "user_malformed"),
    ] {
        let context = rest(&json!({"claims": with(claims(), changes)}));
        assert_eq!(outcome(&server, &invoked(context)).await, Err(reason));
    }
    // No authorizer, or one of another kind: the token itself is wanted.
    for authorizer in
        [json!({}), json!({"principalId": "ann", "sub": "ann"}), json!({"claims": {}}), json!(null)]
    {
        assert_eq!(outcome(&server, &invoked(rest(&authorizer))).await, Err("credential_missing"));
    }
}

#[tokio::test]
async fn what_a_client_can_send_is_never_taken_for_an_authorizer() {
    let context = json!({"authorizer": {"claims": claims()}}).to_string();
    for host in [Host::Lambda, Host::Listener] {
        let server = server(host);
        let mut parts = http::Request::post("/chat").body(()).unwrap().into_parts().0;
        for name in [
            "x-amzn-request-context",
            "x-amzn-lambda-context",
            "x-apigateway-context",
            "x-amzn-oidc-identity",
        ] {
            parts.headers.insert(name, context.parse().unwrap());
        }
        assert_eq!(outcome(&server, &parts).await, Err("credential_missing"));
    }
    // Even a context is not believed by a listener: nothing there could have put it in but a mistake of ours.
    let server = server(Host::Listener);
    let parts = invoked(rest(&json!({"claims": claims()})));
    assert_eq!(outcome(&server, &parts).await, Err("credential_missing"));
}
