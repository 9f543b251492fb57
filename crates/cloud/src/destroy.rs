//! `loquat destroy`: empties what the stack made, deletes it, and takes its uploads back.

use std::path::PathBuf;

use crate::{
    agent::Agent,
    aws::Aws,
    deploy::{DeployError, deployment_bucket, follow},
    settings::Removal,
    ui::Ui,
};

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct DestroyOptions {
    /// The agent's folder.
    pub folder: PathBuf,
    /// Do not ask.
    pub yes: bool,
}

/// Removes the agent's stack.
///
/// # Errors
/// Whatever stopped it; what was removed until then stays removed.
pub async fn destroy(options: &DestroyOptions, ui: &mut dyn Ui) -> Result<(), DeployError> {
    let agent = Agent::read(&options.folder)?;
    let settings = &agent.deploy;
    let aws = Aws::load(settings.region.as_deref()).await?;
    let account = aws.account().await?;
    let name = &settings.name;
    if aws.stack(name).await?.is_some() {
        let kept = settings.removal == Removal::Retain;
        let what = if kept { "its sessions and users are kept" } else { "with every session and user" };
        if !options.yes
            && !ui.confirm(&format!("Delete {name} in {} of account {account}, {what}?", aws.region()))
        {
            return Err(DeployError::Declined);
        }
        for resource in aws.stack_resources(name).await? {
            let stays = kept && resource.logical_resource_id == "SessionBucket";
            if let ("AWS::S3::Bucket", false, Some(bucket)) =
                (resource.resource_type.as_str(), stays, resource.physical_resource_id)
            {
                let count = aws.empty_bucket(&bucket, "").await?;
                ui.say(&format!("emptied {bucket} ({count} objects)"));
            }
        }
        aws.delete_stack(name).await?;
        follow(&aws, name, "", ui).await?;
        ui.say(&format!("{name} is gone; the account's API Gateway log role stays, other APIs may use it"));
    } else {
        ui.say(&format!("there is no stack {name} in {}", aws.region()));
    }
    let bucket = deployment_bucket(&account, aws.region());
    if aws.bucket_exists(&bucket).await? {
        let count = aws.empty_bucket(&bucket, &format!("{name}/")).await?;
        ui.say(&format!("took {count} uploads back"));
        if aws.bucket_is_empty(&bucket).await? {
            aws.delete_bucket(&bucket).await?;
            ui.say("no stack uses the deployment bucket any more: deleted");
        }
    }
    Ok(())
}
