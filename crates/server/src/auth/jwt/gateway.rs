//! The claims that an API Gateway authorizer verified before it invoked this function.

use http::request::Parts;
use lambda_http::request::RequestContext;
use serde_json::{Map, Value};

/// The authorizer's claims, if there was one. They are read from the context of the invocation, which only the Lambda
/// host puts beside a request; a header with the same content (the Web Adapter makes one, and so can any client) is
/// never looked at.
pub(super) fn claims(parts: &Parts) -> Option<Map<String, Value>> {
    let claims = match parts.extensions.get::<RequestContext>()? {
        // REST API, `COGNITO_USER_POOLS` authorizer.
        RequestContext::ApiGatewayV1(context) => {
            context.authorizer.fields.get("claims")?.as_object()?.clone()
        }
        // HTTP API, JWT authorizer.
        RequestContext::ApiGatewayV2(context) => {
            let jwt = context.authorizer.as_ref()?.jwt.as_ref()?;
            jwt.claims.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
        }
        _ => return None,
    };
    (!claims.is_empty()).then_some(claims)
}
