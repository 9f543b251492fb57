//! The manifest of a Rust example outside the workspace it came from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use toml::{Table, Value};

/// The workspace's manifest, which has the versions.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// The clone of Loquat that a copy in `folder` uses: the one around it or around the working folder, else `../loquat`.
pub(super) fn checkout(folder: &Path) -> PathBuf {
    let is_clone = |path: &&Path| path.join("crates/agent/Cargo.toml").is_file();
    [std::path::absolute(folder), std::path::absolute(".")]
        .into_iter()
        .flatten()
        .find_map(|start| start.ancestors().find(is_clone).map(Path::to_path_buf))
        .unwrap_or_else(|| PathBuf::from("../loquat"))
}

/// Fills in what a member takes from the workspace, with the workspace's own crates as paths into `checkout`.
pub(super) fn standalone(member: &str, checkout: &Path) -> anyhow::Result<String> {
    let mut manifest: Table = toml::from_str(member)?;
    let workspace: Table = toml::from_str(WORKSPACE)?;
    let workspace = workspace.get("workspace").and_then(Value::as_table).context("no [workspace]")?;
    let table = |name: &str| workspace.get(name).and_then(Value::as_table);
    if let Some(Value::Table(package)) = manifest.get_mut("package") {
        package.retain(|_, value| value.as_table().is_none_or(|value| !value.contains_key("workspace")));
        for key in ["version", "edition"] {
            let value =
                table("package").and_then(|package| package.get(key)).context("no [workspace.package]")?;
            package.insert(key.to_owned(), value.clone());
        }
    }
    for section in ["dependencies", "dev-dependencies"] {
        let Some(Value::Table(dependencies)) = manifest.get_mut(section) else { continue };
        for (name, value) in dependencies.iter_mut() {
            let known = table("dependencies").and_then(|all| all.get(name));
            let mut full =
                known.with_context(|| format!("{name} is not in [workspace.dependencies]"))?.clone();
            if let Some(Value::String(path)) = full.get_mut("path") {
                *path = checkout.join(&*path).to_string_lossy().into_owned();
            }
            *value = full;
        }
    }
    manifest.remove("lints");
    // So that a folder around it is not taken for its workspace.
    manifest.insert("workspace".to_owned(), Value::Table(Table::new()));
    Ok(toml::to_string_pretty(&manifest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_the_workspace() {
        let member = include_str!("../../../../examples/embed-in-axum/Cargo.toml");
        let text = standalone(member, Path::new("/clone")).unwrap();
        assert!(!text.contains("workspace = true"), "{text}");
        let manifest: Table = toml::from_str(&text).unwrap();
        assert_eq!(manifest["dependencies"]["loquat-server"]["path"].as_str(), Some("/clone/crates/server"));
        assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
        assert!(manifest["workspace"].as_table().unwrap().is_empty());
    }
}
