//! `cargo xtask web`: builds the page that the binary carries.

use anyhow::Result;

use crate::program::{program, root, run, step};
use crate::{files, node, stamp};

/// Builds web/dist if the page's sources changed since the last build.
pub(crate) fn build() -> Result<()> {
    if !node::install("web")? {
        println!("There is no web/ folder yet: the program is built without its page.");
        return Ok(());
    }
    let mut sources = files::under("web")?;
    // Tests do not go into the page.
    sources.retain(|path| !path.starts_with("web/test") && !path.starts_with("web/e2e"));
    let digest = stamp::digest(&sources, &[])?;
    let mark = root().join("web/node_modules/.loquat-built");
    if root().join("web/dist/index.html").is_file() && stamp::is_current(&mark, &digest) {
        println!("The page is up to date (web/dist).");
        return Ok(());
    }
    step("the page (web/dist)");
    run(program("npm", ["run", "--silent", "build"]).current_dir(root().join("web")))?;
    stamp::write(&mark, &digest)
}
