//! The package Lambda runs: a zip with `bootstrap` at its root and the agent's files beside it.
//!
//! The same inputs give the same bytes, so that an unchanged agent is not deployed again.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    agent::Agent,
    elf::{self, Binary, ElfError},
    settings::Architecture,
};

/// Lambda's limit for an unpacked package.
const UNPACKED_LIMIT: u64 = 250 * 1024 * 1024;

/// Starts the same binary as an ordinary server for the Lambda Web Adapter.
pub const RUN_SH: &str = "#!/bin/sh\n# The handler where the Lambda Web Adapter layer is in front.\nexec \"${LAMBDA_TASK_ROOT:-.}/bootstrap\"\n";

/// Folders that never belong into a package.
const LEFT_OUT: &[&str] = &["node_modules", "target", "data", "__pycache__", "cdk.out"];

/// File name endings that never belong into a package: stores, packages, keys.
const LEFT_OUT_ENDINGS: &[&str] =
    &[".zip", ".db", ".db-wal", ".db-shm", ".sqlite", ".sqlite3", ".pem", ".key", ".gguf"];

/// A finished package.
#[derive(Debug)]
pub struct Package {
    /// The zip file.
    pub bytes: Vec<u8>,
    /// Its SHA-256 in hexadecimal: the package's name in the deployment bucket.
    pub digest: String,
    /// What the binary needs.
    pub binary: Binary,
    /// The names inside, in order.
    pub files: Vec<String>,
}

/// Why a package could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The binary does not fit the function.
    #[error("{path}: {source}")]
    Binary {
        /// The binary.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// No binary was found.
    #[error(
        "no `bootstrap` for {wanted} found; looked at {places}. A release archive has it; from a clone, `cargo xtask package` \
         builds it for this machine's own processor, and for {wanted} after `rustup target add {triple} && pip install \
         cargo-zigbuild ziglang`. Or say --architecture {other} (or [deploy] architecture), or name a binary with --bootstrap"
    )]
    NoBinary {
        /// The processor it should be for.
        wanted: &'static str,
        /// The other one.
        other: &'static str,
        /// Its target, as Rust calls it.
        triple: &'static str,
        /// Where it was looked for.
        places: String,
    },
    /// The package is larger than Lambda takes.
    #[error(
        "{0} bytes unpacked, but Lambda takes at most {UNPACKED_LIMIT}; move large files out of the agent folder"
    )]
    TooLarge(u64),
    /// There are more tools than the server unpacks.
    #[error("{0}: {1} files, but an archive of tools has at most {2}; put packages into a layer")]
    TooManyTools(PathBuf, usize, usize),
    /// The zip could not be written.
    #[error("zip: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// The zip could not be written.
    #[error("zip: {0}")]
    Write(#[from] std::io::Error),
}

/// Makes the package of the agent in `folder` with the binary at `bootstrap`.
///
/// # Errors
/// When a file cannot be read, or the binary would not run on `provided.al2023` with this processor.
pub fn build(folder: &Path, bootstrap: &Path, architecture: Architecture) -> Result<Package, PackageError> {
    build_without(folder, bootstrap, architecture, None)
}

/// As [`build`], without one of the folders below `folder`.
pub(crate) fn build_without(
    folder: &Path,
    bootstrap: &Path,
    architecture: Architecture,
    left_out: Option<&Path>,
) -> Result<Package, PackageError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| PackageError::Read { path: path.to_path_buf(), source })
    };
    let program = read(bootstrap)?;
    let binary = elf::check(&program, architecture)
        .map_err(|source| PackageError::Binary { path: bootstrap.to_path_buf(), source })?;
    // A map: the order of a folder's entries differs between machines.
    let mut files: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
    collect(folder, "", left_out, &mut files)?;
    files.insert("bootstrap".into(), (0o755, program));
    files.insert("run.sh".into(), (0o755, RUN_SH.as_bytes().to_vec()));
    let unpacked: u64 = files.values().map(|(_, bytes)| bytes.len() as u64).sum();
    if unpacked > UNPACKED_LIMIT {
        return Err(PackageError::TooLarge(unpacked));
    }
    let bytes = zip(&files)?;
    let digest = digest(&bytes);
    Ok(Package { bytes, digest, binary, files: files.into_keys().collect() })
}

