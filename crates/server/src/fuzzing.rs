//! Doors for fuzzers to what reads hostile input before anybody is signed in, or right after. Each takes any bytes and
//! must neither panic nor take long; what it must hold beyond that, it asserts. `cargo xtask fuzz` looks for inputs
//! that break them (`fuzz/`), and a test here tries all that were kept.

use axum::extract::Query;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

use crate::dialects::ag_ui::input::RunAgentInput;
use crate::http::chat::ChatRequest;
use crate::http::runs::EventsQuery;
use crate::http::{ag_ui, json, runs};
use crate::limits::{content_type, is_deeper_than};
use crate::tools;

/// A door: its name, and what is behind it.
pub type Door = (&'static str, fn(&[u8]));

/// All of them.
pub const DOORS: &[Door] = &[
    ("jwt_header", jwt_header),
    ("chat_body", chat_body),
    ("ag_ui_input", ag_ui_input),
    ("resume_cursor", resume_cursor),
    ("tools_config", tools_config),
    ("openapi_document", openapi_document),
];

/// The `Authorization` header: what of it is read before the signature is checked.
pub fn jwt_header(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    crate::auth::look_at(&headers);
}

/// The body of `POST /chat`: depth, form, and the kinds of its attachments.
pub fn chat_body(data: &[u8]) {
    if is_deeper_than(data, 64) {
        return;
    }
    // Nothing that passes the measure is too deep for what comes after it.
    if let Ok(body) = json::parse::<ChatRequest>(data) {
        body.look_at();
    }
    // A file is told by its bytes; the first line stands for what the client says it is.
    let claimed = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let kind = content_type(data, &String::from_utf8_lossy(claimed));
    assert!(kind.is_none_or(|kind| !kind.starts_with("text/") || std::str::from_utf8(data).is_ok()));
}

/// The body of `POST /ag-ui`, against conversations that are stored: what of it is new, its tools, its files.
pub fn ag_ui_input(data: &[u8]) {
    if is_deeper_than(data, 64) {
        return;
    }
    if let Ok(input) = json::parse::<RunAgentInput>(data) {
        ag_ui::look_at(&input);
    }
}

/// Where a stream is taken up again: the query, and on a second line `Last-Event-ID`.
pub fn resume_cursor(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let query = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    if let Some(Ok(value)) = lines.next().map(HeaderValue::from_bytes) {
        headers.insert(HeaderName::from_static("last-event-id"), value);
    }
    let Ok(uri) = format!("/runs/r/events?{query}").parse::<Uri>() else { return };
    let Ok(Query(query)) = Query::<EventsQuery>::try_from_uri(&uri) else { return };
    let after = query.after();
    if let Ok(cursor) = runs::cursor(after, &headers) {
        assert!(cursor >= after.unwrap_or_default());
    }
}

/// The variable `TOOLS_CONFIG`.
pub fn tools_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = tools::config::parse_tools_config(text);
}

/// The document of an `[[openapi]]` table, JSON or YAML.
pub fn openapi_document(data: &[u8]) {
    tools::look_at_document(data);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_input_that_was_kept_is_survived() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, door) in DOORS {
            let mut tried = 0;
            for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
                let path = entry.unwrap().path();
                let data = std::fs::read(&path).unwrap();
                door(&data);
                // What is cut off in the middle, too.
                for end in 0..data.len().min(2_000) {
                    door(&data[..end]);
                }
                tried += 1;
            }
            assert!(tried >= 3, "{name} has {tried} inputs");
        }
        let kept = std::fs::read_dir(corpus).unwrap().count();
        assert_eq!(kept, DOORS.len(), "each folder of inputs has its door");
    }
}
