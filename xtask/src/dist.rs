//! `cargo xtask dist`: release archives that are the same bytes when built again from the same commit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::program::{built, capture, program, root, run as run_program, step, target_folder};
use crate::web;

/// What `dist` accepts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder that gets the archives; `dist` in Cargo's target folder by default.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Builds the program and packs it with its documents, a list of its parts, and checksums.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    web::build()?;
    step("the program (release)");
    run_program(&mut program("cargo", ["build", "--release", "--locked", "--package", "loquat"]))?;
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => target_folder()?.join("dist"),
    };
    let name = format!("loquat-{}-{}-{}", version()?, std::env::consts::ARCH, std::env::consts::OS);
    let folder = out.join(&name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    copy(&built("release", "loquat")?, &folder.join("loquat"))?;
    for document in ["LICENSE", "README.md", "CHANGELOG.md"] {
        copy(&root().join(document), &folder.join(document))?;
    }
    std::fs::write(folder.join("sbom.cdx.json"), serde_json::to_vec_pretty(&parts()?)?)?;
    step("the archive");
    let archive = out.join(format!("{name}.tar.gz"));
    pack(&out, &name, &archive)?;
    let sum = sha256(&archive)?;
    let line = format!("{sum}  {name}.tar.gz\n");
    std::fs::write(out.join(format!("{name}.tar.gz.sha256")), &line)?;
    print!("{line}");
    println!("in {}", out.display());
    Ok(())
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

/// Packs with fixed order, owner and times (the commit's), so that the same input gives the same bytes.
fn pack(folder: &Path, name: &str, archive: &Path) -> Result<()> {
    let time = capture(&mut program("git", ["log", "-1", "--format=%ct"]))?;
    let mtime = format!("--mtime=@{}", time.trim());
    let plain = archive.with_extension("");
    run_program(
        program(
            "tar",
            ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", &mtime, "--create", "--file"],
        )
        .arg(&plain)
        .arg(name)
        .current_dir(folder),
    )?;
    run_program(program("gzip", ["--no-name", "--best", "--force"]).arg(&plain))
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The crates in the program, as a CycloneDX document.
fn parts() -> Result<Value> {
    let tree = ["tree", "--locked", "--package", "loquat", "--edges", "normal", "--prefix", "none"];
    let text = capture(program("cargo", tree).args(["--format", "{p}|{l}"]))?;
    let mut components: Vec<Value> = Vec::new();
    for line in text.lines() {
        let (package, license) = line.split_once('|').unwrap_or((line, ""));
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v');
        let license = license.trim_end_matches(" (*)").replace('/', " OR ");
        let mut component = json!({
            "type": "library", "name": name, "version": version, "purl": format!("pkg:cargo/{name}@{version}"),
        });
        if !license.is_empty() {
            component["licenses"] = json!([{ "expression": license }]);
        }
        components.push(component);
    }
    components.sort_by_key(|component| component["purl"].to_string());
    components.dedup();
    if components.len() < 2 {
        bail!("cargo tree named no dependencies");
    }
    let program = json!({ "type": "application", "name": "loquat", "version": version()? });
    let metadata = json!({ "component": program });
    Ok(json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": metadata,
        "components": components }))
}
