//! Where the tests find linters and emulators: the repository's `.venv`, made by `cargo xtask test`.

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the crate is in the repository")
}

/// A program of the virtual environment. A test that needs one fails without it: it never skips.
pub(crate) fn venv(program: &str) -> PathBuf {
    let path = root().join(".venv/bin").join(program);
    assert!(
        path.exists(),
        "{program} is not installed: run the tests with `cargo xtask test`, or `cargo xtask venv` once"
    );
    path
}
