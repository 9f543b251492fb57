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
    command
}

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

/// The path of a binary that Cargo built. `profile` is the folder's name, `debug` or `release`.
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
    fn a_failure_names_the_command_and_its_folder() {
        let error = run(program("sh", ["-c", "exit 3"]).current_dir(root().join("xtask"))).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` (in xtask) failed (exit status: 3)");
        let error = need("no-such-program-anywhere", "Get it.").unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program-anywhere` is not installed. Get it.");
    }
}
