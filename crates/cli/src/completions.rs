//! `loquat completions`.

use clap::CommandFactory as _;

/// Print the completions of a shell.
///
/// For example: loquat completions bash > ~/.local/share/bash-completion/completions/loquat
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) {
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "loquat", &mut std::io::stdout());
}
