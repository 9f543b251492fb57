//! Remembers what a step was made from, so that it runs again only when that changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::program::root;

/// A digest of files (paths relative to the root, and their contents) and of further facts.
pub(crate) fn digest(paths: &[PathBuf], facts: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // The length goes first, so that no two lists of parts run together into the same bytes.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for path in paths {
        add(path.to_string_lossy().as_bytes());
        add(&std::fs::read(root().join(path)).with_context(|| format!("cannot read {}", path.display()))?);
    }
    for fact in facts {
        add(fact.as_bytes());
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Whether the stamp file holds this digest.
pub(crate) fn is_current(stamp: &Path, digest: &str) -> bool {
    std::fs::read_to_string(stamp).is_ok_and(|text| text.trim() == digest)
}

/// Writes the stamp: the step was done from this digest.
pub(crate) fn write(stamp: &Path, digest: &str) -> Result<()> {
    std::fs::write(stamp, digest).with_context(|| format!("cannot write {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_fact_or_file_changes_the_digest() {
        let file = vec![PathBuf::from("LICENSE")];
        let base = digest(&file, &["a", "b"]).unwrap();
        assert_eq!(base, digest(&file, &["a", "b"]).unwrap());
        assert_ne!(base, digest(&file, &["ab"]).unwrap());
        assert_ne!(base, digest(&[], &["a", "b"]).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let stamp = folder.path().join("stamp");
        assert!(!is_current(&stamp, &base));
        write(&stamp, &base).unwrap();
        assert!(is_current(&stamp, &base));
        assert!(!is_current(&stamp, "other"));
    }
}
