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
        // Nobody is there to answer: the safe answer is no.
        if !std::io::stdin().is_terminal() {
            println!("{question} [y/N] no (not a terminal: use --yes)");
            return false;
        }
        print!("{question} [y/N] ");
        let _ = std::io::stdout().flush();
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}

/// Runs a command of the deployment side to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    use anyhow::Context as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(future)
}
