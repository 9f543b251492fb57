//! The terminal as the other side of the deployment commands.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use loquat_cloud::ui::Ui;

/// Lines to standard output, questions from standard input.
pub(crate) struct Terminal;

impl Ui for Terminal {
    #[allow(clippy::print_stdout)]
    fn say(&mut self, line: &str) {
        println!("{line}");
    }

    #[allow(clippy::print_stdout)]
    fn confirm(&mut self, question: &str) -> bool {
        print!("{question} [y/N] ");
        let _ = std::io::stdout().flush();
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        let yes = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
        if !std::io::stdin().is_terminal() {
            // A terminal shows what was typed. Where nobody is there to answer, the safe answer is no.
            println!(
                "{}",
                if yes {
                    "yes"
                } else if answer.is_empty() {
                    "no (nobody answers: use --yes)"
                } else {
                    "no"
                }
            );
        }
        yes
    }
}

/// Runs a command of the deployment side to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    use anyhow::Context as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(future)
}
