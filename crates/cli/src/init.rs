//! `loquat init`.

use std::path::PathBuf;

/// Make an agent folder: loquat.toml and a system prompt.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
    /// What people call the agent
    #[arg(long, default_value = "My agent")]
    name: String,
    /// The model, such as bedrock/…, anthropic/…, openai/…, ollama/… [default: the built-in demonstration model]
    #[arg(long)]
    model: Option<String>,
}

#[allow(clippy::print_stdout, clippy::needless_pass_by_value)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    for file in loquat_cloud::init::init(&args.folder, &args.name, args.model.as_deref())? {
        println!("{}", file.display());
    }
    println!("Try it: cd {} && loquat serve", args.folder.display());
    Ok(())
}
