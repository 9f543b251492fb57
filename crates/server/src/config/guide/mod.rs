//! Keeps docs/configuration.md current: every key of `loquat.toml` with type, default, variable and example, made from
//! the types in [`super::raw`] and their comments.

mod facts;
mod source;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use self::facts::{FACTS, Fact};
use self::source::{Field, Types};
use super::Config;
use super::env::VARIABLES;

const BEGIN: &str = "<!-- keys: made from the types by a test of crates/server/src/config/guide -->\n";
const END: &str = "<!-- end of keys -->\n";

/// Where the types are.
const SOURCES: &[&str] = &[
    "crates/server/src/config/raw.rs",
    "crates/server/src/config/telemetry.rs",
    "crates/server/src/auth/config.rs",
    "crates/server/src/auth/api_key.rs",
    "crates/server/src/limits/config.rs",
    "crates/server/src/dialects/config.rs",
    "crates/server/src/http/security.rs",
    "crates/server/src/models/config.rs",
    "crates/server/src/runs/engine.rs",
    "crates/server/src/runs/engine/request.rs",
    "crates/server/src/tools/config/mod.rs",
    "crates/agent/src/model.rs",
];

/// One table of the file.
struct Table {
    /// Its header, as it is written: `[auth]`, `[[mcp]]`, `[tool.NAME]`; empty for the top.
    header: String,
    /// Its keys: path, and the field.
    rows: Vec<(String, Field)>,
}

/// All tables below a type, itself first. `place` is `path` as it is written in a header.
fn tables(types: &Types, name: &str, path: &str, place: &str, header: &str, found: &mut Vec<Table>) {
    let fields = types.structs.get(name).unwrap_or_else(|| panic!("{name} is in none of SOURCES"));
    let at = found.len();
    found.push(Table { header: header.to_owned(), rows: Vec::new() });
    for field in fields {
        let below =
            |of: &str| if of.is_empty() { field.name.clone() } else { format!("{of}.{}", field.name) };
        let (key, place) = (below(path), below(place));
        match nested(types, &field.kind) {
            Some((inner, Shape::Table)) => tables(types, inner, &key, &place, &format!("[{place}]"), found),
            Some((inner, Shape::List)) => tables(types, inner, &key, &place, &format!("[[{place}]]"), found),
            Some((inner, Shape::Named)) => {
                let place = format!("{place}.NAME");
                tables(types, inner, &key, &place, &format!("[{place}]"), found);
            }
            None => found[at].rows.push((key, field.clone())),
        }
    }
}

enum Shape {
    Table,
    List,
    Named,
}

/// The struct in a field's type that is a table of its own.
fn nested<'a>(types: &Types, kind: &'a str) -> Option<(&'a str, Shape)> {
    let inside = |wrapper: &str| kind.strip_prefix(wrapper)?.strip_suffix('>');
    let (name, shape) = match (inside("Vec<"), inside("BTreeMap<String, "), inside("Option<")) {
        (Some(name), _, _) => (name, Shape::List),
        (_, Some(name), _) => (name, Shape::Named),
        (_, _, Some(name)) => (name, Shape::Table),
        _ => (kind, Shape::Table),
    };
    // These are written in one line.
    let is_table = types.structs.contains_key(name) && !matches!(name, "NamedKey" | "ToolObject");
    is_table.then_some((name, shape))
}

/// A type in words.
fn words(types: &Types, kind: &str) -> String {
    let inside = |wrapper: &str| kind.strip_prefix(wrapper)?.strip_suffix('>');
    if let Some(inner) = inside("Option<") {
        return words(types, inner);
    }
    if let Some(inner) = inside("Vec<") {
        return format!("list of {}", words(types, inner));
    }
    if let Some(inner) = inside("BTreeMap<String, ") {
        return format!("table of {}", words(types, inner));
    }
    if kind == "Approval" {
        return "`true`, `false`, `\"untrusted\"`".to_owned();
    }
    if kind == "OutputForm" {
        return "`\"json\"`, `{ schema = { name, schema, … } }`".to_owned();
    }
    if kind == "ToolChoice" {
        return "`\"required\"`, `{ tool = \"NAME\" }`".to_owned();
    }
    if let Some(words) = types.enums.get(kind) {
        return words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
    }
    match kind {
        "bool" => "`true`, `false`",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "whole number",
        "f32" | "f64" => "number",
        "String" | "Secret" => "text",
        "PathBuf" => "path",
        "IpAddr" => "address",
        "NamedKey" => "`{ name, sha256 }`",
        "ToolObject" => "`{ bucketName, key, isFile, isZipArchive }`",
        "Value" | "Map<String, Value>" => "any table",
        other => panic!("how is {other} written?"),
    }
    .to_owned()
}

