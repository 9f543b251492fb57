//! A test of the deployed agent: what a browser's first minute would meet.

use std::time::Duration;

use crate::{
    aws::{Aws, cloudformation::Stack},
    cognito,
    doctor::{self, Severity},
    settings::{AuthKind, Settings},
};

/// Tests the API at `api`; answers what is wrong with it.
///
/// Where a user pool signs people in, a user is made for the test, signs in as the page does, and is deleted.
pub async fn test(aws: &Aws, settings: &Settings, stack: &Stack, api: &str) -> Vec<String> {
    let mut failures = Vec::new();
    let mut user = None;
    let mut token = None;
    if let (AuthKind::Cognito, true, Some(pool), Some(client)) = (
        settings.auth.kind,
        settings.owns_user_pool(),
        stack.output("UserPoolId"),
        stack.output("UserPoolClientId"),
    ) {
        let name = format!("smoke-{}@loquat.invalid", super::stamp());
        let password = cognito::random_password();
        let signed_in = async {
            aws.create_user(pool, &name, false).await?;
            aws.set_password(pool, &name, &password).await?;
            cognito::sign_in(aws, pool, client, &name, &password).await
        };
        match signed_in.await {
            Ok(tokens) => token = Some(tokens.id_token),
            Err(error) => failures.push(format!("signing in: {error}")),
        }
        user = Some((pool.to_owned(), name));
    }
    // The page's own origin is the one the server allows.
    let origin = stack.output("PageUrl").map(str::to_owned);
    // The first answer of a new function may take its time.
    let slow = Duration::from_secs(15);
    let options =
        doctor::Options { token, origin, slow, wait: Duration::from_secs(60), ..doctor::Options::default() };
    for finding in doctor::examine(api, &options).await.findings {
        if finding.severity == Severity::Fault {
            failures.push(format!("{}: {}", finding.what, finding.fix));
        }
    }
    if let Some((pool, name)) = user
        && let Err(error) = aws.delete_user(&pool, &name).await
    {
        failures.push(format!("the test's own user {name} is left: {error}"));
    }
    failures
}
