//! Keeps the guide's list of variables current.

use std::path::Path;

use super::env::VARIABLES;

const BEGIN: &str = "<!-- variables: made from crates/server/src/config/env.rs by a test -->\n";
const END: &str = "<!-- end of variables -->\n";

#[test]
fn the_guide_lists_every_variable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = "| variable | key in `loquat.toml` | meaning |\n|---|---|---|\n".to_owned();
    for variable in VARIABLES {
        table += &format!("| `{}` | `{}` | {} |\n", variable.name, variable.key, variable.doc);
    }
    let current = format!("{before}{BEGIN}{table}{END}{after}");
    if text != current {
        std::fs::write(&path, current).unwrap();
        panic!("docs/configuration.md was stale and is written anew: look at it, and commit it");
    }
}
