//! What was expected where the file says something else, in words for people: serde's are about Rust's types.

/// What is expected, from the message of an error of the file's parser.
pub(super) fn of(message: &str) -> String {
    let message = message.trim();
    if let Some(field) = message.strip_prefix("unknown field ") {
        return known_setting(field);
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{field} beside it");
    }
    let wrong = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
    match message.rsplit_once("expected ").filter(|_| wrong.iter().any(|kind| message.starts_with(kind))) {
        Some((_, words)) => in_words(words).replace('`', ""),
        None => format!("TOML ({message})"),
    }
}

/// `` `modell`, expected one of `model`, … ``
fn known_setting(field: &str) -> String {
    let (written, known) = field.split_once(", expected ").unwrap_or((field, ""));
    let written = written.trim_matches('`');
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let likely = known.iter().max_by(|a, b| strsim::jaro(a, written).total_cmp(&strsim::jaro(b, written)));
    match likely {
        Some(likely) => {
            format!("a setting that Loquat knows (did you mean {likely}?), one of {}", known.join(", "))
        }
        None => "nothing: there are no settings here".to_owned(),
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number, which may be negative",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "string" | "path string" => "a text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        table if table.starts_with("struct ") => "a table",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_in_words() {
        for (message, expected) in [
            ("invalid type: string \"abc\", expected u64\n", "a whole number"),
            ("invalid type: integer `3`, expected a string", "a text in quotes"),
            ("invalid type: map, expected a sequence", "a list in [ ]"),
            ("invalid value: integer `-1`, expected u32", "a whole number"),
            ("unknown variant `maybe`, expected `text` or `json`", "text or json"),
            ("unknown variant `maybe`, expected one of `a`, `b`", "one of a, b"),
            ("missing field `output`", "`output` beside it"),
            (
                "unknown field `modell`, expected one of `host`, `model`",
                "a setting that Loquat knows (did you mean model?), one of host, model",
            ),
            ("unclosed array, expected `]`", "TOML (unclosed array, expected `]`)"),
        ] {
            assert_eq!(of(message), expected, "{message}");
        }
    }
}
