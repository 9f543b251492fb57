//! The examples, as `loquat init --example NAME` copies them: their files are part of the program.

mod manifest;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};

/// A folder below `examples/`.
pub(crate) struct Example {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) about: &'static str,
    /// Its files: path and content.
    files: &'static [(&'static str, &'static [u8])],
    /// How to try it, in its folder.
    pub(crate) run: &'static str,
}

macro_rules! example {
    ($name:literal, $about:literal, $run:literal, [$($file:literal),* $(,)?]) => {
        Example {
            name: $name,
            about: $about,
            run: $run,
            files: &[$(($file, include_bytes!(concat!("../../../examples/", $name, "/", $file)) as &[u8])),*],
        }
    };
}

/// All of them. A test compares this list with the folder.
pub(crate) static EXAMPLES: &[Example] = &[
    example!("hello", "the smallest agent", "loquat serve", ["README.md", "loquat.toml", "prompt.md"]),
    example!(
        "customer-service",
        "the reference's chatbot: prompt, tools, page",
        "loquat serve",
        ["README.md", "logo.svg", "loquat.toml", "prompt.md", "tools/support.py"]
    ),
    example!(
        "retail-banking",
        "SQLite, a FAQ, and a transfer that needs consent",
        "loquat serve",
        [
            "README.md",
            "accounts.sqlite.seed",
            "faq.md",
            "loquat.toml",
            "prompt.md",
            "tools/_database.py",
            "tools/bank.py",
            "tools/faq.py"
        ]
    ),
    example!(
        "python-tools",
        "tools as Strands users write them",
        "loquat check",
        ["README.md", "loquat.toml", "tools/everyday.py"]
    ),
    example!(
        "mcp",
        "tools from a server of the Model Context Protocol",
        "loquat check",
        ["README.md", "loquat.toml", "notes.py"]
    ),
    example!(
        "rust-tool",
        "a typed tool in Rust",
        "cargo run",
        ["Cargo.toml", "README.md", "src/find_order.rs", "src/main.rs"]
    ),
    example!(
        "embed-in-axum",
        "an agent inside an axum application",
        "cargo run",
        ["Cargo.toml", "README.md", "loquat.toml", "src/main.rs", "src/shelf.rs"]
    ),
    example!(
        "cdk-include",
        "the CloudFormation stack in a CDK app",
        "npm ci",
        ["README.md", "app.mjs", "package-lock.json", "package.json", "test.mjs"]
    ),
];

/// Their names with what they show, for the command line.
pub(crate) fn names() -> PossibleValuesParser {
    EXAMPLES
        .iter()
        .map(|example| PossibleValue::new(example.name).help(example.about))
        .collect::<Vec<_>>()
        .into()
}

/// The example of a name.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static Example> {
    EXAMPLES
        .iter()
        .find(|example| example.name == name)
        .with_context(|| format!("there is no example `{name}`"))
}

impl Example {
    /// Writes the example's files into a folder that has none of them, and gives their paths.
    ///
    /// # Errors
    /// One of them exists, or the folder cannot be written.
    pub(crate) fn copy(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let paths: Vec<PathBuf> = self.files.iter().map(|(file, _)| folder.join(file)).collect();
        if let Some(taken) = paths.iter().find(|path| path.exists()) {
            bail!("{} exists already; nothing was changed", taken.display());
        }
        for ((file, content), path) in self.files.iter().zip(&paths) {
            let content = match *file {
                "Cargo.toml" => {
                    let text = std::str::from_utf8(content).context("the manifest is no text")?;
                    manifest::standalone(text, &manifest::checkout(folder))?.into_bytes()
                }
                _ => content.to_vec(),
            };
            let parent = path.parent().unwrap_or(folder);
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::write(path, content))
                .with_context(|| path.display().to_string())?;
        }
        Ok(paths)
    }

    /// What has to be known before it can be tried.
    pub(crate) fn note(&self) -> Option<&'static str> {
        let rust = self.files.iter().any(|(file, _)| *file == "Cargo.toml");
        rust.then_some(
            "Cargo.toml names the folder of a clone of Loquat; change it there if yours is elsewhere.",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What git has in the folder is what the program has.
    #[test]
    fn every_file_of_every_example_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let output = std::process::Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .unwrap();
        let on_disk: BTreeSet<String> =
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        let here: BTreeSet<String> = EXAMPLES
            .iter()
            .flat_map(|example| example.files.iter().map(|(file, _)| format!("{}/{file}", example.name)))
            .collect();
        assert_eq!(here, on_disk);
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prompt.md"), "mine").unwrap();
        let error = find("hello").unwrap().copy(folder.path()).unwrap_err().to_string();
        assert!(error.contains("prompt.md exists already"), "{error}");
        assert!(!folder.path().join("loquat.toml").exists());
    }
}
