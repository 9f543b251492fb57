//! `loquat deploy`.

use std::path::PathBuf;

use loquat_cloud::deploy::{self, DeployOptions, PageFile};

use crate::terminal::{Terminal, block_on};

/// Put the agent on AWS, or bring it up to date there.
///
/// Shows what would change and asks; then shows each resource as it is made, uploads the page and tests the result.
/// AWS credentials come from the usual places (environment, profile, SSO).
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// New code only, in seconds: no change to the stack
    #[arg(long)]
    code_only: bool,
    /// Invite this user: Cognito mails a temporary password
    #[arg(long, value_name = "EMAIL")]
    first_user: Option<String>,
    /// The `bootstrap` binary [default: the one beside this program]
    #[arg(long)]
    bootstrap: Option<PathBuf>,
    /// The container image in ECR, with hosting = "agentcore"
    #[arg(long)]
    image: Option<String>,
    /// Do not test the deployed agent at the end
    #[arg(long)]
    no_smoke: bool,
    /// The address to test, where it is not the stack's own
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let options = DeployOptions {
        folder: args.folder,
        bootstrap: args.bootstrap,
        image: args.image,
        yes: args.yes,
        code_only: args.code_only,
        first_user: args.first_user,
        no_smoke: args.no_smoke,
        api_url: args.api_url,
    };
    let page: Vec<PageFile> = loquat_server::page::files()
        .map(|(path, kind, bytes)| PageFile {
            path: path.to_owned(),
            content_type: kind.to_owned(),
            bytes: bytes::Bytes::from_static(bytes),
        })
        .collect();
    block_on(async { Ok(deploy::deploy(&options, &page, &mut Terminal).await?) })
}
