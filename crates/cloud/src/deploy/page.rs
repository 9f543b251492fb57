//! The page's files into its bucket, and its settings made of the stack's outputs.

use bytes::Bytes;
use serde_json::{Value, json};

use super::DeployError;
use crate::{
    agent::Agent,
    aws::{Aws, cloudformation::Stack},
    settings::{AuthKind, Settings},
    ui::Ui,
};

/// A file of the page.
#[derive(Clone, Debug)]
pub struct PageFile {
    /// Its path, without a leading slash.
    pub path: String,
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

pub(super) async fn publish(
    aws: &Aws,
    agent: &Agent,
    stack: &Stack,
    api_url: Option<&str>,
    files: &[PageFile],
    ui: &mut dyn Ui,
) -> Result<(), DeployError> {
    let (Some(bucket), Some(api)) = (stack.output("PageBucketName"), stack.output("ApiUrl")) else {
        return Ok(());
    };
    for file in files {
        // Names under assets/ carry a digest of their content; the others must be asked for each time.
        let cache =
            if file.path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        aws.put_object(bucket, &file.path, file.bytes.clone(), &file.content_type, cache).await?;
    }
    let config = settings_for(agent, stack, aws.region(), api, served(api_url.unwrap_or(api)).await);
    let body = serde_json::to_vec_pretty(&config).unwrap_or_default();
    aws.put_object(bucket, "config.json", body.into(), "application/json", "no-cache").await?;
    if let Some(distribution) = stack.output("DistributionId") {
        aws.invalidate(distribution, &super::stamp().to_string()).await?;
    }
    ui.say(&format!("page: {} files and its settings uploaded", files.len()));
    Ok(())
}

/// What the server itself tells a page; nothing where it cannot be reached from here.
async fn served(api: &str) -> Value {
    let fetch = async {
        let url = format!("{}/config.json", api.trim_end_matches('/'));
        let client = reqwest::Client::builder().timeout(std::time::Duration::from_secs(15)).build()?;
        client.get(url).send().await?.error_for_status()?.json::<Value>().await
    };
    let answer: Result<Value, reqwest::Error> = fetch.await;
    answer.unwrap_or_else(|_| json!({}))
}

/// The page's settings: what the server says, with the stack's addresses over it.
fn settings_for(agent: &Agent, stack: &Stack, region: &str, api: &str, mut config: Value) -> Value {
    let settings = &agent.deploy;
    if !config.is_object() {
        config = json!({});
    }
    if config["agent"]["name"].as_str().is_none_or(str::is_empty) {
        config["agent"]["name"] = json!(agent.name);
    }
    config["api_base"] = json!(api.trim_end_matches('/'));
    config["sessions"] = json!(settings.sessions.enabled);
    config["auth"] = auth(settings, stack, region, config["auth"].take());
    config
}

fn auth(settings: &Settings, stack: &Stack, region: &str, served: Value) -> Value {
    let mut auth = if served.is_object() { served } else { json!({}) };
    match settings.auth.kind {
        AuthKind::None => auth["type"] = json!("none"),
        AuthKind::Oidc => {
            auth["type"] = json!("oidc");
            auth["authority"] = json!(settings.auth.issuer);
        }
        AuthKind::Cognito => {
            auth["type"] = json!("cognito");
            auth["api_token"] = json!("id");
            auth["region"] = json!(region);
            auth["user_pool_id"] = json!(stack.output("UserPoolId"));
            auth["user_pool_client_id"] = json!(stack.output("UserPoolClientId"));
            auth["client_id"] = json!(stack.output("UserPoolClientId"));
            auth["authority"] = json!(format!(
                "https://cognito-idp.{region}.amazonaws.com/{}",
                stack.output("UserPoolId").unwrap_or_default()
            ));
            if let Some(url) = stack.output("SignInUrl") {
                auth["domain"] = json!(url);
                if auth["login"].is_null() {
                    auth["login"] = json!("redirect");
                }
            }
        }
    }
    auth
}
