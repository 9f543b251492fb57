//! Sizes of what is shipped: the binary, its package for Lambda, the page.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::systems::Places;

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) binary: u64,
    /// The binary, gzip -9: about what a zip of it is.
    pub(crate) binary_packed: u64,
    /// JavaScript and style of the page, gzip -9, everything that could ever be loaded.
    pub(crate) page: u64,
    /// The Python peer's packages, unpacked.
    pub(crate) peer: Option<u64>,
    /// The same, packed.
    pub(crate) peer_packed: Option<u64>,
}

/// Weighs.
pub(crate) fn measure(places: &Places) -> Result<Sizes> {
    let page = places.bench.join("../web/dist/assets");
    let mut page_bytes = 0;
    for entry in page.read_dir().into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "js" || extension == "css") {
            page_bytes += packed(&path)?;
        }
    }
    let (mut peer, mut peer_packed) = (None, None);
    if let Some(python) = &places.python {
        let packages = Command::new(python)
            .args(["-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
            .output()
            .context("the peer's Python")?;
        let folder = String::from_utf8(packages.stdout)?.trim().to_owned();
        peer = Some(through(&folder, "tar --exclude=pip --exclude='__pycache__' -c .")?);
        peer_packed = Some(through(&folder, "tar --exclude=pip --exclude='__pycache__' -c . | gzip -9")?);
    }
    Ok(Sizes {
        binary: places.loquat.metadata()?.len(),
        binary_packed: packed(&places.loquat)?,
        page: page_bytes,
        peer,
        peer_packed,
    })
}

fn packed(path: &Path) -> Result<u64> {
    let output = Command::new("gzip").args(["-9", "-c"]).arg(path).stderr(Stdio::null()).output()?;
    Ok(output.stdout.len() as u64)
}

/// How many bytes a shell pipeline in a folder writes.
fn through(folder: &str, pipeline: &str) -> Result<u64> {
    let script = format!("{pipeline} | wc -c");
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder).output()?;
    String::from_utf8(output.stdout)?.trim().parse().context("wc gave no number")
}
