//! What a list of sessions shows.

use loquat_agent::message::Message;

use crate::sessions::document::Document;
use crate::sessions::index::Summary;

/// The first line of a message, at most 80 characters.
pub(super) fn title_of(message: &Message) -> Option<String> {
    let text = message.text();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(80).collect())
}

/// What a list shows of a session.
#[must_use]
pub fn summary_of(document: &Document) -> Summary {
    let head = &document.head;
    Summary {
        session_id: head.session_id.to_string(),
        title: head.title.clone().unwrap_or_default(),
        created_at: head.created_at.unwrap_or(head.updated_at),
        updated_at: head.updated_at,
        message_count: document.count() as u64,
        run_id: head.run.as_ref().map(|lease| lease.id.to_string()),
    }
}
