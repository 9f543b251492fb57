//! `loquat synth`.

use std::path::PathBuf;

use loquat_cloud::{
    agent::Agent,
    deploy::checked_template,
    template::{to_json, to_yaml},
};

/// Print the CloudFormation template of the agent's stack.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// json or yaml
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[allow(clippy::print_stdout, clippy::needless_pass_by_value)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let template = checked_template(&Agent::read(&args.folder)?)?;
    match args.format {
        Format::Json => print!("{}", to_json(&template)),
        Format::Yaml => print!("{}", to_yaml(&template)),
    }
    Ok(())
}
