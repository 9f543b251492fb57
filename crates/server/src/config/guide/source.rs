//! Reads the configuration's types from their source: the fields of structs with their comments, the words of enums.
//! The sources are formatted by rustfmt, so lines are enough.

use std::collections::BTreeMap;
use std::path::Path;

/// A field of a struct.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// The type, as written.
    pub(super) kind: String,
    /// Its comment, in one line.
    pub(super) doc: String,
}

/// All types of some files.
#[derive(Default)]
pub(super) struct Types {
    pub(super) structs: BTreeMap<String, Vec<Field>>,
    /// The words that may be written for an enum.
    pub(super) enums: BTreeMap<String, Vec<String>>,
}

impl Types {
    /// Adds the types of a file (a path from the repository's root).
    pub(super) fn read(&mut self, path: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut lines = text.lines();
        let mut attributes = Vec::new();
        while let Some(line) = lines.next() {
            if line.starts_with("#[") {
                attributes.push(line);
                continue;
            }
            let opening = |word: &str| line.strip_prefix(word)?.strip_suffix(" {");
            if let Some(name) = opening("pub struct ") {
                let fields = body(&mut lines).into_iter().filter_map(|item| field(&item)).collect();
                self.structs.insert(name.to_owned(), fields);
            } else if let Some(name) = opening("pub enum ") {
                let case = attributes.iter().find_map(|line| quoted(line, "rename_all"));
                let words = body(&mut lines).iter().filter_map(|item| variant(item, case)).collect();
                self.enums.insert(name.to_owned(), words);
            }
            attributes.clear();
        }
    }
}

/// An item of a body with what stands above it.
struct Item<'a> {
    doc: String,
    attributes: Vec<&'a str>,
    line: &'a str,
}

fn body<'a>(lines: &mut std::str::Lines<'a>) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    let (mut doc, mut attributes) = (String::new(), Vec::new());
    for line in lines.take_while(|line| *line != "}") {
        // What is deeper is inside a variant.
        let Some(line) = line.strip_prefix("    ").filter(|line| !line.starts_with([' ', '}'])) else {
            continue;
        };
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else if line.starts_with('#') {
            attributes.push(line);
        } else {
            let (doc, attributes) = (std::mem::take(&mut doc), std::mem::take(&mut attributes));
            items.push(Item { doc: doc.trim().to_owned(), attributes, line });
        }
    }
    items
}

fn field(item: &Item<'_>) -> Option<Field> {
    let (name, kind) = item.line.strip_prefix("pub ")?.strip_suffix(',')?.split_once(": ")?;
    let renamed = item.attributes.iter().find_map(|line| quoted(line, "rename"));
    (!name.starts_with('_')).then(|| Field {
        name: renamed.unwrap_or(name).to_owned(),
        kind: kind.to_owned(),
        doc: item.doc.clone(),
    })
}

fn variant(item: &Item<'_>, case: Option<&str>) -> Option<String> {
    let name = item.line.strip_suffix(',')?;
    if let Some(renamed) = item.attributes.iter().find_map(|line| quoted(line, "rename")) {
        return Some(renamed.to_owned());
    }
    let between = match case {
        Some("snake_case") => "_",
        Some("kebab-case") => "-",
        Some("lowercase") => "",
        _ => return Some(name.to_owned()),
    };
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push_str(between);
        }
        word.extend(letter.to_lowercase());
    }
    Some(word)
}

/// `value` of `key = "value"` in an attribute.
fn quoted<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("{key} = \""))?;
    rest.split('"').next()
}
