//! `cargo xtask fuzz`: the randomised tests, with many more cases than the test suite has time for.

use anyhow::Result;

use crate::program::{program, run as run_program, step};

/// What `fuzz` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Random cases of each property.
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// Only tests whose path contains this.
    #[arg(default_value = "prop")]
    filter: String,
}

/// Runs the property tests, optimised. proptest prints the smallest failing case and keeps its seed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    step(&format!("{} cases of each property in `{}`", arguments.cases, arguments.filter));
    run_program(
        program("cargo", ["test", "--workspace", "--lib", "--", &arguments.filter])
            .env("PROPTEST_CASES", arguments.cases.to_string()),
    )
}
