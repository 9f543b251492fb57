//! Which files belong to the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::program::{capture, program, root};

/// Folders that hold what tools make.
const MADE: &[&str] =
    &[".git", ".venv", "__pycache__", "dist", "node_modules", "playwright-report", "target", "test-results"];

/// Files under a folder (relative to the root), in a stable order: those Git tracks or would track, or, outside a Git
/// checkout (a release archive), all but what tools make.
pub(crate) fn under(folder: &str) -> Result<Vec<PathBuf>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder];
    let mut paths: Vec<PathBuf> = match capture(&mut program("git", list)) {
        Ok(text) => text.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from).collect(),
        Err(_) => {
            let mut found = Vec::new();
            walk(&root().join(folder), &mut found)?;
            found
        }
    };
    // A file that was deleted but not yet committed is still listed by Git.
    paths.retain(|path| root().join(path).is_file());
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if !MADE.iter().any(|made| name == *made) {
                walk(&path, found)?;
            }
        } else if let Ok(path) = path.strip_prefix(root()) {
            found.push(path.to_path_buf());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_finds_what_git_lists() {
        let listed = under("xtask").unwrap();
        let mut walked = Vec::new();
        walk(&root().join("xtask"), &mut walked).unwrap();
        walked.sort();
        assert_eq!(listed, walked);
        assert!(listed.contains(&PathBuf::from("xtask/src/files.rs")));
    }
}
