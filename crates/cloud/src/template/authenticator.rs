//! Who may talk to the agent: a Cognito pool with secure defaults, an existing one, any OpenID Connect issuer,
//! or everybody.

use serde_json::{Value, json};

use sha2::{Digest as _, Sha256};

use super::{
    Stack,
    intrinsics::{attribute, no_value, reference, sub, when},
};
use crate::settings::{AuthKind, Communication, Settings};

/// The parameter that chooses Cognito's classic sign-in page where a region does not have the newer one.
pub const SIGN_IN_PAGES: &str = "SignInPages";
/// Whether it says the newer one.
const MANAGED: &str = "ManagedSignIn";
/// The resource that the newer page needs.
pub const BRANDING: &str = "AWS::Cognito::ManagedLoginBranding";

/// The parameter for the page's address, where the stack cannot know it while it is made.
pub const PAGE_ADDRESS: &str = "PageAddress";
/// Whether it was given.
const HAS_PAGE_ADDRESS: &str = "HasPageAddress";

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
                domain(settings, stack);
                login_domain(settings, stack);
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

/// The first label of the sign-in domain. Cognito takes lower-case letters only, at most 63 characters, and no name with
/// one of its own words in it.
fn domain_prefix(settings: &Settings) -> Value {
    if let Some(prefix) = &settings.auth.domain_prefix {
        return json!(prefix);
    }
    let name = settings.name.to_ascii_lowercase();
    let name = name.trim_end_matches('-');
    if ["aws", "amazon", "cognito"].iter().any(|word| name.contains(word)) {
        let digest: String = Sha256::digest(name).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        return sub(format!("agent-{digest}-${{AWS::AccountId}}"));
    }
    if name == settings.name {
        sub("${AWS::StackName}-${AWS::AccountId}")
    } else {
        sub(format!("{name}-${{AWS::AccountId}}"))
    }
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
    let late = settings.learns_page_address();
    let mut urls: Vec<Value> = settings.auth.callback_urls.iter().map(|url| json!(url)).collect();
    if settings.has_distribution() && !late {
        urls.insert(0, super::frontend::page_url(settings, "/"));
    }
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
    let mut code_flow = vec![
        ("AllowedOAuthFlowsUserPoolClient", json!(true)),
        ("AllowedOAuthFlows", json!(["code"])),
        ("AllowedOAuthScopes", json!(["openid", "email", "profile"])),
    ];
    let known = if urls.is_empty() { no_value() } else { json!(urls) };
    let mut addresses = known.clone();
    if late {
        page_address(stack);
        urls.insert(0, sub(format!("${{{PAGE_ADDRESS}}}/")));
        addresses = when(HAS_PAGE_ADDRESS, json!(urls), known.clone());
        if known == no_value() {
            for (_, value) in &mut code_flow {
                *value = when(HAS_PAGE_ADDRESS, value.clone(), no_value());
            }
        }
    }
    // Cognito refuses the code flow without an address to return to.
    if addresses != no_value() {
        code_flow.extend([("CallbackURLs", addresses.clone()), ("LogoutURLs", addresses)]);
        for (name, value) in code_flow {
            properties[name] = value;
        }
    }
    stack.resource("UserPoolClient", "AWS::Cognito::UserPoolClient", properties);
}

fn page_address(stack: &mut Stack) {
    stack.parameter(
        PAGE_ADDRESS,
        "The output PageUrl, once the stack is made: where the sign-in page returns to; empty for a form of the page's own",
        Some(""),
    );
    let given = json!({ "Fn::Not": [{ "Fn::Equals": [reference(PAGE_ADDRESS), ""] }] });
    stack.conditions.push((HAS_PAGE_ADDRESS.into(), given));
}

/// The page reads its settings from the function here, so the function knows where people sign in. Where the page's files
/// are in a bucket, its settings are there too, made of the outputs.
fn login_domain(settings: &Settings, stack: &mut Stack) {
    if settings.communication != Communication::FunctionUrl || !settings.has_distribution() {
        return;
    }
    let address = if settings.learns_page_address() {
        when(HAS_PAGE_ADDRESS, sub(SIGN_IN_ADDRESS), no_value())
    } else {
        sub(SIGN_IN_ADDRESS)
    };
    stack.env("LOQUAT_LOGIN_DOMAIN", address);
}

/// Where people sign in.
const SIGN_IN_ADDRESS: &str = "https://${UserPoolDomain}.auth.${AWS::Region}.amazoncognito.com";

fn domain(settings: &Settings, stack: &mut Stack) {
    let managed = settings.auth.managed_login;
    if managed {
        stack.parameter(
            SIGN_IN_PAGES,
            "\"managed\" for Cognito's newer sign-in page, \"classic\" where the region does not have it",
            Some("managed"),
        );
        let chosen = json!({ "Fn::Equals": [reference(SIGN_IN_PAGES), "managed"] });
        stack.conditions.push((MANAGED.into(), chosen));
    }
    stack.resource(
        "UserPoolDomain",
        "AWS::Cognito::UserPoolDomain",
        json!({
            "UserPoolId": reference("UserPool"),
            "Domain": domain_prefix(settings),
            "ManagedLoginVersion": if managed { when(MANAGED, json!(2), json!(1)) } else { json!(1) }
        }),
    );
    stack.output("SignInUrl", "The sign-in page", sub(SIGN_IN_ADDRESS));
    if !managed {
        return;
    }
    // Managed login answers "unavailable" until a client has a style; Cognito's own will do.
    let branding = stack.resource(
        "ManagedLogin",
        BRANDING,
        json!({
            "UserPoolId": reference("UserPool"),
            "ClientId": reference("UserPoolClient"),
            "UseCognitoProvidedValues": true
        }),
    );
    branding["Condition"] = json!(MANAGED);
    branding["DependsOn"] = json!(["UserPoolDomain"]);
}
