//! Rules about what the crates depend on.

use anyhow::Result;

use crate::program::{capture, program};

/// What an agent must not know: HTTP, AWS, storage. Prefixes of crate names.
const FOREIGN_TO_AGENT: &[&str] =
    &["aws-", "axum", "h2", "http", "hyper", "lambda", "object_store", "reqwest", "rusqlite", "tower"];

/// Adds a line for each dependency that must not be there.
pub(super) fn check(breaches: &mut Vec<String>) -> Result<()> {
    // Listing the whole tree and looking for the name, because `cargo tree -i` fails where it finds nothing.
    let everything = ["tree", "--workspace", "--all-features", "--target", "all", "--prefix", "none"];
    let tree = capture(&mut program("cargo", everything))?;
    if names(&tree).any(|name| name == "aws-lc-sys") {
        breaches.push(
            "aws-lc-sys is in the tree (ten minutes of C); `cargo tree -i aws-lc-sys` says through whom. \
             The one TLS provider is ring."
                .to_owned(),
        );
    }
    let agent = ["tree", "--package", "loquat-agent", "--edges", "normal", "--prefix", "none"];
    let tree = capture(&mut program("cargo", agent))?;
    breaches.extend(foreign(&tree).map(|name| format!("loquat-agent must not depend on {name}")));
    Ok(())
}

fn names(tree: &str) -> impl Iterator<Item = &str> {
    tree.lines().filter_map(|line| line.split_whitespace().next())
}

fn foreign(tree: &str) -> impl Iterator<Item = &str> {
    names(tree).filter(|name| FOREIGN_TO_AGENT.iter().any(|prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_crate_is_found() {
        let tree = "loquat-agent v0.1.0\nserde v1.0.0\nhttp-body v1.0.0\naws-smithy-types v1.2.0 (*)\n";
        assert_eq!(foreign(tree).collect::<Vec<_>>(), ["http-body", "aws-smithy-types"]);
    }
}
