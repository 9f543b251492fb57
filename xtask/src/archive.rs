//! Packs a folder so that the same files give the same bytes.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::program::{program, run as run_program};

/// Packs `folder/name` into `folder/name.tar.gz` with fixed order, owner, modes and times (`time`, in seconds), and writes
/// its checksum beside it. Gives the checksum's line.
pub(crate) fn pack(folder: &Path, name: &str, time: &str) -> Result<String> {
    let plain = folder.join(format!("{name}.tar"));
    let mtime = format!("--mtime=@{time}");
    let fixed =
        ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w,a+rX", "--format=ustar"];
    run_program(
        program("tar", fixed).args([&mtime, "--create", "--file"]).arg(&plain).arg(name).current_dir(folder),
    )?;
    run_program(program("gzip", ["--no-name", "--best", "--force"]).arg(&plain))?;
    let archive = folder.join(format!("{name}.tar.gz"));
    let bytes = std::fs::read(&archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let sum: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{sum}  {name}.tar.gz\n");
    std::fs::write(folder.join(format!("{name}.tar.gz.sha256")), &line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same files, made in another order, at another time, by somebody with another umask.
    #[test]
    fn the_same_files_are_the_same_bytes() {
        use std::os::unix::fs::PermissionsExt as _;
        let make = |names: &[&str], mode: u32| {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join("x");
            std::fs::create_dir(&inner).unwrap();
            for name in names {
                let path = inner.join(name);
                std::fs::write(&path, format!("{name}\n")).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(mode) * 1_000);
                std::fs::File::open(&path).unwrap().set_modified(then).unwrap();
            }
            let line = pack(folder.path(), "x", "1700000000").unwrap();
            let archive = std::fs::read(folder.path().join("x.tar.gz")).unwrap();
            assert_eq!(std::fs::read_to_string(folder.path().join("x.tar.gz.sha256")).unwrap(), line);
            (archive, line)
        };
        let (one, line) = make(&["a", "b", "c"], 0o644);
        let (other, _) = make(&["c", "a", "b"], 0o664);
        assert_eq!(one, other);
        assert!(line.ends_with("  x.tar.gz\n") && line.len() == 64 + 2 + 9, "{line}");
    }
}
