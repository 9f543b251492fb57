//! What was downloaded, verified and laid out where the worker reads it.

use std::path::Path;

use sha2::Digest as _;

use super::unpack::unpack;
use crate::tools::config::ToolObject;

/// The longest `.py` file.
const MAX_FILE: usize = 4 << 20;

/// Writes an object's files below `place`; gives the path that the worker loads: the file, or the archive's folder.
pub(super) fn keep(object: &ToolObject, bytes: &[u8], place: &Path) -> Result<String, String> {
    if let Some(expected) = &object.sha256 {
        let digest = sha2::Sha256::digest(bytes);
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if !found.eq_ignore_ascii_case(expected) {
            return Err(format!("its SHA-256 is {found}, not {expected}"));
        }
    }
    let failed = |error: std::io::Error| error.to_string();
    std::fs::create_dir(place).map_err(failed)?;
    let path = if object.is_zip_archive {
        unpack(bytes, place)?;
        place.to_owned()
    } else {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        let stem = name.strip_suffix(".py").unwrap_or_default();
        // The name becomes a file's and a module's.
        if stem.is_empty() || !stem.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
            return Err(format!("\"{name}\" is not the name of a Python file"));
        }
        if bytes.len() > MAX_FILE {
            return Err(format!("it is longer than {MAX_FILE} bytes"));
        }
        if std::str::from_utf8(bytes).is_err() {
            return Err("it is not text".to_owned());
        }
        let path = place.join(name);
        std::fs::write(&path, bytes).map_err(failed)?;
        path
    };
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, sha256: Option<&str>) -> ToolObject {
        ToolObject {
            bucket_name: "b".into(),
            key: key.into(),
            is_file: true,
            is_zip_archive: false,
            sha256: sha256.map(str::to_owned),
        }
    }

    #[test]
    fn files_are_verified_and_named_as_modules() {
        let folder = tempfile::tempdir().unwrap();
        let keep = |number: u32, key: &str, bytes: &[u8], sha: Option<&str>| {
            keep(&object(key, sha), bytes, &folder.path().join(number.to_string()))
        };
        let path = keep(1, "tools/a.py", b"x = 1", None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x = 1");
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        keep(2, "a.py", b"abc", Some(right)).unwrap();
        assert!(keep(3, "a.py", b"abd", Some(right)).unwrap_err().contains("SHA-256"));
        for key in ["a.txt", ".py", "..py", "a b.py", "x/"] {
            assert!(keep(4, key, b"", None).unwrap_err().contains("not the name"), "{key}");
            let _ = std::fs::remove_dir(folder.path().join("4"));
        }
        assert!(keep(5, "a.py", &[0xff, 0xfe], None).unwrap_err().contains("not text"));
    }
}
