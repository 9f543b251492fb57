//! What can be checked without a server: the document against itself and against the source text.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;

fn every_kind() -> impl Iterator<Item = (&'static str, Value)> {
    KINDS.into_iter().map(|kind| (kind, document(kind)))
}

/// Whether a value fits a schema of the document.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    let mut root = schema.clone();
    root["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&root).unwrap_or_else(|error| panic!("{place}: {error}"));
    if let Err(error) = validator.validate(value) {
        panic!("{place}: {error} at {}: {value}", error.instance_path());
    }
}

/// The frames of a stream, as the document describes one.
fn frames(stream: &Value) -> Vec<Value> {
    let frames = stream.as_str().unwrap().split_terminator("\n\n");
    frames
        .map(|frame| {
            let fields = frame.lines().map(|line| line.split_once(": ").unwrap());
            fields.map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
        })
        .collect()
}

/// Every operation with its place.
fn described(document: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((format!("{method} {path}"), operation.clone()));
        }
    }
    all
}

#[test]
fn every_example_fits_its_schema() {
    for (_, document) in every_kind() {
        let mut checked = 0;
        for (place, operation) in described(&document) {
            for (_, media) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                for (name, example) in media["examples"].as_object().unwrap() {
                    check(&document, &media["schema"], &example["value"], &format!("{place} {name}"));
                    checked += 1;
                }
            }
            for (status, answer) in operation["responses"].as_object().unwrap() {
                for (kind, media) in answer["content"].as_object().into_iter().flatten() {
                    let examples = match kind.as_str() {
                        "text/event-stream" => frames(&media["example"]),
                        _ => vec![media["example"].clone()],
                    };
                    for example in examples {
                        check(&document, &media["schema"], &example, &format!("{place} {status} {kind}"));
                        checked += 1;
                    }
                }
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if let Some(example) = parameter.get("example") {
                    check(
                        &document,
                        &parameter["schema"],
                        example,
                        &format!("{place} {}", parameter["name"]),
                    );
                    checked += 1;
                }
            }
        }
        assert!(checked > 100, "{checked}");
    }
}

#[test]
fn a_wrong_example_would_be_noticed() {
    let document = document("none");
    let schema = &document["paths"]["/sessions"]["delete"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    let wrong = std::panic::catch_unwind(|| check(&document, schema, &json!({"deleted": -1}), "wrong"));
    assert!(wrong.is_err());
    let more = std::panic::catch_unwind(|| check(&document, schema, &json!({"deleted": 1, "x": 1}), "more"));
    assert!(more.is_err());
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    for (_, document) in every_kind() {
        let text = document.to_string();
        let known: BTreeSet<&str> =
            document["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
        let used: BTreeSet<&str> = text
            .split("\"#/components/schemas/")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(known, used);
    }
}

#[test]
fn operations_have_a_name_of_their_own_a_tag_and_a_summary() {
    let document = document("api_key");
    let tags: BTreeSet<&str> = TAGS.iter().map(|(name, _)| *name).collect();
    let mut names = BTreeSet::new();
    for (place, operation) in described(&document) {
        assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{place}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{place}");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{place} never works");
        // Every part of the path is described.
        let named = operation["parameters"].as_array().into_iter().flatten();
        let named = named.filter(|parameter| parameter["in"] == "path").count();
        assert_eq!(named, place.matches('{').count(), "{place}");
    }
}

#[test]
fn credentials_are_asked_for_where_people_sign_in() {
    for (kind, document) in every_kind() {
        for operation in operations() {
            let described = &document["paths"][operation.path()][operation.method().to_ascii_lowercase()];
            let asks = described.get("security").is_some();
            assert_eq!(asks, operation.signed_in() && kind != "none", "{kind} {}", operation.path());
            let refuses = described["responses"].get("401").is_some();
            // `/metrics` may have a token of its own where nobody else needs one.
            assert!(refuses == asks || operation.path() == "/metrics", "{kind} {}", operation.path());
        }
        let schemes = document["components"].get("securitySchemes").and_then(Value::as_object);
        assert_eq!(
            schemes.map_or(0, Map::len),
            match kind {
                "none" => 0,
                "api_key" => 2,
                _ => 1,
            }
        );
    }
}

/// The source text of this crate, without tests.
fn sources(folder: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("tests") && !path.ends_with("openapi") {
                sources(&path, all);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            all.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
        }
    }
}

#[test]
fn every_code_of_the_program_is_described() {
    let mut all = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let mut used = BTreeSet::new();
    for text in &all {
        for call in ["Problem::new(", "Problem::bad("] {
            // Codes are literals: the first after the opening bracket.
            used.extend(text.split(call).skip(1).filter_map(code_in));
        }
        if text.contains("pub struct Problem {") {
            for call in ["Self::new(", "Self::bad("] {
                used.extend(text.split(call).skip(1).filter_map(code_in));
            }
        }
    }
    let described: BTreeSet<String> =
        problems::PROBLEMS.iter().map(|(code, _, _)| (*code).to_owned()).collect();
    let missing: Vec<&String> = used.difference(&described).collect();
    assert!(missing.is_empty() && used.len() > 25, "not described: {missing:?}");
    // What is described and never answered would be a lie, too. Some codes are chosen before they are used.
    for code in described {
        let literal = format!("\"{code}\"");
        assert!(all.iter().any(|text| text.contains(&literal)), "{code} is in no source file");
    }
    let document = document("api_key").to_string();
    for (code, _, _) in problems::PROBLEMS {
        let is_answered = document.contains(&format!("`{code}`: "));
        assert!(is_answered || *code == "method_not_allowed", "{code} is answered by no operation");
    }
}

fn code_in(rest: &str) -> Option<String> {
    let statement = &rest[..rest.find(';').unwrap_or(rest.len()).min(rest.len())];
    let literal = statement.split('"').nth(1)?;
    let is_code = !literal.is_empty() && literal.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_code.then(|| literal.to_owned())
}

/// The guide's tables of the `chat` protocol: every frame with every field, every route.
#[test]
fn the_guide_tells_every_frame_and_every_route() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/clients.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let (_, section) = guide.split_once("\n## The `chat` protocol\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let document = document(KINDS[0]);
    let mut told = 0;
    for frame in schemas::frame()["oneOf"].as_array().unwrap() {
        let name = match frame["properties"]["event"]["const"].as_str().unwrap() {
            "message" => "none".to_owned(),
            name => format!("`{name}`"),
        };
        let row = section.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/clients.md"));
        let reference = frame["properties"]["data"]["contentSchema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
        for field in schema["properties"].as_object().unwrap().keys() {
            assert!(row.contains(&format!("`{field}`")), "{field} of {name} is not in docs/clients.md");
            told += 1;
        }
    }
    assert!(told > 40, "{told}");
    let others = ["/a2a/", "/v1/", "/api/", "/.well-known/", "/ag-ui", "/mcp", "/invocations", "/ping"];
    for (place, _) in described(&document) {
        let (method, path) = place.split_once(' ').unwrap();
        if path == "/" || path.starts_with("/c/") || others.iter().any(|other| path.starts_with(other)) {
            continue;
        }
        let route = format!("`{} {path}`", method.to_uppercase());
        assert!(section.contains(&route), "{route} is not in docs/clients.md");
    }
    let body = &document["components"]["schemas"]["ChatRequest"]["properties"];
    for field in body.as_object().expect("the body of POST /chat").keys() {
        assert!(section.contains(&format!("\n| `{field}` |")), "{field} is not in docs/clients.md");
    }
}
