//! A template as text: JSON and YAML, the same bytes for the same settings on every machine.
//!
//! Named entries keep the order of the strategies; inside them keys are sorted, whatever map `serde_json` was
//! built with.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Section, Template};

/// The template as JSON, indented.
pub fn to_json(template: &Template) -> String {
    let mut out = String::from("{\n");
    for (index, (name, section)) in template.sections.iter().enumerate() {
        let comma = if index + 1 < template.sections.len() { "," } else { "" };
        match section {
            Section::Text(text) => {
                let _ = writeln!(out, "  {}: {}{comma}", quote(name), quote(text));
            }
            Section::Entries(entries) => {
                let _ = writeln!(out, "  {}: {{", quote(name));
                for (index, (id, value)) in entries.iter().enumerate() {
                    let _ = write!(out, "    {}: ", quote(id));
                    json(&mut out, value, 4);
                    out.push_str(if index + 1 < entries.len() { ",\n" } else { "\n" });
                }
                let _ = writeln!(out, "  }}{comma}");
            }
        }
    }
    out.push_str("}\n");
    out
}

/// The template as JSON on one line, for CloudFormation's size limit.
pub fn to_compact_json(template: &Template) -> String {
    canonical(&template.to_value())
}

/// The template as YAML.
pub fn to_yaml(template: &Template) -> String {
    let mut out = String::new();
    for (name, section) in &template.sections {
        match section {
            Section::Text(text) => {
                let _ = writeln!(out, "{name}: {}", scalar(text));
            }
            Section::Entries(entries) => {
                let _ = writeln!(out, "{name}:");
                for (id, value) in entries {
                    let _ = write!(out, "  {}:", scalar(id));
                    yaml(&mut out, value, 4);
                }
            }
        }
    }
    out
}

/// A value on one line with sorted keys, for digests and embedded documents.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let items: Vec<String> = sorted(map)
                .into_iter()
                .map(|(key, value)| format!("{}:{}", quote(key), canonical(value)))
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

fn sorted(map: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    // `Type` first, as everybody writes it; CloudFormation does not mind.
    entries.sort_by_key(|(key, _)| (key.as_str() != "Type", key.as_str()));
    entries
}

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

fn json(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push_str("{\n");
            let entries = sorted(map);
            let last = entries.len() - 1;
            for (index, (key, value)) in entries.into_iter().enumerate() {
                let _ = write!(out, "{:1$}{2}: ", "", indent + 2, quote(key));
                json(out, value, indent + 2);
                out.push_str(if index < last { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{:1$}}}", "", indent);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                let _ = write!(out, "{:1$}", "", indent + 2);
                json(out, item, indent + 2);
                out.push_str(if index + 1 < items.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{:1$}]", "", indent);
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Writes a value after `key:` or `-`, with its line end.
fn yaml(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            for (key, value) in sorted(map) {
                let _ = write!(out, "{:1$}{2}:", "", indent, scalar(key));
                yaml(out, value, indent + 2);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                let _ = write!(out, "{:1$}-", "", indent);
                list_item(out, item, indent + 2);
            }
        }
        Value::String(text) => {
            let _ = writeln!(out, " {}", scalar(text));
        }
        other => {
            let _ = writeln!(out, " {other}");
        }
    }
}

/// A mapping in a list starts on the dash's line.
fn list_item(out: &mut String, item: &Value, indent: usize) {
    match item {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in sorted(map).into_iter().enumerate() {
                if index == 0 {
                    let _ = write!(out, " {}:", scalar(key));
                } else {
                    let _ = write!(out, "{:1$}{2}:", "", indent, scalar(key));
                }
                yaml(out, value, indent + 2);
            }
        }
        other => yaml(out, other, indent),
    }
}

/// A string plain where YAML cannot take it for something else, else in JSON's quotes, which YAML reads.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_/.:+".contains(c))
        && !text.ends_with(':')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
        );
    if plain { text.into() } else { quote(text) }
}
