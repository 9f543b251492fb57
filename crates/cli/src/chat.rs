//! `loquat chat`.

/// Talk to the agent in the terminal.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> anyhow::Result<()> {
    anyhow::bail!("not here yet")
}
