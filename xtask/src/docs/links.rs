//! Checks that relative links between Markdown documents, and the headings they name, exist.

use std::path::Path;

use anyhow::{Context, Result};

use crate::program::root;

/// Adds a line for each broken link of a document (a path relative to the root).
pub(super) fn check(path: &Path, broken: &mut Vec<String>) -> Result<()> {
    let text = read(&root().join(path))?;
    for link in links(&text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let folder = path.parent().unwrap_or(Path::new(""));
        let target = if file.is_empty() { path.to_path_buf() } else { folder.join(file) };
        let whole = root().join(&target);
        if !whole.exists() {
            broken.push(format!("{}: {link}: there is no such file", path.display()));
        } else if !heading.is_empty()
            && whole.is_file()
            && !headings(&read(&whole)?).any(|name| name == heading)
        {
            broken.push(format!("{}: {link}: there is no such heading", path.display()));
        }
    }
    Ok(())
}

/// Folders whose paths are meant from the root when a document names them in code.
const ROOTS: &[&str] = &[".ci/", "bench/", "crates/", "deploy/", "docs/", "examples/", "web/", "xtask/"];

/// Adds a line for each path of the repository that a document names in code and that is not there. `NAME` is a blank.
pub(super) fn check_paths(path: &Path, broken: &mut Vec<String>) -> Result<()> {
    let text = read(&root().join(path))?;
    for named in prose(&text).flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let is_path = ROOTS.iter().any(|folder| named.starts_with(folder));
        if is_path && !named.contains("NAME") && !root().join(named).exists() {
            broken.push(format!("{}: `{named}` is not there", path.display()));
        }
    }
    Ok(())
}

/// Adds a line for each page of the guide that its table of contents does not name: mdbook would leave it out.
pub(super) fn check_summary(broken: &mut Vec<String>) -> Result<()> {
    let summary = read(&root().join("docs/SUMMARY.md"))?;
    for entry in root().join("docs").read_dir().context("cannot read docs")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") && name != "SUMMARY.md" && !summary.contains(&format!("]({name})")) {
            broken.push(format!("docs/SUMMARY.md: {name} is not in it"));
        }
    }
    Ok(())
}

/// Adds a line for each link of the rendered guide that leads nowhere; gives how many pages there are.
pub(super) fn check_pages(folder: &Path, broken: &mut Vec<String>) -> Result<usize> {
    // What mdBook makes beside the pages: all of them in one, the table of contents, and what a server says of others.
    let made = ["print.html", "toc.html", "404.html"];
    let mut pages = 0;
    for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".html") || made.contains(&name.as_str()) {
            continue;
        }
        pages += 1;
        let text = read(&path)?;
        for link in attributes(&text) {
            if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            let led_out = !target
                .canonicalize()
                .is_ok_and(|target| folder.canonicalize().is_ok_and(|folder| target.starts_with(folder)));
            if led_out {
                broken.push(format!("{name}: {link}: there is no such file in the book"));
            } else if !anchor.is_empty() && !read(&target)?.contains(&format!("id=\"{anchor}\"")) {
                broken.push(format!("{name}: {link}: there is no such place"));
            }
        }
    }
    Ok(pages)
}

/// The values of `href` and `src` in a page.
fn attributes(text: &str) -> impl Iterator<Item = &str> {
    let after = |name: &'static str| text.split(name).skip(1).filter_map(|rest| rest.split('"').next());
    after(" href=\"").chain(after(" src=\"")).filter(|link| !link.is_empty() && *link != "#")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The targets of inline links and images outside code.
pub(crate) fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Every second piece between backticks is code.
        for piece in line.split('`').step_by(2) {
            found.extend(piece.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()));
        }
        // A link whose text is code is cut by the split above.
        if line.contains('`') {
            found.extend(line.split("`](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The names that GitHub and mdBook give to headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    })
}

/// Lines outside code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_headings_are_read() {
        let text = "# The `first` one, 2 of 3\n[a](x.md#y) `[no](code)` [`b`](z.md)\n```\n[no](block)\n```\n![c](p.png)";
        assert_eq!(links(text), ["p.png", "x.md#y", "z.md"]);
        assert_eq!(headings(text).collect::<Vec<_>>(), ["the-first-one-2-of-3"]);
    }

    #[test]
    fn a_path_that_is_gone_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        std::fs::write(&page, "`xtask/src/docs.rs` `crates/NAME.rs` `cargo x`\nand `docs/gone.md`\n")
            .unwrap();
        let mut broken = Vec::new();
        check_paths(&page, &mut broken).unwrap();
        assert_eq!(broken.len(), 1, "{broken:?}");
        assert!(broken[0].ends_with("`docs/gone.md` is not there"), "{broken:?}");
    }

    #[test]
    fn a_rendered_link_that_leads_nowhere_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let book = folder.path().join("book");
        std::fs::create_dir(&book).unwrap();
        std::fs::write(folder.path().join("outside.html"), "").unwrap();
        std::fs::write(book.join("there.html"), "<h1 id=\"here\">").unwrap();
        let page = r##"<a href="there.html#here"><a href="#gone"><a href="../outside.html"><img src="no.png">
            <a href="https://example.org/x">"##;
        std::fs::write(book.join("page.html"), page).unwrap();
        let mut broken = Vec::new();
        assert_eq!(check_pages(&book, &mut broken).unwrap(), 2);
        broken.sort();
        assert_eq!(
            broken,
            [
                "page.html: #gone: there is no such place",
                "page.html: ../outside.html: there is no such file in the book",
                "page.html: no.png: there is no such file in the book"
            ]
        );
    }

    #[test]
    fn a_broken_link_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there.md"), "# Here\n").unwrap();
        let page = folder.path().join("page.md");
        std::fs::write(&page, "[a](there.md#here) [b](there.md#gone) [c](gone.md) [d](#e) [f](https://x.y)")
            .unwrap();
        let mut broken = Vec::new();
        check(&page, &mut broken).unwrap();
        let broken: Vec<_> =
            broken.iter().filter_map(|line| line.split_once(".md: ")).map(|(_, what)| what).collect();
        assert_eq!(
            broken,
            [
                "#e: there is no such heading",
                "gone.md: there is no such file",
                "there.md#gone: there is no such heading"
            ]
        );
    }
}
