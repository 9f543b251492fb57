//! How deep JSON is nested, without reading it.

/// Whether brackets are nested deeper than `limit`. Text that is no JSON may give any answer; it will be refused for
/// that by whoever reads it.
#[must_use]
pub fn is_deeper_than(json: &[u8], limit: u32) -> bool {
    let mut depth = 0_u32;
    let mut in_string = false;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_of_text_only() {
        for (json, depth) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{"b":[]}]}"#, 4),
            (r#"["[[[[",[]]"#, 2),
            (r#"["\"[[[[",1]"#, 1),
            (r#"{"\\":[[]]}"#, 3),
        ] {
            assert!(!is_deeper_than(json.as_bytes(), depth), "{json}");
            assert!(depth == 0 || is_deeper_than(json.as_bytes(), depth - 1), "{json}");
        }
        assert!(is_deeper_than("[".repeat(1_000_000).as_bytes(), 64));
    }
}
