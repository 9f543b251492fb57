//! `loquat deploy`: package, change set, progress, page, first user, smoke test.

mod explain;
mod page;
mod progress;
pub mod smoke;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    agent::{Agent, AgentError},
    assets::Assets,
    aws::{
        Aws, AwsError,
        cloudformation::{NewChangeSet, Stack, Template},
    },
    package::{self, PackageError},
    settings::{Communication, Hosting},
    template,
    ui::Ui,
};
pub use explain::explain;
pub use page::PageFile;
pub(crate) use progress::follow;

/// How often CloudFormation is asked what it has done.
const POLL: Duration = Duration::from_millis(700);

/// CloudFormation's limit for a template that is sent along, and for one that it reads from S3.
const TEMPLATE_LIMIT: usize = 51_200;
const TEMPLATE_LIMIT_ON_S3: usize = 1_000_000;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct DeployOptions {
    /// The agent's folder.
    pub folder: PathBuf,
    /// The binary to package; found beside this program when absent.
    pub bootstrap: Option<PathBuf>,
    /// The image for AgentCore.
    pub image: Option<String>,
    /// Do not ask.
    pub yes: bool,
    /// New code only: no change set, done in seconds.
    pub code_only: bool,
    /// Somebody to invite.
    pub first_user: Option<String>,
    /// No test at the end.
    pub no_smoke: bool,
    /// The address to test and to read the page's settings from, where it is not the stack's own.
    pub api_url: Option<String>,
}

/// Why a deployment stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The agent's folder.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// AWS.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The template breaks rules that protect the deployment.
    #[error("the template is not sound:\n  {}", .0.join("\n  "))]
    Rules(Vec<String>),
    /// `[deploy.overrides]` names resources the stack does not have.
    #[error("[deploy.overrides] names {} that the stack does not have", .0.join(", "))]
    Overrides(Vec<String>),
    /// The template is too large.
    #[error("the template has {0} bytes, CloudFormation takes {TEMPLATE_LIMIT_ON_S3}; use fewer overrides")]
    TemplateSize(usize),
    /// AgentCore needs an image.
    #[error("hosting = \"agentcore\" needs --image: build deploy/Dockerfile for arm64 and push it to ECR")]
    NoImage,
    /// The stack is not there.
    #[error("there is no stack {0} in {1}: deploy it first")]
    NoStack(String, String),
    /// CloudFormation could not do it.
    #[error("{stack} ended as {status}\n{reasons}")]
    Failed {
        /// The stack.
        stack: String,
        /// Its status.
        status: String,
        /// Every resource's reason, in plain words.
        reasons: String,
    },
    /// The change set could not be made.
    #[error("the change set failed: {0}")]
    ChangeSet(String),
    /// Not confirmed.
    #[error("nothing was changed")]
    Declined,
    /// The deployed agent does not answer as it should.
    #[error("deployed, but the smoke test failed:\n  {}", .0.join("\n  "))]
    Smoke(Vec<String>),
}

