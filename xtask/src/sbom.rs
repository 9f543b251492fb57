//! The list of a release's parts, as a CycloneDX document: the crates that are linked into the program, with their
//! licences, checksums and who needs whom, and the npm packages that its page is built from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::program::{capture, program, root};

/// The document for a platform.
pub(crate) fn text(target: &str) -> Result<Vec<u8>> {
    let metadata = ["metadata", "--format-version", "1", "--locked", "--filter-platform", target];
    let metadata: Value = serde_json::from_str(&capture(&mut program("cargo", metadata))?)?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let page = std::fs::read_to_string(root().join("web/package-lock.json"))?;
    let mut text = serde_json::to_vec_pretty(&document(&metadata, &lock, &serde_json::from_str(&page)?)?)?;
    text.push(b'\n');
    Ok(text)
}

fn document(metadata: &Value, lock: &str, page: &Value) -> Result<Value> {
    let packages: BTreeMap<&str, &Value> =
        list(metadata, "packages").filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let needs = linked(metadata);
    let program = packages
        .iter()
        .find(|(_, package)| package["name"] == "loquat")
        .map(|(id, _)| *id)
        .context("cargo metadata does not know the program")?;
    let mut reached = BTreeSet::from([program]);
    let mut ahead = vec![program];
    while let Some(id) = ahead.pop() {
        ahead.extend(needs.get(id).into_iter().flatten().filter(|needed| reached.insert(needed)));
    }
    if reached.len() < 2 {
        bail!("cargo metadata named no dependencies");
    }
    let reference = |id: &str| purl(packages.get(id).copied().unwrap_or(&Value::Null));
    let checksums = checksums(lock);
    let mut components: Vec<Value> = Vec::new();
    let mut dependencies: Vec<Value> = Vec::new();
    let page = page_parts(page);
    for id in &reached {
        let mut on: BTreeSet<String> =
            needs.get(id).into_iter().flatten().map(|needed| reference(needed)).collect();
        if *id == program {
            on.extend(page.iter().filter_map(|part| part["bom-ref"].as_str()).map(str::to_owned));
        } else {
            components.push(component(packages[id], &checksums));
        }
        dependencies.push(json!({ "ref": reference(id), "dependsOn": on }));
    }
    dependencies.extend(page.iter().map(|part| json!({ "ref": part["bom-ref"] })));
    components.extend(page);
    components.sort_by_key(|component| component["purl"].to_string());
    dependencies.sort_by_key(|dependency| dependency["ref"].to_string());
    let package = packages[program];
    let about = json!({
        "type": "application", "bom-ref": purl(package), "name": "loquat", "version": package["version"],
        "licenses": [{ "license": { "id": package["license"] } }],
    });
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": { "component": about },
        "components": components, "dependencies": dependencies,
    }))
}

/// Which packages are linked into which: dependencies of the normal kind, by id.
fn linked(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    list(&metadata["resolve"], "nodes")
        .filter_map(|node| {
            let needs = list(node, "deps")
                .filter(|needed| list(needed, "dep_kinds").any(|kind| kind["kind"].is_null()));
            Some((node["id"].as_str()?, needs.filter_map(|needed| needed["pkg"].as_str()).collect()))
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn purl(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let mut component = json!({
        "type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"],
        "purl": purl(package),
    });
    if let Some(license) = package["license"].as_str() {
        // The old way to write a choice.
        let choices: Vec<&str> = license.split('/').map(str::trim).collect();
        component["licenses"] = json!([{ "expression": choices.join(" OR ") }]);
    }
    if let Some(sum) = checksums.get(&(text("name"), text("version"))) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    if let Some(url) = package["repository"].as_str() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
    }
    component
}

/// The checksums in Cargo.lock, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let field = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
    };
    lock.split("[[package]]")
        .filter_map(|entry| {
            Some(((field(entry, "name")?, field(entry, "version")?), field(entry, "checksum")?))
        })
        .collect()
}

/// The npm packages that are not for development only.
fn page_parts(lock: &Value) -> Vec<Value> {
    let none = Map::new();
    let packages = lock["packages"].as_object().unwrap_or(&none);
    let mut parts: BTreeMap<String, Value> = BTreeMap::new();
    for (path, package) in packages {
        let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
        let development = ["dev", "devOptional"].iter().any(|mark| package[*mark] == true);
        let Some(version) = package["version"].as_str().filter(|_| !development) else { continue };
        let purl = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
        let mut part = json!({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
        });
        if let Some(license) = package["license"].as_str() {
            part["licenses"] = json!([{ "expression": license }]);
        }
        parts.insert(purl, part);
    }
    parts.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> Value {
        serde_json::from_slice(&text("x86_64-unknown-linux-gnu").unwrap()).unwrap()
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_is_not() {
        let document = made();
        let names: BTreeSet<&str> =
            list(&document, "components").filter_map(|c| c["name"].as_str()).collect();
        for wanted in ["axum", "ring", "rusqlite", "react"] {
            assert!(names.contains(wanted), "{wanted} is missing");
        }
        for unwanted in ["insta", "proptest", "vite", "typescript", "loquat", "loquat-bench"] {
            assert!(!names.contains(unwanted), "{unwanted} is no part of a release");
        }
        let axum = list(&document, "components").find(|c| c["name"] == "axum").unwrap();
        assert_eq!(axum["licenses"][0]["expression"], "MIT");
        assert_eq!(axum["hashes"][0]["content"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn every_reference_leads_to_a_part_and_the_same_tree_is_the_same_document() {
        let document = made();
        let mut refs: BTreeSet<&str> =
            list(&document, "components").filter_map(|c| c["bom-ref"].as_str()).collect();
        assert_eq!(refs.len(), list(&document, "components").count(), "each part once");
        refs.insert(document["metadata"]["component"]["bom-ref"].as_str().unwrap());
        for dependency in list(&document, "dependencies") {
            let on = list(dependency, "dependsOn").filter_map(Value::as_str);
            for named in on.chain(dependency["ref"].as_str()) {
                assert!(refs.contains(named), "{named}");
            }
        }
        assert_eq!(document, made());
    }
}