/// A SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A zip of a folder's files, and how many there are.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn archive(folder: &Path) -> Result<(Vec<u8>, usize), PackageError> {
    let mut files = BTreeMap::new();
    collect(folder, "", None, &mut files)?;
    Ok((zip(&files)?, files.len()))
}

fn zip(files: &BTreeMap<String, (u32, Vec<u8>)>) -> Result<Vec<u8>, PackageError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, (mode, bytes)) in files {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::default())
            .unix_permissions(*mode);
        writer.start_file(name, options)?;
        writer.write_all(bytes)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The agent's files, without what is hidden, built or secret.
fn collect(
    folder: &Path,
    prefix: &str,
    left_out: Option<&Path>,
    files: &mut BTreeMap<String, (u32, Vec<u8>)>,
) -> Result<(), PackageError> {
    let failed = |source| PackageError::Read { path: folder.to_path_buf(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(failed)?;
        if name.starts_with('.') || LEFT_OUT_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        if kind.is_dir() {
            if !LEFT_OUT.contains(&name.as_str()) && !left_out.is_some_and(|out| is_same(out, &entry.path()))
            {
                collect(&entry.path(), &format!("{prefix}{name}/"), left_out, files)?;
            }
        } else if kind.is_file() {
            let path = entry.path();
            let bytes = std::fs::read(&path).map_err(|source| PackageError::Read { path, source })?;
            files.insert(format!("{prefix}{name}"), (0o644, bytes));
        }
    }
    Ok(())
}

/// Whether two paths are one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Finds the binary for an agent. Where `loquat.toml` leaves the processor open and there is no binary for the default,
/// the agent is made for the processor that there is one for; the second value tells that this happened.
///
/// # Errors
/// When there is none.
pub fn choose_bootstrap(agent: &mut Agent, named: Option<&Path>) -> Result<(PathBuf, bool), PackageError> {
    let wanted = agent.deploy.architecture;
    let found = find_bootstrap(named, wanted);
    if agent.names_architecture {
        return Ok((found?, false));
    }
    let (path, architecture) = match (named, found) {
        (Some(path), _) => {
            let binary = std::fs::read(path).ok().and_then(|data| elf::inspect(&data).ok());
            (path.to_path_buf(), binary.map_or(wanted, |binary| binary.architecture))
        }
        (None, Ok(path)) => (path, wanted),
        (None, Err(error)) => {
            let other = wanted.other();
            (find_bootstrap(None, other).map_err(|_| error)?, other)
        }
    };
    agent.deploy.architecture = architecture;
    Ok((path, architecture != wanted))
}

/// What is said where the default processor gave way.
pub fn other_processor(architecture: Architecture) -> String {
    format!(
        "made for {}: there is no `bootstrap` for the default processor here ([deploy] architecture chooses)",
        architecture.as_str()
    )
}

/// Finds the binary for a processor: the one named, else beside this program or in a build's output.
///
/// # Errors
/// When there is none.
pub fn find_bootstrap(named: Option<&Path>, architecture: Architecture) -> Result<PathBuf, PackageError> {
    if let Some(path) = named {
        return Ok(path.to_path_buf());
    }
    let triple = match architecture {
        Architecture::Arm64 => "aarch64-unknown-linux-musl",
        Architecture::X86_64 => "x86_64-unknown-linux-musl",
    };
    let mut places = Vec::new();
    if let Some(folder) = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)) {
        places.push(folder.join(format!("bootstrap-{}", architecture.as_str())));
        // As `cargo xtask package` builds it, beside the folder of a program that Cargo built; for another processor
        // beside a cross build.
        let built = folder.ends_with("release") || folder.ends_with("quick");
        if let Some(target) = folder.parent().filter(|_| built) {
            places.push(target.join("lambda/bootstrap"));
            places.push(target.join(triple).join("lambda/bootstrap"));
        }
        places.push(folder.join("bootstrap"));
    }
    let fits = |path: &&PathBuf| {
        std::fs::read(path)
            .ok()
            .and_then(|data| elf::inspect(&data).ok())
            .is_some_and(|binary| binary.architecture == architecture)
    };
    places.iter().find(fits).cloned().ok_or_else(|| {
        let list: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
        PackageError::NoBinary {
            wanted: architecture.as_str(),
            other: architecture.other().as_str(),
            triple,
            places: list.join(", "),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> (PathBuf, Architecture) {
        let exe = PathBuf::from("/bin/true");
        let architecture = elf::inspect(&std::fs::read(&exe).unwrap()).unwrap().architecture;
        (exe, architecture)
    }

    #[test]
    fn same_files_same_bytes_whatever_their_times_and_order() {
        let (exe, architecture) = own();
        let make = |names: &[&str]| {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("skills")).unwrap();
            for name in names {
                std::fs::write(folder.path().join(name), name).unwrap();
            }
            build(folder.path(), &exe, architecture).unwrap()
        };
        let one = make(&["loquat.toml", "prompt.md", "skills/a.md", "chats.db", ".env"]);
        let two = make(&["skills/a.md", "prompt.md", "loquat.toml"]);
        assert_eq!(one.digest, two.digest);
        assert_eq!(one.bytes, two.bytes);
        assert_eq!(one.files, ["bootstrap", "loquat.toml", "prompt.md", "run.sh", "skills/a.md"]);
    }

    #[test]
    fn a_folder_that_was_moved_to_s3_is_not_packed_again() {
        let (exe, architecture) = own();
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [("loquat.toml", ""), ("tools/shop.py", "x"), ("skills/tools/a.md", "y")] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let moved = folder.path().join("./tools");
        let package = build_without(folder.path(), &exe, architecture, Some(&moved)).unwrap();
        assert_eq!(package.files, ["bootstrap", "loquat.toml", "run.sh", "skills/tools/a.md"]);
        assert_eq!(archive(&moved).unwrap().1, 1);
    }

    #[test]
    fn the_default_processor_gives_way_and_a_chosen_one_does_not() {
        let (exe, own) = own();
        let other = if own == Architecture::Arm64 { "x86_64" } else { "arm64" };
        let folder = tempfile::tempdir().unwrap();
        let agent = |config: &str| {
            std::fs::write(folder.path().join("loquat.toml"), config).unwrap();
            Agent::read(folder.path()).unwrap()
        };
        let mut open = agent("[deploy]\nname = \"a\"\n");
        let gave_way = open.deploy.architecture != own;
        assert_eq!(choose_bootstrap(&mut open, Some(&exe)).unwrap(), (exe.clone(), gave_way));
        assert_eq!(open.deploy.architecture, own);
        let mut chosen = agent(&format!("[deploy]\narchitecture = \"{other}\"\n"));
        assert_eq!(choose_bootstrap(&mut chosen, Some(&exe)).unwrap(), (exe.clone(), false));
        assert_eq!(chosen.deploy.architecture.as_str(), other);
        let error = build(folder.path(), &exe, chosen.deploy.architecture).unwrap_err().to_string();
        assert!(error.contains(other), "{error}");
    }

    #[test]
    fn programs_are_executable_inside() {
        let (exe, architecture) = own();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("loquat.toml"), "").unwrap();
        let package = build(folder.path(), &exe, architecture).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(package.bytes)).unwrap();
        for (name, mode) in [("bootstrap", 0o755), ("run.sh", 0o755), ("loquat.toml", 0o644)] {
            assert_eq!(archive.by_name(name).unwrap().unix_mode().unwrap() & 0o777, mode, "{name}");
        }
    }
}
