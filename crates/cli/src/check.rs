//! `loquat check`: everything a start and a deployment would refuse, without either.

use std::path::PathBuf;

use loquat_cloud::{agent::Agent, deploy::checked_template};
use loquat_server::config::{Config, Flags};

/// Check loquat.toml: the server's settings and the AWS stack.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
}

#[allow(clippy::print_stdout, clippy::needless_pass_by_value)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let file = args.folder.join("loquat.toml");
    let config = Config::load(&Flags { config: Some(file.clone()), ..Flags::default() })?;
    let agent = Agent::read(&args.folder)?;
    let template = checked_template(&agent)?;
    let resources = template.to_value()["Resources"].as_object().map_or(0, serde_json::Map::len);
    println!("{}: good", file.display());
    println!(
        "Model     {}",
        config.models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join(", ")
    );
    println!("Stack     {} ({resources} resources)", agent.deploy.name);
    Ok(())
}
