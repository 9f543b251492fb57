//! `loquat check`: everything a start and a deployment would refuse, and whether models and tools answer.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use loquat_cloud::{agent::Agent, deploy::checked_template};
use loquat_server::assemble;
use loquat_server::config::{Config, Flags};

/// Check the settings, the models, the tools and the AWS stack.
///
/// Each model is asked one tiny question, each source of tools for its tools. What is wrong is said with what to do.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The agent's folder [default: here]
    #[arg(default_value = ".", hide_default_value = true)]
    folder: PathBuf,
}

#[allow(clippy::print_stdout)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let file = args.folder.join("loquat.toml");
    let file = file.exists().then_some(file);
    let config = Config::load(&Flags { config: file.clone(), ..Flags::default() })?;
    println!(
        "Settings  {}: good",
        file.as_ref().map_or("defaults and environment".into(), |f| f.display().to_string())
    );
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let (models, tools) = runtime.block_on(assemble::check(&config));
    let mut wrong = 0;
    for model in models {
        match model.result {
            Ok(took) => println!(
                "Model     {}: first token after {} ms, whole answer after {} ms",
                model.id,
                took.first_token.as_millis(),
                took.total.as_millis()
            ),
            Err(why) => {
                wrong += 1;
                println!("Model     {}: {why}", model.id);
            }
        }
    }
    for source in tools {
        match &source.error {
            None => println!("Tools     {}: {}", source.name, source.tools.join(", ")),
            Some(why) => {
                wrong += 1;
                println!("Tools     {}: {why}", source.name);
            }
        }
        for problem in source.problems {
            wrong += 1;
            println!("          {problem}");
        }
        if source.error.is_some() {
            source.output.iter().for_each(|line| println!("          | {line}"));
        }
    }
    if file.is_some() {
        let agent = Agent::read(&args.folder)?;
        let template = checked_template(&agent)?;
        let resources = template.to_value()["Resources"].as_object().map_or(0, serde_json::Map::len);
        println!("Stack     {} ({resources} resources): good", agent.deploy.name);
    }
    if wrong > 0 {
        bail!("{wrong} of these {} a hand", if wrong == 1 { "needs" } else { "need" });
    }
    Ok(())
}