/// Deploys the agent in a folder.
///
/// # Errors
/// Whatever stopped it, in words that say what to do.
pub async fn deploy(options: &DeployOptions, page: &[PageFile], ui: &mut dyn Ui) -> Result<(), DeployError> {
    let mut agent = Agent::read(&options.folder)?;
    let bootstrap = match (agent.deploy.hosting, &options.image) {
        (Hosting::Agentcore, None) => return Err(DeployError::NoImage),
        (Hosting::Agentcore, Some(_)) => PathBuf::new(),
        _ => {
            let (path, gave_way) = package::choose_bootstrap(&mut agent, options.bootstrap.as_deref())?;
            if gave_way {
                ui.say(&package::other_processor(agent.deploy.architecture));
            }
            path
        }
    };
    let template = checked_template(&agent)?;
    if agent.models.iter().all(|model| model.starts_with("local/")) {
        ui.say(
            "no model is named that the function could call, and it has no built-in one: every question will be answered \
             with an error until loquat.toml has model = \"bedrock/…\" or another",
        );
    }
    let settings = &agent.deploy;
    let aws = Aws::load(settings.region.as_deref()).await?;
    let account = aws.account().await?;
    ui.say(&format!("{} -> account {account}, {}", settings.name, aws.region()));
    let bucket = deployment_bucket(&account, aws.region());
    if !aws.bucket_exists(&bucket).await? {
        aws.create_bucket(&bucket).await?;
        ui.say(&format!("made the deployment bucket {bucket}"));
    }
    let assets = Assets::of(&agent, &bucket)?;
    upload_assets(&aws, &assets, &bucket, ui).await?;
    let mut parameters = vec![
        ("CodeBucket".to_owned(), bucket.clone()),
        ("SystemPromptKey".to_owned(), assets.prompt_key.clone()),
        ("ToolsConfig".to_owned(), assets.tools_config.clone()),
    ];
    if let (Hosting::Agentcore, Some(image)) = (settings.hosting, &options.image) {
        parameters.push(("ImageUri".into(), image.clone()));
    } else {
        let moved = assets.moved.as_deref();
        let key = upload_package(&aws, &agent, &bucket, &bootstrap, moved, ui).await?;
        if options.code_only {
            return code_only(&aws, &agent, &bucket, &key, &assets, ui).await;
        }
        parameters.push(("CodeKey".into(), key));
    }
    if settings.hosting != Hosting::Agentcore && settings.communication == Communication::Rest {
        let kept = aws.has_api_log_role().await?;
        parameters.push(("ApiLogRole".into(), if kept { "keep" } else { "make" }.into()));
    }
    if settings.owns_user_pool() && settings.auth.managed_login {
        let known = aws.knows_type(template::BRANDING).await?;
        if !known {
            ui.say("Cognito's newer sign-in page cannot be had here: the classic one is taken");
        }
        parameters.push((template::SIGN_IN_PAGES.into(), if known { "managed" } else { "classic" }.into()));
    }
    let stack = bring_about(&aws, &agent, &template, &bucket, parameters, options.yes, ui).await?;
    page::publish(&aws, &agent, &stack, options.api_url.as_deref(), page, ui).await?;
    if let (Some(email), Some(pool)) = (&options.first_user, stack.output("UserPoolId")) {
        match aws.create_user(pool, email, true).await {
            Ok(()) => ui.say(&format!("invited {email}: Cognito mails a temporary password")),
            Err(error) if error.code() == "UsernameExistsException" => {
                ui.say(&format!("{email} is a user already"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (name, value, description) in stack.outputs() {
        ui.say(&format!("{name:<18} {value}  ({description})"));
    }
    let api = options.api_url.as_deref().or_else(|| stack.output("ApiUrl"));
    if let (Some(api), false) = (api, options.no_smoke) {
        let failures = smoke::test(&aws, settings, &stack, api).await;
        if !failures.is_empty() {
            return Err(DeployError::Smoke(failures));
        }
        ui.say(&format!("{api} answers as it should"));
    }
    Ok(())
}

/// Makes the stack what the template says.
async fn bring_about(
    aws: &Aws,
    agent: &Agent,
    template: &template::Template,
    bucket: &str,
    mut parameters: Vec<(String, String)>,
    yes: bool,
    ui: &mut dyn Ui,
) -> Result<Stack, DeployError> {
    let name = &agent.deploy.name;
    let learns = agent.deploy.learns_page_address();
    let address = |stack: &Stack| stack.output("PageUrl").unwrap_or_default().to_owned();
    let known = aws.stack(name).await?.as_ref().map(address).unwrap_or_default();
    if learns {
        parameters.push((template::PAGE_ADDRESS.into(), known.clone()));
    }
    if !apply(aws, agent, template, bucket, &parameters, yes, ui).await? {
        ui.say("the stack is up to date");
    }
    let missing = || DeployError::NoStack(name.clone(), aws.region().to_owned());
    let mut stack = aws.stack(name).await?.ok_or_else(missing)?;
    let made = address(&stack);
    if learns && made != known {
        ui.say("the page's address is known now; the sign-in page learns where to return to");
        parameters.pop();
        parameters.push((template::PAGE_ADDRESS.into(), made));
        apply(aws, agent, template, bucket, &parameters, true, ui).await?;
        stack = aws.stack(name).await?.ok_or_else(missing)?;
    }
    Ok(stack)
}

/// The template of an agent, if it keeps the rules.
///
/// # Errors
/// The rules it breaks.
pub fn checked_template(agent: &Agent) -> Result<template::Template, DeployError> {
    let template = template::build(agent);
    let unknown = template::unknown_overrides(agent, &template);
    if !unknown.is_empty() {
        return Err(DeployError::Overrides(unknown));
    }
    let findings = template::rules::check(&template.to_value());
    if findings.is_empty() { Ok(template) } else { Err(DeployError::Rules(findings)) }
}

/// The bucket packages go to: one an account and region, shared by all stacks.
pub fn deployment_bucket(account: &str, region: &str) -> String {
    format!("loquat-deploy-{account}-{region}")
}

/// The system prompt and the tools, unless they are there.
async fn upload_assets(aws: &Aws, assets: &Assets, bucket: &str, ui: &mut dyn Ui) -> Result<(), DeployError> {
    for (key, bytes, kind) in &assets.files {
        if !aws.object_exists(bucket, key).await? {
            aws.put_object(bucket, key, bytes.clone(), kind, "no-store").await?;
            ui.say(&format!("uploaded {key}"));
        }
    }
    Ok(())
}

async fn upload_package(
    aws: &Aws,
    agent: &Agent,
    bucket: &str,
    bootstrap: &Path,
    left_out: Option<&Path>,
    ui: &mut dyn Ui,
) -> Result<String, DeployError> {
    let architecture = agent.deploy.architecture;
    let package = package::build_without(&agent.folder, bootstrap, architecture, left_out)?;
    let key = format!("{}/{}.zip", agent.deploy.name, package.digest);
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let size = package.bytes.len() as f64 / 1_000_000.0;
    if aws.object_exists(bucket, &key).await? {
        ui.say(&format!("package {size:.1} MB, uploaded before"));
    } else {
        aws.put_object(bucket, &key, package.bytes.into(), "application/zip", "no-store").await?;
        ui.say(&format!("package {size:.1} MB, uploaded"));
    }
    Ok(key)
}

async fn code_only(
    aws: &Aws,
    agent: &Agent,
    bucket: &str,
    key: &str,
    assets: &Assets,
    ui: &mut dyn Ui,
) -> Result<(), DeployError> {
    let name = &agent.deploy.name;
    let missing = || DeployError::NoStack(name.clone(), aws.region().to_owned());
    let stack = aws.stack(name).await?.ok_or_else(missing)?;
    let function = stack.output("FunctionName").ok_or_else(missing)?;
    aws.update_function_code(function, bucket, key, agent.deploy.architecture.as_str()).await?;
    let configuration = settled(aws, name, function).await?;
    // The prompt and the tools are named in the environment, which is written as a whole.
    let known = configuration["Environment"]["Variables"].as_object().ok_or_else(|| DeployError::Failed {
        stack: name.clone(),
        status: "code taken, environment unreadable".into(),
        reasons: configuration["Environment"]["Error"]["Message"].as_str().unwrap_or_default().to_owned(),
    })?;
    let mut variables = known.clone();
    for (variable, value) in assets.variables(bucket) {
        if agent.deploy.environment.contains_key(variable) {
            continue;
        }
        if value.is_empty() {
            variables.remove(variable);
        } else {
            variables.insert(variable.into(), value.into());
        }
    }
    if &variables != known {
        aws.update_function_environment(function, variables).await?;
        settled(aws, name, function).await?;
        ui.say("the system prompt and the tools are named anew");
    }
    ui.say(&format!("{function} runs the new code"));
    Ok(())
}

/// A function's configuration when its last change has taken effect.
async fn settled(aws: &Aws, stack: &str, function: &str) -> Result<serde_json::Value, DeployError> {
    loop {
        let configuration = aws.function(function).await?;
        match configuration["LastUpdateStatus"].as_str() {
            Some("InProgress") => tokio::time::sleep(POLL).await,
            Some("Failed") => {
                let reason = configuration["LastUpdateStatusReason"].as_str().unwrap_or_default().to_owned();
                return Err(DeployError::Failed {
                    stack: stack.to_owned(),
                    status: "code not taken".into(),
                    reasons: reason,
                });
            }
            _ => return Ok(configuration),
        }
    }
}

/// Makes a change set, shows it, asks, executes it and follows it; false when there is nothing to change.
async fn apply(
    aws: &Aws,
    agent: &Agent,
    template: &template::Template,
    bucket: &str,
    parameters: &[(String, String)],
    yes: bool,
    ui: &mut dyn Ui,
) -> Result<bool, DeployError> {
    let stack = agent.deploy.name.as_str();
    let body = template::to_compact_json(template);
    let mut url = None;
    if body.len() > TEMPLATE_LIMIT_ON_S3 {
        return Err(DeployError::TemplateSize(body.len()));
    } else if body.len() > TEMPLATE_LIMIT {
        let key = format!("{stack}/template-{}.json", package::digest(body.as_bytes()));
        aws.put_object(bucket, &key, body.clone().into(), "application/json", "no-store").await?;
        url = Some(aws.object_url(bucket, &key));
    }
    let text = url.as_deref().map_or(Template::Body(&body), Template::Url);
    let known = aws.stack(stack).await?;
    // A stack whose first creation failed can only be deleted.
    if known.as_ref().is_some_and(|known| known.stack_status == "ROLLBACK_COMPLETE") {
        ui.say("the first creation failed; removing what is left of it");
        aws.delete_stack(stack).await?;
        follow(aws, stack, "", ui).await?;
    }
    let create = known.is_none_or(|known| {
        matches!(known.stack_status.as_str(), "REVIEW_IN_PROGRESS" | "ROLLBACK_COMPLETE")
    });
    let name = format!("loquat-{}", stamp());
    let tags: Vec<(String, String)> =
        agent.deploy.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let new = NewChangeSet { stack, name: &name, create, template: text, parameters, tags: &tags };
    aws.create_change_set(&new).await?;
    let changes = loop {
        let set = aws.change_set(stack, &name).await?;
        match set.status.as_str() {
            "CREATE_COMPLETE" => break set.changes,
            "FAILED" if no_changes(&set.reason) => {
                aws.delete_change_set(stack, &name).await?;
                return Ok(false);
            }
            "FAILED" => return Err(DeployError::ChangeSet(explain(&set.reason))),
            _ => tokio::time::sleep(POLL).await,
        }
    };
    if changes.is_empty() {
        aws.delete_change_set(stack, &name).await?;
        return Ok(false);
    }
    for change in &changes {
        let anew = if change.replacement.as_deref() == Some("True") { "  (made anew)" } else { "" };
        ui.say(&format!(
            "  {:<7} {:<22} {}{anew}",
            change.action, change.logical_resource_id, change.resource_type
        ));
    }
    if !yes && !ui.confirm(&format!("{} changes to {stack}. Go on?", changes.len())) {
        aws.delete_change_set(stack, &name).await?;
        if create {
            aws.delete_stack(stack).await?;
        }
        return Err(DeployError::Declined);
    }
    let last_event = progress::last_event(aws, stack).await?;
    aws.execute_change_set(stack, &name).await?;
    follow(aws, stack, &last_event, ui).await?;
    Ok(true)
}

fn no_changes(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// A name that is new each time.
fn stamp() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis()
}
