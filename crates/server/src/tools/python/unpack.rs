//! Zip archives, unpacked without leaving their folder and without growing without bound.

use std::fs;
use std::io::{Cursor, Read as _};
use std::path::Path;

use zip::ZipArchive;

/// The most files of an archive, and the most bytes of all of them together.
const MAX_ENTRIES: usize = 2000;
const MAX_BYTES: u64 = 100 << 20;

/// Unpacks an archive below `folder`.
///
/// # Errors
/// It is no archive, it is damaged, or an entry is one that an archive of tools has no business to have: a path that
/// leaves the folder, a link, too much of everything. What was unpacked until then stays behind.
pub(super) fn unpack(bytes: &[u8], folder: &Path) -> Result<(), String> {
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("it is no zip archive: {error}"))?;
    if archive.len() > MAX_ENTRIES {
        return Err(format!("it has more than {MAX_ENTRIES} entries"));
    }
    let mut left = MAX_BYTES;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| format!("entry {index}: {error}"))?;
        let name = entry.name().map_err(|error| format!("entry {index}: {error}"))?.into_owned();
        let failed = |error: std::io::Error| format!("\"{name}\": {error}");
        let path = match entry.enclosed_name() {
            Some(path)
                if !entry.is_symlink() && !name.contains(['\\', ':', '\0']) && !name.starts_with('/') =>
            {
                folder.join(path)
            }
            _ => return Err(format!("\"{name}\" does not stay in the archive's folder")),
        };
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(failed)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        // The size that an entry claims may be a lie: what counts is what comes out.
        let mut content = Vec::new();
        entry.by_ref().take(left + 1).read_to_end(&mut content).map_err(failed)?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| format!("it holds more than {MAX_BYTES} bytes"))?;
        fs::write(&path, content).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn files_and_folders_come_out() {
        let folder = tempfile::tempdir().unwrap();
        unpack(&archive(&[("a.py", b"x"), ("lib/b.py", b"y")]), folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join("lib/b.py")).unwrap(), b"y");
    }

    #[test]
    fn nothing_leaves_the_folder() {
        for name in
            ["../evil.py", "/etc/evil.py", "a/../../evil.py", "..\\evil.py", "C:\\evil.py", "a/../../../x"]
        {
            let outer = tempfile::tempdir().unwrap();
            let folder = outer.path().join("inner");
            fs::create_dir(&folder).unwrap();
            let error = unpack(&archive(&[(name, b"x")]), &folder).unwrap_err();
            assert!(error.contains("does not stay"), "{name}: {error}");
            assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "{name}");
        }
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.add_symlink("link", "/etc", SimpleFileOptions::default()).unwrap();
        let linked = writer.finish().unwrap().into_inner();
        let folder = tempfile::tempdir().unwrap();
        assert!(unpack(&linked, folder.path()).unwrap_err().contains("does not stay"));
    }

    #[test]
    fn bombs_and_garbage_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let zeros = vec![0; 60 << 20];
        let error = unpack(&archive(&[("a", &zeros), ("b", &zeros)]), folder.path()).unwrap_err();
        assert!(error.contains("more than"), "{error}");
        assert!(unpack(b"PK not really", folder.path()).unwrap_err().contains("no zip archive"));
        let mut damaged = archive(&[("a.py", &[b'x'; 1000])]);
        for byte in &mut damaged[35..45] {
            *byte ^= 0xff;
        }
        unpack(&damaged, folder.path()).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let folder = tempfile::tempdir().unwrap();
            let _ = unpack(&bytes, folder.path());
            let mut real = archive(&[("a.py", b"hello")]);
            real.truncate(cut.max(1).min(real.len()));
            real.append(&mut bytes);
            let _ = unpack(&real, folder.path());
        }
    }
}
