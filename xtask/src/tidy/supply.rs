//! What we depend on, held to `deny.toml` on every machine: licences, crates that are banned, two versions of one of which
//! there may be one, and where crates come from. `cargo deny` reads the same file and knows more (`cargo xtask deny`).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::program::{capture, program, root};

/// The one place that crates come from, as Cargo calls it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Adds a line for each breach.
pub(super) fn check(breaches: &mut Vec<String>) -> Result<()> {
    let rules = std::fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let rules: toml::Table = rules.parse().context("deny.toml cannot be read")?;
    let metadata = |more: &[&str]| -> Result<Value> {
        let text = capture(program("cargo", ["metadata", "--format-version", "1"]).args(more))?;
        serde_json::from_str(&text).context("cargo metadata is not JSON")
    };
    breaches.extend(judge(&rules, &metadata(&["--all-features"])?));
    // A workspace of its own, whose lock file nothing else holds to ours.
    match metadata(&["--locked", "--manifest-path", "fuzz/Cargo.toml"]) {
        Ok(metadata) => breaches.extend(judge(&rules, &metadata)),
        Err(error) => breaches.push(format!(
            "fuzz/Cargo.lock does not fit the manifests; `cargo metadata --manifest-path fuzz/Cargo.toml` mends it: {error:#}"
        )),
    }
    Ok(())
}

fn judge(rules: &toml::Table, metadata: &Value) -> Vec<String> {
    let list = |table: &str, key: &str| rules.get(table)?.get(key)?.as_array();
    let allowed: BTreeSet<&str> =
        list("licenses", "allow").into_iter().flatten().filter_map(toml::Value::as_str).collect();
    let banned = list("bans", "deny").map_or(&[][..], Vec::as_slice);
    let mut breaches = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |name: &str| package[name].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        versions.entry(name).or_default().insert(version);
        match text("license") {
            "" => breaches.push(format!("{name} {version} says no licence")),
            licence if !is_allowed(licence, &allowed) => {
                breaches.push(format!(
                    "{name} {version} has the licence {licence}, which deny.toml does not allow"
                ));
            }
            _ => {}
        }
        if let Some(source) = package["source"].as_str()
            && source != REGISTRY
        {
            breaches.push(format!("{name} {version} comes from {source}"));
        }
    }
    for rule in banned {
        let Some(name) = rule.get("crate").and_then(toml::Value::as_str) else { continue };
        let reason = rule.get("reason").and_then(toml::Value::as_str).unwrap_or_default();
        let once = rule.get("deny-multiple-versions").and_then(toml::Value::as_bool) == Some(true);
        match versions.get(name) {
            Some(_) if !once => breaches.push(format!("{name} is banned: {reason}")),
            Some(several) if several.len() > 1 => {
                breaches.push(format!("{name} is there in {} versions: {reason}", several.len()));
            }
            _ => {}
        }
    }
    breaches
}

/// Whether an expression of SPDX can be met with these licences. `/` is what `OR` was once.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, allowed);
    // What is left over was not understood.
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    match words.next() {
        Some("(") => {
            let met = any(words, allowed);
            met && words.next() == Some(")")
        }
        Some(name) => match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
            Some(exception) => allowed.contains(format!("{name} WITH {exception}").as_str()),
            None => allowed.contains(name),
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_expression_is_met_or_not() {
        let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "(GPL-3.0 OR MIT) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-3.0 AND X OR MIT",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MIT WITH X", "(MIT", "MIT)", "GPL-3.0 OR (MIT AND X)"]
        {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn each_rule_is_seen() {
        let rules: toml::Table =
            "[licenses]\nallow = ['MIT']\n[bans]\ndeny = [{ crate = 'bad', reason = 'r' }, \
            { crate = 'one', deny-multiple-versions = true, reason = 'r' }]"
                .parse()
                .unwrap();
        let package = |name: &str, version: &str, licence: &str, source: &str| json!({"name": name, "version": version, "license": licence, "source": source});
        let metadata = json!({"packages": [
            package("a", "1", "GPL-3.0", REGISTRY),
            package("b", "1", "", REGISTRY),
            package("c", "1", "MIT", "git+https://example.org/c"),
            package("bad", "1", "MIT", REGISTRY),
            package("one", "1", "MIT", REGISTRY),
            package("one", "2", "MIT", REGISTRY),
            package("two", "1", "MIT", REGISTRY),
            package("two", "2", "MIT", REGISTRY),
        ]});
        assert_eq!(
            judge(&rules, &metadata),
            [
                "a 1 has the licence GPL-3.0, which deny.toml does not allow",
                "b 1 says no licence",
                "c 1 comes from git+https://example.org/c",
                "bad is banned: r",
                "one is there in 2 versions: r",
            ]
        );
    }
}
