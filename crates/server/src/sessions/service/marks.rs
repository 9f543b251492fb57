//! What is noted beside a message about its run, and found again.

use jiff::Timestamp;
use loquat_agent::message::Message;
use serde_json::Value;

use crate::ids::RunId;
use crate::sessions::document::{Document, Unreadable};

/// Notes beside a user's message which run answers it.
pub(super) fn note_start(message: &mut Message, run_id: &RunId, now: Timestamp) {
    message.metadata.insert("run_id".into(), run_id.as_str().into());
    message.metadata.insert("created_at".into(), now.to_string().into());
}

/// Whether one of the last messages is of a run.
pub(super) fn mentions(document: &Document, run: &RunId) -> Result<bool, Unreadable> {
    let of_run = |m: &Message| m.metadata.get("run_id").and_then(Value::as_str) == Some(run.as_str());
    Ok(document.last(64)?.iter().any(of_run))
}
