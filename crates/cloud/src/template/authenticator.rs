//! Who may talk to the agent: a Cognito pool with secure defaults, an existing one, any OpenID Connect issuer,
//! or everybody.

use serde_json::{Value, json};

use super::{
    Stack,
    intrinsics::{attribute, reference, sub},
};
use crate::settings::{Auth, AuthKind, Settings};

pub(super) fn add(settings: &Settings, stack: &mut Stack) {
    match settings.auth.kind {
        AuthKind::None => stack.env("AUTH_TYPE", "None"),
        AuthKind::Oidc => {
            stack.env("AUTH_TYPE", "Oidc");
            stack.env("LOQUAT_ISSUER", settings.auth.issuer.as_deref().unwrap_or_default());
            stack.env("LOQUAT_AUDIENCE", settings.auth.audience.as_deref().unwrap_or_default());
        }
        AuthKind::Cognito => {
            stack.env("AUTH_TYPE", "Cognito");
            if settings.owns_user_pool() {
                pool(settings, stack);
                client(settings, stack);
                domain(&settings.auth, stack);
            }
            stack.env("USER_POOL_ID", pool_id(settings));
            stack.env("USER_POOL_CLIENT_ID", client_id(settings));
            stack.output("UserPoolId", "The user pool", pool_id(settings));
            stack.output("UserPoolClientId", "The pool's client", client_id(settings));
        }
    }
}

/// The pool's id, made here or given.
pub(super) fn pool_id(settings: &Settings) -> Value {
    settings.auth.user_pool_id.as_ref().map_or_else(|| reference("UserPool"), |id| json!(id))
}

/// The client's id, made here or given.
pub(super) fn client_id(settings: &Settings) -> Value {
    settings.auth.user_pool_client_id.as_ref().map_or_else(|| reference("UserPoolClient"), |id| json!(id))
}

/// The pool's ARN, for the API's authorizer.
pub(super) fn pool_arn(settings: &Settings) -> Value {
    settings.auth.user_pool_id.as_ref().map_or_else(
        || attribute("UserPool", "Arn"),
        |id| {
            sub(format!(
                "arn:${{AWS::Partition}}:cognito-idp:${{AWS::Region}}:${{AWS::AccountId}}:userpool/{id}"
            ))
        },
    )
}

/// The first label of the sign-in domain.
fn domain_prefix(auth: &Auth) -> Value {
    auth.domain_prefix
        .as_ref()
        .map_or_else(|| sub("${AWS::StackName}-${AWS::AccountId}"), |prefix| json!(prefix))
}

fn pool(settings: &Settings, stack: &mut Stack) {
    let protection = if stack.retain { "ACTIVE" } else { "INACTIVE" };
    stack.data_resource(
        "UserPool",
        "AWS::Cognito::UserPool",
        json!({
            "UserPoolName": sub("${AWS::StackName}"),
            "AdminCreateUserConfig": { "AllowAdminCreateUserOnly": !settings.auth.self_sign_up },
            "AutoVerifiedAttributes": ["email"],
            "UsernameAttributes": ["email"],
            "UsernameConfiguration": { "CaseSensitive": false },
            "AccountRecoverySetting": { "RecoveryMechanisms": [{ "Name": "verified_email", "Priority": 1 }] },
            "DeletionProtection": protection,
            "EnabledMfas": ["SOFTWARE_TOKEN_MFA"],
            "MfaConfiguration": "OPTIONAL",
            "Policies": { "PasswordPolicy": {
                "MinimumLength": 12,
                "RequireLowercase": true,
                "RequireUppercase": true,
                "RequireNumbers": true,
                "RequireSymbols": true,
                "TemporaryPasswordValidityDays": 3
            } },
            "UserAttributeUpdateSettings": { "AttributesRequireVerificationBeforeUpdate": ["email"] }
        }),
    );
}

fn client(settings: &Settings, stack: &mut Stack) {
    let mut urls: Vec<Value> = Vec::new();
    if settings.has_distribution() {
        urls.push(super::frontend::page_url(settings, "/"));
    }
    urls.extend(settings.auth.callback_urls.iter().map(|url| json!(url)));
    let mut properties = json!({
        "UserPoolId": reference("UserPool"),
        "ClientName": "page",
        "GenerateSecret": false,
        "EnableTokenRevocation": true,
        "PreventUserExistenceErrors": "ENABLED",
        "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        "SupportedIdentityProviders": ["COGNITO"],
        "AccessTokenValidity": 60,
        "IdTokenValidity": 60,
        "RefreshTokenValidity": 30,
        "TokenValidityUnits": { "AccessToken": "minutes", "IdToken": "minutes", "RefreshToken": "days" }
    });
    // Cognito refuses the code flow without an address to return to.
    if !urls.is_empty() {
        properties["AllowedOAuthFlowsUserPoolClient"] = json!(true);
        properties["AllowedOAuthFlows"] = json!(["code"]);
        properties["AllowedOAuthScopes"] = json!(["openid", "email", "profile"]);
        properties["CallbackURLs"] = json!(urls);
        properties["LogoutURLs"] = json!(urls);
    }
    stack.resource("UserPoolClient", "AWS::Cognito::UserPoolClient", properties);
}

fn domain(auth: &Auth, stack: &mut Stack) {
    stack.resource(
        "UserPoolDomain",
        "AWS::Cognito::UserPoolDomain",
        json!({
            "UserPoolId": reference("UserPool"),
            "Domain": domain_prefix(auth),
            "ManagedLoginVersion": if auth.managed_login { 2 } else { 1 }
        }),
    );
    stack.output(
        "SignInUrl",
        "The sign-in page",
        sub("https://${UserPoolDomain}.auth.${AWS::Region}.amazoncognito.com"),
    );
    if !auth.managed_login {
        return;
    }
    // Managed login answers "unavailable" until a client has a style; Cognito's own will do.
    let branding = stack.resource(
        "ManagedLogin",
        "AWS::Cognito::ManagedLoginBranding",
        json!({
            "UserPoolId": reference("UserPool"),
            "ClientId": reference("UserPoolClient"),
            "UseCognitoProvidedValues": true
        }),
    );
    branding["DependsOn"] = json!(["UserPoolDomain"]);
}
