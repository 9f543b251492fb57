//! `cargo xtask test`: sets up and runs every test, those that fail quickest first.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use crate::program::{built, program, root, run as run_program, run_watched, step};
use crate::{adapter, docs, model, node, python, tidy, web};

/// Folders with Python tests, where they exist.
const PYTHON_TESTS: &[&str] = &["tests/python", "bench/tests/python"];

/// What `test` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only these parts (several are possible); everything by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the tests.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The rules of the repository.
    Tidy,
    /// Types, unit tests and build of the page; the JavaScript client.
    Page,
    /// The tests of the Rust workspace.
    Rust,
    /// The page in a browser against the real binary.
    Browser,
    /// The tests written in Python.
    Python,
    /// The API documentation without warnings, the links of the guide.
    Docs,
}

/// Sets up what the chosen parts need, runs them, and stops at the first part that fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let wanted = |part: Part| arguments.only.is_empty() || arguments.only.contains(&part);
    let has_page = root().join("web/package.json").is_file();
    let mut tally = Tally::default();
    if wanted(Part::Tidy) {
        tidy::run()?;
    }
    if wanted(Part::Page) && has_page {
        let result = page_units(&mut tally);
        finish_if_failed(result, &tally)?;
    }
    let mut python = None;
    if wanted(Part::Rust) || wanted(Part::Browser) || wanted(Part::Python) {
        // Before Cargo, so that the page is part of the binary under test.
        web::build()?;
        // A test of the embedded model fails without it.
        model::fetch()?;
        node::install("tests")?;
        node::install("crates/cli/tests/clients")?;
        let clients = Path::new("crates/cli/tests/clients/.venv");
        python::install(clients, "crates/cli/tests/clients/requirements.txt")?;
        node::install("examples/cdk-include")?;
        python = python::environment()?;
        adapter::install()?;
        step("the workspace with its tests");
        // One feature set for all that follows: `cargo build -p` alone would compile much of the tree a second time.
        run_program(&mut program("cargo", ["build", "--workspace", "--all-targets"]))?;
    }
    if wanted(Part::Rust) {
        step("cargo test");
        run_watched(&mut program("cargo", ["test", "--workspace"]))?;
    }
    if wanted(Part::Python) {
        python_tests(python.as_deref())?;
    }
    if wanted(Part::Browser) && has_page {
        let result = browser(&mut tally);
        finish_if_failed(result, &tally)?;
    }
    if wanted(Part::Docs) {
        docs::check()?;
    }
    println!("\nEvery test passed in {} s.", began.elapsed().as_secs());
    if tally != Tally::default() {
        tally.print();
    }
    Ok(())
}

/// The page's figures are printed even where they are bad.
fn finish_if_failed(result: Result<()>, tally: &Tally) -> Result<()> {
    if result.is_err() {
        tally.print();
    }
    result
}

fn page_units(tally: &mut Tally) -> Result<()> {
    node::install("web")?;
    let folder = root().join("web");
    step("types of the page");
    run_program(program("npm", ["run", "--silent", "typecheck"]).current_dir(&folder))?;
    step("unit tests of the page");
    let report = report_path("vitest.json")?;
    let to = format!("--outputFile.json={}", report.display());
    let vitest = ["vitest", "run", "--reporter=default", "--reporter=json", &to];
    let result = run_program(program("npx", ["--no-install"]).args(vitest).current_dir(&folder));
    let read = tally.add(&report, "/numPassedTests", &["/numFailedTests"]);
    result?;
    read?;
    step("tests of the JavaScript client");
    run_program(program("node", ["--test", "--test-reporter=dot"]).current_dir(root().join("clients/js")))?;
    if tally.failed > 0 || tally.passed == 0 {
        bail!("the unit tests of the page did not pass");
    }
    web::build()
}

fn browser(tally: &mut Tally) -> Result<()> {
    if !root().join("web/playwright.config.ts").is_file() {
        bail!("web/playwright.config.ts is missing: the page has no browser tests");
    }
    let chromium = node::chromium()?;
    step("the page in Chromium against the real binary");
    let report = report_path("playwright.json")?;
    let result = run_watched(
        program("npx", ["--no-install", "playwright", "test", "--reporter=list,json"])
            .current_dir(root().join("web"))
            .env("CHROMIUM", chromium)
            .env("PLAYWRIGHT_JSON_OUTPUT_NAME", &report)
            .env("LOQUAT_BIN", built("debug", "loquat")?)
            .env("LOQUAT_BENCH_BIN", built("debug", "loquat-bench")?),
    );
    // A test that passed only at the second try is a failure: retries would hide what users will see.
    let read = tally.add(&report, "/stats/expected", &["/stats/unexpected", "/stats/flaky"]);
    result?;
    read
}

fn python_tests(python: Option<&Path>) -> Result<()> {
    let folders: Vec<_> = PYTHON_TESTS.iter().filter(|folder| root().join(folder).is_dir()).collect();
    if folders.is_empty() {
        return Ok(());
    }
    let python = python.context("there are Python tests, but no requirements-test.txt to run them with")?;
    // With the linters of the templates it cannot be in one environment: they want another urllib3.
    let tester =
        python::install(Path::new("tests/schemathesis/.venv"), "tests/schemathesis/requirements.txt")?;
    step("the tests written in Python");
    run_watched(
        program(&python.to_string_lossy(), ["-m", "pytest", "--quiet"])
            .args(folders)
            .env("SCHEMATHESIS", tester.with_file_name("schemathesis"))
            .env("LOQUAT_BIN", built("debug", "loquat")?)
            .env("LOQUAT_BENCH_BIN", built("debug", "loquat-bench")?),
    )
}

/// A place for a tool's report; an old report is removed, so that it cannot pass for a new one.
fn report_path(name: &str) -> Result<PathBuf> {
    let folder = crate::program::target_folder()?.join("xtask");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(name);
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    Ok(path)
}

/// How the page's tests went.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    fn print(&self) {
        println!("{} passed, {} failed", self.passed, self.failed);
    }

    /// Adds a JSON report; the counts are JSON pointers into it.
    fn add(&mut self, report: &Path, passed: &str, failed: &[&str]) -> Result<()> {
        let text = std::fs::read_to_string(report)
            .with_context(|| format!("the tests left no report at {}", report.display()))?;
        let report: Value = serde_json::from_str(&text).context("the tests' report is not JSON")?;
        let count = |place: &str| {
            let value = report.pointer(place).and_then(Value::as_u64);
            value.with_context(|| format!("the tests' report has no count at {place}"))
        };
        self.passed += count(passed)?;
        for place in failed {
            self.failed += count(place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_reports() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let mut tally = Tally::default();
        std::fs::write(&path, r#"{"numPassedTests": 7, "numFailedTests": 1}"#).unwrap();
        tally.add(&path, "/numPassedTests", &["/numFailedTests"]).unwrap();
        std::fs::write(&path, r#"{"stats": {"expected": 5, "unexpected": 2, "flaky": 1}}"#).unwrap();
        tally.add(&path, "/stats/expected", &["/stats/unexpected", "/stats/flaky"]).unwrap();
        assert_eq!(tally, Tally { passed: 12, failed: 4 });
        let error = tally.add(&path, "/numPassedTests", &[]).unwrap_err().to_string();
        assert_eq!(error, "the tests' report has no count at /numPassedTests");
    }
}
