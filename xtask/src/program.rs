//! Runs other programs and says in plain words when one fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A program that runs at the root of the repository.
pub(crate) fn program<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    // `cargo run` tells this program about its own package. A build script that watches these variables (ring's does)
    // would run again in every build below, and all that depends on it would be compiled again.
    for name in PACKAGE_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// What Cargo sets for the program it runs and ring's build script watches.
const PACKAGE_VARIABLES: [&str; 8] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
    "CARGO_MANIFEST_LINKS",
    "CARGO_PKG_VERSION",
];

/// Announces the next step.
pub(crate) fn step(what: &str) {
    println!("\n── {what}");
}

/// Runs a program to its end; it writes to the same terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// What the secrets that tests plant begin with.
pub(crate) const CANARY: &str = "sk-canary";

/// Runs a program to its end and passes on what it writes, in which no planted secret may be. The servers that tests
/// start write to the same place, so this sees their logs, too.
pub(crate) fn run_watched(command: &mut Command) -> Result<()> {
    watched(command, std::io::stdout(), std::io::stderr())
}

fn watched(
    command: &mut Command,
    to: impl std::io::Write,
    errors_to: impl std::io::Write + Send + 'static,
) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let watching = std::thread::spawn(move || err.map_or(Ok(0), |err| pass_on(err, errors_to)));
    let seen = out.map_or(Ok(0), |out| pass_on(out, to))?;
    let also = watching.join().map_err(|_| anyhow::anyhow!("the reader of the errors panicked"))??;
    let status = child.wait()?;
    if seen + also > 0 {
        bail!(
            "{} printed a secret that a test had planted ({CANARY}…), {} times",
            shown(command),
            seen + also
        );
    }
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Copies line by line; how many lines have a planted secret in them.
fn pass_on(from: impl std::io::Read, mut to: impl std::io::Write) -> std::io::Result<usize> {
    use std::io::BufRead as _;

    let mut from = std::io::BufReader::new(from);
    let (mut line, mut seen) = (Vec::new(), 0);
    while from.read_until(b'\n', &mut line)? > 0 {
        seen += usize::from(line.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
        to.write_all(&line)?;
        line.clear();
    }
    to.flush()?;
    Ok(seen)
}

/// Runs a program to its end and returns what it wrote to its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", shown(command), output.status, text.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Where a program is installed, if it is.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let output = Command::new("sh").args(["-c", "command -v -- \"$1\"", "sh", name]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// Where a program is installed, or an error that says how to get it.
pub(crate) fn need(name: &str, how: &str) -> Result<PathBuf> {
    find(name).with_context(|| format!("`{name}` is not installed. {how}"))
}

/// Replaces this process by a program. Returns only if that is impossible.
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let error = command.exec();
        Err(error).with_context(|| format!("cannot start {}", shown(command)))
    }
    #[cfg(not(unix))]
    run(command)
}

/// Where Cargo writes what it builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let text = capture(&mut program("cargo", ["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(PathBuf::from(folder))
}

/// The path of a binary that Cargo built. `profile` is the folder's name, for example `debug`.
pub(crate) fn built(profile: &str, name: &str) -> Result<PathBuf> {
    Ok(target_folder()?.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Refuses a program whose version is below the one needed. `text` is what it prints (`v20.20.2`, `Python 3.11.7`).
pub(crate) fn check_version(name: &str, text: &str, needed: (u32, u32)) -> Result<()> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split('.').map(|part| part.trim().parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < needed {
        bail!("{name} {}.{} or newer is needed; this is {}", needed.0, needed.1, text.trim());
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    match command.get_current_dir().and_then(|folder| folder.strip_prefix(root()).ok()) {
        Some(folder) if !folder.as_os_str().is_empty() => format!("`{text}` (in {})", folder.display()),
        _ => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_version_is_refused_in_words() {
        assert!(check_version("Node", "v20.20.2\n", (20, 19)).is_ok());
        assert!(check_version("Python", "Python 3.14.0", (3, 11)).is_ok());
        let error = check_version("Node", "v18.19.0\n", (20, 19)).unwrap_err().to_string();
        assert_eq!(error, "Node 20.19 or newer is needed; this is v18.19.0");
    }

    #[test]
    fn a_planted_secret_in_the_output_is_a_failure() {
        run_watched(&mut program("sh", ["-c", "echo fine; echo fine >&2"])).unwrap();
        // Put together by the shell, so that the error's own words are not what is found.
        for place in ["1", "2"] {
            let script = format!("printf 'a log line with sk-'%s canary-x >&{place}");
            // Not to our own output, which is watched as well.
            let (to, errors_to) = (std::io::sink(), std::io::sink());
            let error = watched(&mut program("sh", ["-c", &script]), to, errors_to).unwrap_err().to_string();
            assert!(error.contains("printed a secret"), "{error}");
        }
        let error = run_watched(&mut program("sh", ["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.ends_with("failed (exit status: 3)"), "{error}");
    }

    #[test]
    fn a_failure_names_the_command_and_its_folder() {
        let error = run(program("sh", ["-c", "exit 3"]).current_dir(root().join("xtask"))).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` (in xtask) failed (exit status: 3)");
        let error = need("no-such-program-anywhere", "Get it.").unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-anywhere` is not installed. Get it.");
    }
}
