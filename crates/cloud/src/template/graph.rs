//! What refers to what in a template: names that are not there, and circles, which CloudFormation refuses only when the
//! stack is on its way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Adds what a template breaks, in words.
pub(super) fn check(template: &Value, findings: &mut Vec<String>) {
    let entries = |section: &str| template[section].as_object().into_iter().flatten();
    let parameters: BTreeSet<&str> = entries("Parameters").map(|(name, _)| name.as_str()).collect();
    let mut edges: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (id, resource) in entries("Resources") {
        let mut names = BTreeSet::new();
        references(resource, &mut names);
        edges.insert(id, names);
    }
    for (id, names) in &mut edges {
        names.retain(|name| !name.starts_with("AWS::") && !parameters.contains(name.as_str()));
        findings.extend(
            names
                .iter()
                .filter(|name| template["Resources"].get(name.as_str()).is_none())
                .map(|name| format!("{id}: refers to {name}, which the template does not have")),
        );
    }
    if let Some(circle) = circle(&edges) {
        findings.push(format!("resources that wait for each other: {}", circle.join(" -> ")));
    }
}

/// Collects the resources and parameters that a value names.
fn references(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("Ref", Value::String(name)) => {
                        names.insert(name.clone());
                    }
                    ("Fn::GetAtt", Value::Array(parts)) => {
                        names.extend(parts.first().and_then(Value::as_str).map(str::to_owned));
                    }
                    ("Fn::GetAtt", Value::String(name)) => {
                        names.extend(name.split('.').next().map(str::to_owned));
                    }
                    ("Fn::Sub", Value::String(text)) => substituted(text, &[], names),
                    ("Fn::Sub", Value::Array(parts)) => {
                        let own = parts.get(1).and_then(Value::as_object);
                        let own: Vec<&str> =
                            own.into_iter().flat_map(|map| map.keys().map(String::as_str)).collect();
                        substituted(parts.first().and_then(Value::as_str).unwrap_or_default(), &own, names);
                        parts.iter().skip(1).for_each(|part| references(part, names));
                    }
                    ("DependsOn", Value::String(name)) => {
                        names.insert(name.clone());
                    }
                    ("DependsOn", Value::Array(list)) => {
                        names.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => references(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

/// The names in `${Name}` and `${Name.Attribute}`, without those that the function brings itself.
fn substituted(text: &str, own: &[&str], names: &mut BTreeSet<String>) {
    for piece in text.split("${").skip(1) {
        let Some((inside, _)) = piece.split_once('}') else { continue };
        let name = inside.split('.').next().unwrap_or_default();
        // `${!Name}` is text.
        if !name.starts_with('!') && !own.contains(&name) {
            names.insert(name.to_owned());
        }
    }
}

/// Some circle, from a resource back to itself.
fn circle(edges: &BTreeMap<&str, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        id: &str,
        edges: &BTreeMap<&str, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|known| known == id) {
            way.push(id.to_owned());
            return Some(way.split_off(start));
        }
        if done.contains(id) {
            return None;
        }
        way.push(id.to_owned());
        for next in edges.get(id).into_iter().flatten() {
            if let Some(found) = visit(next, edges, way, done) {
                return Some(found);
            }
        }
        way.pop();
        done.insert(id.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|id| visit(id, edges, &mut Vec::new(), &mut done))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    fn findings(resources: &serde_json::Value) -> Vec<String> {
        let mut findings = Vec::new();
        check(&json!({ "Parameters": { "P": {} }, "Resources": resources }), &mut findings);
        findings
    }

    #[test]
    fn names_of_every_spelling_are_followed() {
        for spelling in [
            json!({ "Ref": "B" }),
            json!({ "Fn::GetAtt": ["B", "Arn"] }),
            json!({ "Fn::GetAtt": "B.Arn" }),
            json!({ "Fn::Sub": "x${B.Arn}y${AWS::Region}${P}${!C}" }),
            json!({ "Fn::Sub": ["${Own}${B}", { "Own": { "Ref": "P" } }] }),
            json!({ "Fn::Sub": ["${Own}", { "Own": { "Ref": "B" } }] }),
        ] {
            let alone = findings(&json!({ "A": { "Properties": { "X": [spelling] } } }));
            assert_eq!(alone, ["A: refers to B, which the template does not have"], "{spelling}");
            let circle = findings(&json!({ "A": { "Properties": [spelling] }, "B": { "DependsOn": "A" } }));
            assert_eq!(circle, ["resources that wait for each other: A -> B -> A"], "{spelling}");
            let sound =
                findings(&json!({ "A": { "Properties": [spelling] }, "B": { "DependsOn": ["C"] }, "C": {} }));
            assert_eq!(sound, [""; 0], "{spelling}");
        }
    }
}