fn fact(key: &str) -> &'static Fact {
    FACTS
        .iter()
        .find(|fact| fact.key == key)
        .unwrap_or_else(|| panic!("`{key}` has no default and example: add it to config/guide/facts.rs"))
}

fn all() -> (Types, Vec<Table>) {
    let mut types = Types::default();
    SOURCES.iter().for_each(|path| types.read(path));
    let mut found = Vec::new();
    tables(&types, "RawConfig", "", "", "", &mut found);
    // The file's own order of tables and keys: what is at the top comes first.
    found.retain(|table| !table.rows.is_empty());
    (types, found)
}

fn page() -> String {
    let (types, found) = all();
    let variables: BTreeMap<&str, &str> =
        VARIABLES.iter().map(|variable| (variable.key, variable.name)).collect();
    let mut text = String::new();
    for table in found {
        let title = if table.header.is_empty() {
            "Keys at the top".to_owned()
        } else {
            format!("`{}`", table.header)
        };
        let _ = writeln!(text, "### {title}\n");
        text.push_str(
            "| key, with an example | type | default | variable | meaning |\n|---|---|---|---|---|\n",
        );
        for (key, field) in table.rows {
            let fact = fact(&key);
            let variable = variables.get(key.as_str()).map(|name| format!("`{name}`")).unwrap_or_default();
            let default = match fact.default.strip_prefix('=') {
                Some(value) => format!("`{value}`"),
                None => fact.default.to_owned(),
            };
            let cells = [
                format!("`{} = {}`", field.name, fact.example),
                words(&types, &field.kind),
                default,
                variable,
                field.doc,
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_guide_lists_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let current = format!("{before}{BEGIN}\n{}{END}{after}", page());
    if text != current {
        std::fs::write(&path, current).unwrap();
        panic!("docs/configuration.md was stale and is written anew: look at it, and commit it");
    }
}

/// A variable whose key is gone would be listed nowhere.
#[test]
fn every_variable_and_every_fact_belongs_to_a_key() {
    let (_, found) = all();
    let keys: Vec<&str> = found.iter().flat_map(|table| &table.rows).map(|(key, _)| key.as_str()).collect();
    for name in VARIABLES.iter().map(|variable| variable.key).chain(FACTS.iter().map(|fact| fact.key)) {
        assert!(keys.contains(&name), "there is no key {name}");
    }
}

fn load(text: &str) -> Result<Config, String> {
    let env = [("HOME", "/home/ada"), ("VLLM_KEY", "k")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Config::from_text(text, Some(&env)).map_err(|error| error.to_string())
}

/// The lines that say a key's value, in its table.
fn written(header: &str, key: &str, value: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    format!("{}\n{name} = {value}\n", header.replace("NAME", "one"))
}

#[test]
fn every_example_can_be_written_so() {
    let (_, found) = all();
    for table in &found {
        for (key, _) in &table.rows {
            let (before, after) = facts::around(key);
            let text = format!("{before}{}{after}", written(&table.header, key, fact(key).example));
            toml::from_str::<super::raw::RawConfig>(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

/// A default that is a value changes nothing when it is written.
#[test]
fn every_default_is_the_default() {
    let (_, found) = all();
    for table in
        found.iter().filter(|table| !table.header.starts_with("[[") && !table.header.contains("NAME"))
    {
        for (key, _) in &table.rows {
            let Some(value) = fact(key).default.strip_prefix('=') else { continue };
            let with = load(&written(&table.header, key, value));
            let without = load(&table.header);
            let shown = |config: Result<Config, String>| {
                format!("{:?}", config.unwrap_or_else(|error| panic!("{key}: {error}")))
            };
            assert_eq!(shown(with), shown(without), "{key}");
        }
    }
}
