//! `cargo xtask fuzz`: looks for inputs that break what reads hostile input.
//!
//! Two kinds: the property tests of the workspace with many more cases than the test suite has time for, and fuzzing by
//! coverage (libFuzzer, `fuzz/`). What `cargo fuzz` needs a nightly compiler for, the address sanitizer, finds nothing in
//! code without `unsafe`; the instrumentation that guides the search is to be had from a stable one, so that is used.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::files;
use crate::program::{capture, need, program, root, run as run_program, step};

/// What `fuzz` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Random cases of each property; 0 leaves the properties out.
    #[arg(long, default_value_t = 4_000)]
    cases: u32,
    /// Only these targets (the names of the folders in fuzz/corpus).
    targets: Vec<String>,
}

/// Runs the property tests (proptest prints the smallest failing case and keeps its seed), then each target.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = targets()?;
    for name in &arguments.targets {
        if !all.contains(name) {
            bail!("there is no target `{name}`; the targets are {}", all.join(", "));
        }
    }
    let chosen: Vec<&String> =
        if arguments.targets.is_empty() { all.iter().collect() } else { arguments.targets.iter().collect() };
    if arguments.cases > 0 && arguments.targets.is_empty() {
        step(&format!("{} cases of each property", arguments.cases));
        run_program(
            program("cargo", ["test", "--workspace", "--lib", "--"])
                .args(properties()?)
                .env("PROPTEST_CASES", arguments.cases.to_string()),
        )?;
    }
    let programs = build()?;
    for name in chosen {
        fuzz(name, arguments.seconds, &programs)?;
    }
    Ok(())
}

/// The names of all property tests, from the sources: the harness knows tests by their names alone.
fn properties() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in files::under("crates")? {
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(root().join(&path))
                .with_context(|| format!("cannot read {}", path.display()))?;
            names.extend(properties_in(&text));
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("there is no property test in crates/");
    }
    Ok(names)
}

/// The functions within `proptest! { … }`.
fn properties_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut end: Option<String> = None;
    for line in text.lines() {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if code == "proptest! {" || code == "proptest::proptest! {" {
            end = Some(format!("{indent}}}"));
        } else if end.as_deref() == Some(line) {
            end = None;
        } else if let (Some(_), Some(rest)) = (&end, code.strip_prefix("fn ")) {
            names.extend(rest.split('(').next().map(str::to_owned));
        }
    }
    names
}

/// The targets: each has a folder with the inputs that were kept.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/corpus")).context("cannot read fuzz/corpus")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the targets with instrumentation; the folder they are in.
fn build() -> Result<PathBuf> {
    need("c++", "libFuzzer is C++ (Debian: apt-get install g++).")?;
    let version = capture(&mut program("rustc", ["--version", "--verbose"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say for what it compiles")?;
    let folder = crate::program::target_folder()?.join("fuzz");
    let flags = [
        "--cfg=fuzzing",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
    ];
    step("the fuzz targets, instrumented (the first time takes minutes)");
    // Naming the target keeps the flags from build scripts and macros.
    let arguments = ["build", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--bins", "--target", host];
    run_program(
        program("cargo", arguments)
            .env("CARGO_TARGET_DIR", &folder)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")),
    )?;
    Ok(folder.join(host).join("debug"))
}

/// Searches for a while. New inputs are kept beside the build, not in the repository.
fn fuzz(name: &str, seconds: u32, programs: &std::path::Path) -> Result<()> {
    step(&format!("{name}, {seconds} s"));
    let found = programs.join("found").join(name);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let kept = root().join("fuzz/corpus").join(name);
    let mut command = program(&programs.join(name).to_string_lossy(), [] as [&str; 0]);
    command
        .arg(&found)
        .arg(&kept)
        .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", programs.display())])
        .args([
            "-max_len=65536",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            "-verbosity=1",
        ]);
    run_program(&mut command).with_context(|| {
        format!("an input breaks `{name}`: the file named above belongs into {}", kept.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_found() {
        let text = "fn a() {}\nproptest! {\n    #[test]\n    fn one(x: u8) {\n    }\n    #[test]\n    fn two(\n        y: u8,\n    ) {}\n}\n\
                    fn b() {}\n    proptest::proptest! {\n        fn three(z: u8) {}\n    }\n";
        assert_eq!(properties_in(text), ["one", "two", "three"]);
        let found = properties().unwrap();
        assert!(found.len() >= 15, "{found:?}");
        assert!(found.iter().any(|name| name == "any_model_ends_in_one_terminal_event"), "{found:?}");
    }
}
