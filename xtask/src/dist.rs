//! `cargo xtask dist`: release archives that are the same bytes when built again from the same commit.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::program::{capture, find, program, root, run as run_program, step, target_folder};
use crate::{archive, files, sbom, web};

/// The binaries for Lambda: the word in their names, the target they are built for.
pub(crate) const LAMBDA: &[(&str, &str)] =
    &[("arm64", "aarch64-unknown-linux-musl"), ("x86_64", "x86_64-unknown-linux-musl")];

/// What is to be read, with everything that README.md leads to.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "bench/NOTES.md",
    "bench/README.md",
    "bench/RESULTS.md",
    "bench/plots",
    "clients/js/README.md",
    "docs",
];

/// What `dist` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder that gets the archives; `dist` in Cargo's target folder by default.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The platform to build for, as Rust calls it; this machine's by default. Another one needs its standard library
    /// (`rustup target add`) and cargo-zigbuild.
    #[arg(long)]
    target: Option<String>,
}

/// Builds the program and packs it with what belongs to it: the binaries for Lambda, completions, manual pages,
/// documents, the list of its parts. Writes the archive and its checksum.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    web::build()?;
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("dist"),
    };
    let host = host()?;
    let target = arguments.target.as_deref().unwrap_or(&host);
    let name = format!("loquat-{}-{}", version()?, platform(target));
    let folder = out.join(&name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;

    step("the program (release)");
    let built = build(Binary::Loquat, (target != host).then_some(target))?;
    copy(&built, &folder.join("loquat"))?;
    let describer = if target == host { built } else { build(Binary::Loquat, None)? };
    step("the binaries for Lambda");
    for file in lambda(&host, &folder)? {
        println!("{file}");
    }
    step("completions and manual pages");
    describe(&describer, &folder)?;
    documents(&folder)?;
    std::fs::write(folder.join("sbom.cdx.json"), sbom::text(target)?)?;
    step("the archive");
    let line = archive::pack(&out, &name, commit_time()?.trim())?;
    print!("{line}");
    println!("in {}", out.display());
    Ok(())
}

/// The release binaries for Lambda that this machine can build, in a folder. Static ones where cargo-zigbuild is.
fn lambda(host: &str, folder: &Path) -> Result<Vec<String>> {
    let own = host.split('-').next().unwrap_or_default();
    let mut files = Vec::new();
    for (word, triple) in LAMBDA {
        let native = triple.starts_with(own);
        let target = match (can_build(triple), native) {
            (true, _) => Some(*triple),
            (false, true) => None,
            (false, false) => {
                println!("{}", missing(word, triple));
                continue;
            }
        };
        let built = build(Binary::Lambda, target)?;
        copy(&built, &folder.join(format!("bootstrap-{word}")))?;
        files.push(format!("bootstrap-{word}"));
    }
    Ok(files)
}

/// Copies the documents to where they stand in the repository.
fn documents(folder: &Path) -> Result<()> {
    for document in DOCUMENTS {
        for file in files::under(document)? {
            let to = folder.join(&file);
            std::fs::create_dir_all(to.parent().unwrap_or(folder))?;
            copy(&root().join(file), &to)?;
        }
    }
    Ok(())
}

/// Completions and manual pages, made by the program itself.
fn describe(loquat: &Path, folder: &Path) -> Result<()> {
    let loquat = loquat.to_string_lossy();
    let completions = folder.join("completions");
    std::fs::create_dir_all(&completions)?;
    for (shell, file) in
        [("bash", "loquat.bash"), ("elvish", "loquat.elv"), ("fish", "loquat.fish"), ("zsh", "_loquat")]
    {
        let script = capture(&mut program(&loquat, ["completions", shell]))?;
        std::fs::write(completions.join(file), script)?;
    }
    run_program(program(&loquat, ["man"]).arg(folder.join("man")))
}

/// What is released.
#[derive(Clone, Copy)]
pub(crate) enum Binary {
    /// The program.
    Loquat,
    /// `bootstrap`, as it goes to Lambda.
    Lambda,
}

impl Binary {
    /// The Cargo profile that it is built by.
    pub(crate) fn profile(self) -> &'static str {
        match self {
            Self::Loquat => "release",
            Self::Lambda => "lambda",
        }
    }

    /// What `cargo build --package loquat` is told to build it.
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Loquat => &["--release", "--bin", "loquat"],
            Self::Lambda => &["--profile", "lambda", "--bin", "bootstrap", "--no-default-features"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Loquat => "loquat",
            Self::Lambda => "bootstrap",
        }
    }
}

