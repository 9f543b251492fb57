//! `loquat init`.

use std::path::PathBuf;

use crate::examples;

/// Make an agent folder: loquat.toml and a system prompt, or a copy of an example.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The folder [default: here, or the example's name]
    folder: Option<PathBuf>,
    /// What people call the agent
    #[arg(long, default_value = "My agent", conflicts_with = "example")]
    name: String,
    /// The model, such as bedrock/…, anthropic/…, openai/…, ollama/… [default: the built-in demonstration model]
    #[arg(long, conflicts_with = "example")]
    model: Option<String>,
    /// Copy this example instead; a name that is none lists them
    #[arg(long, value_name = "NAME", value_parser = examples::names())]
    example: Option<String>,
}

#[allow(clippy::print_stdout)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let (folder, files, run, note) = match args.example {
        None => {
            let folder = args.folder.unwrap_or_else(|| PathBuf::from("."));
            let files = loquat_cloud::init::init(&folder, &args.name, args.model.as_deref())?;
            (folder, files, "loquat serve", None)
        }
        Some(name) => {
            let example = examples::find(&name)?;
            let folder = args.folder.unwrap_or_else(|| PathBuf::from(example.name));
            let files = example.copy(&folder)?;
            (folder, files, example.run, example.note())
        }
    };
    for file in files {
        println!("{}", file.display());
    }
    match folder.as_os_str() {
        here if here == "." => println!("Try it: {run}"),
        folder => println!("Try it: cd {} && {run}", folder.display()),
    }
    if let Some(note) = note {
        println!("{note}");
    }
    Ok(())
}