/// Builds a binary for a release and gives its path.
pub(crate) fn build(binary: Binary, target: Option<&str>) -> Result<PathBuf> {
    let verb = if target.is_some() { "zigbuild" } else { "build" };
    let mut command = program("cargo", [verb, "--locked", "--package", "loquat"]);
    command.args(binary.arguments());
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    run_program(reproducible(&mut command)?)?;
    let folder = target_folder()?;
    let folder = target.map_or(folder.clone(), |target| folder.join(target));
    Ok(folder.join(binary.profile()).join(format!("{}{}", binary.name(), std::env::consts::EXE_SUFFIX)))
}

/// Takes out of a build what differs between machines: the paths of sources, the time.
#[allow(clippy::disallowed_methods, reason = "the server's rule is about the server")]
fn reproducible(command: &mut Command) -> Result<&mut Command> {
    let cargo = match std::env::var_os("CARGO_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").context("there is no home folder")?).join(".cargo"),
    };
    let places = [(cargo.as_path(), "cargo"), (root(), "loquat")];
    let flags = |option: &str, between: &str| {
        let all = places.map(|(path, name)| format!("{option}={}=/{name}", path.display()));
        all.join(between)
    };
    Ok(command
        .env("CARGO_ENCODED_RUSTFLAGS", flags("--remap-path-prefix", "\u{1f}"))
        .env("CFLAGS", flags("-ffile-prefix-map", " "))
        .env("CARGO_INCREMENTAL", "0")
        .env("SOURCE_DATE_EPOCH", commit_time()?.trim()))
}

fn commit_time() -> Result<String> {
    capture(&mut program("git", ["log", "-1", "--format=%ct"]))
}

pub(crate) fn host() -> Result<String> {
    let text = capture(&mut program("rustc", ["-vV"]))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what machine this is")?.to_owned())
}

/// Whether this machine can build static binaries for a target.
pub(crate) fn can_build(triple: &str) -> bool {
    is_installed(triple) && find("cargo-zigbuild").is_some()
}

/// Why there is no binary for a processor.
pub(crate) fn missing(word: &str, triple: &str) -> String {
    format!(
        "No binary for Lambda on {word}: that needs `rustup target add {triple}` and cargo-zigbuild (`pip install \
         cargo-zigbuild ziglang`)."
    )
}

/// Whether the standard library of a target is there.
fn is_installed(triple: &str) -> bool {
    let folder = capture(&mut program("rustc", ["--print", "target-libdir", "--target", triple]));
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// `x86_64-linux` of `x86_64-unknown-linux-gnu`; the kind of C library is named where it is not the usual one.
fn platform(triple: &str) -> String {
    let parts: Vec<&str> =
        triple.split('-').filter(|part| !matches!(*part, "unknown" | "gnu" | "pc")).collect();
    parts.join("-")
}

fn version() -> Result<String> {
    let text = capture(&mut program("cargo", ["pkgid", "--package", "loquat"]))?;
    let (_, version) = text.trim().rsplit_once(['#', '@']).context("cargo pkgid gave no version")?;
    Ok(version.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs;

    #[test]
    fn archives_are_named_by_what_people_call_their_machine() {
        assert_eq!(platform("x86_64-unknown-linux-gnu"), "x86_64-linux");
        assert_eq!(platform("aarch64-unknown-linux-musl"), "aarch64-linux-musl");
        assert_eq!(platform("aarch64-apple-darwin"), "aarch64-apple-darwin");
    }

    #[test]
    fn the_read_me_in_an_archive_leads_to_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        documents(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
        let links: Vec<&str> = docs::links(&text).into_iter().filter(|link| !link.contains("://")).collect();
        assert!(links.len() > 10, "{links:?}");
        for link in links {
            let file = link.split('#').next().unwrap_or_default();
            assert!(folder.path().join(file).exists(), "{link}");
        }
    }

    #[test]
    fn no_path_of_this_machine_gets_into_a_release() {
        let mut command = Command::new("true");
        let command = reproducible(&mut command).unwrap();
        let flags =
            command.get_envs().find(|(name, _)| *name == "CARGO_ENCODED_RUSTFLAGS").unwrap().1.unwrap();
        let flags = flags.to_str().unwrap();
        assert!(flags.contains(&format!("{}=/loquat", root().display())), "{flags}");
        assert_eq!(flags.split('\u{1f}').count(), 2);
    }
}
