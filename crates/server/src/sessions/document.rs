//! A session as one JSON object: the reference's `{session_id, messages, updated_at}` plus fields that older readers
//! ignore.
//!
//! Opening and appending must not cost more the longer a conversation is, so our own files carry a `layout`: where the
//! head ends, how long the messages are and where the last ones begin. With it only the head and the last messages are
//! parsed, and an append copies the old messages as bytes. A file without a (fitting) layout, written or changed by
//! another program, is parsed as a whole.

use bytes::Bytes;
use jiff::Timestamp;
use loquat_agent::message::Message;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::ids::{Id, RunId, SessionId};
use crate::runs::run::RunInfo;

/// How many of the last messages can be found without parsing the ones before.
const FINDABLE: usize = 256;

/// What a session's file says besides its messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The session's id.
    pub session_id: SessionId,
    /// Its last change.
    #[serde(deserialize_with = "lenient_time")]
    pub updated_at: Timestamp,
    /// Its beginning; missing in files of the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Whose it is. The key says so too; this is for people who look at the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The title: the first line of the first message, until it is renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Grows by one with every run: a writer of an older epoch has lost its lease.
    #[serde(default)]
    pub epoch: u64,
    /// The run that holds the session, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Lease>,
    /// The calls that wait for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// What its runs cost so far in US dollars, those of replaced messages included; missing where nothing had a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// What the context strategy noted.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub memo: Map<String, Value>,
    /// Fields that this version does not know; written back as they were.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A run's hold on its session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub id: RunId,
    /// Until when it is alive for certain; the run log may extend it.
    pub lease_until: Timestamp,
    /// Whether the run answers a new user message (the last stored one) or goes on with an interrupted turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumes: bool,
    /// The run was paused by its process: whoever is asked for it next goes on with it, until `lease_until`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Who holds it for the run. Two processes that are asked for one run in one millisecond write the same otherwise,
    /// and the one whose answer was lost would take the other's hold for its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Id>,
    /// What is known of the run, for whoever looks for it before it has a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Box<RunInfo>>,
}

impl Lease {
    /// A lease of which nothing more is known.
    #[must_use]
    pub fn of(id: RunId, lease_until: Timestamp) -> Self {
        Self { id, lease_until, resumes: false, paused: false, writer: None, info: None }
    }

    /// Whether the run was paused and waits for somebody who goes on with it.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> bool {
        self.paused && self.lease_until > now
    }
}

/// Tool calls that wait for the user's consent or for the client's own answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The run that asked.
    pub run_id: RunId,
    /// After this the question is void.
    pub expires_at: Timestamp,
}

/// What an edit or a regeneration replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// How many messages stood before it.
    pub at: usize,
    /// What stood there.
    pub messages: Vec<Message>,
    /// When it was replaced.
    pub replaced_at: Timestamp,
}

/// A session as it was read, or a new one.
#[derive(Clone, Debug)]
pub struct Document {
    /// Everything but messages and branches.
    pub head: Head,
    /// The stored messages: the inside of the JSON array, without its end.
    messages: Bytes,
    /// Its end: what was appended. Apart, so that a message more does not copy all that were there.
    added: Vec<u8>,
    count: usize,
    /// Where the last messages begin in the array; the last entries belong to the last messages.
    starts: Vec<usize>,
    /// The stored branches: the inside of the JSON array.
    branches: Bytes,
}

/// A file that is no session.
#[derive(Debug, thiserror::Error)]
#[error("the stored session cannot be read: {0}")]
pub struct Unreadable(String);

#[derive(Serialize, Deserialize)]
struct Layout {
    /// Length of everything before `,"messages":[`.
    head: usize,
    /// Length of the inside of the messages array.
    messages: usize,
    count: usize,
    starts: Vec<usize>,
}

/// Stands first in our files.
const LAYOUT: &str = "{\"layout\":";
const MESSAGES: &str = ",\"messages\":[";
const BRANCHES: &str = "],\"branches\":[";
const END: &str = "]}";
/// From this many bytes of messages on, the head is filled up with blanks to a multiple of [`ROOM`]: the messages then
/// stand where they stood, and a store that compares what it wrote last writes their end only.
const LONG: usize = 64 * 1024;
const ROOM: usize = 8 * 1024;

impl Document {
    /// A session without messages.
    #[must_use]
    pub fn new(session_id: SessionId, owner: Option<&str>, now: Timestamp) -> Self {
        Self {
            head: Head {
                session_id,
                updated_at: now,
                created_at: Some(now),
                owner: owner.map(str::to_owned),
                title: None,
                epoch: 0,
                run: None,
                pending: None,
                cost_usd: None,
                memo: Map::new(),
                others: Map::new(),
            },
            messages: Bytes::new(),
            added: Vec::new(),
            count: 0,
            starts: Vec::new(),
            branches: Bytes::new(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Unreadable`] if it is no session.
    pub fn parse(file: Bytes) -> Result<Self, Unreadable> {
        match Self::by_layout(&file) {
            Some(document) => Ok(document),
            None => Self::whole(&file),
        }
    }

    fn by_layout(file: &Bytes) -> Option<Self> {
        let rest = file.strip_prefix(LAYOUT.as_bytes())?;
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<Layout>();
        let layout = stream.next()?.ok()?;
        let head_start = LAYOUT.len() + stream.byte_offset();
        let messages_start = layout.head.checked_add(MESSAGES.len())?;
        let messages_end = messages_start.checked_add(layout.messages)?;
        let fits = head_start < layout.head
            && file.get(layout.head..)?.starts_with(MESSAGES.as_bytes())
            && file.get(messages_end..)?.starts_with(BRANCHES.as_bytes())
            && file.ends_with(END.as_bytes())
            && layout.starts.len() == layout.count.min(FINDABLE)
            && layout.starts.iter().all(|start| *start < layout.messages);
        if !fits {
            return None;
        }
        // The head begins with a comma where the object would begin with a brace.
        let mut head = file[head_start..layout.head].to_vec();
        *head.first_mut()? = b'{';
        head.push(b'}');
        let head = serde_json::from_slice(&head).ok()?;
        Some(Self {
            head,
            messages: file.slice(messages_start..messages_end),
            added: Vec::new(),
            count: layout.count,
            starts: layout.starts,
            branches: file.slice(messages_end + BRANCHES.len()..file.len() - END.len()),
        })
    }

    fn whole(file: &Bytes) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct File<'a> {
            #[serde(borrow, default)]
            messages: Vec<&'a RawValue>,
            #[serde(borrow, default)]
            branches: Vec<&'a RawValue>,
        }
        let unreadable = |error: serde_json::Error| Unreadable(error.to_string());
        let file_parts: File<'_> = serde_json::from_slice(file).map_err(unreadable)?;
        let mut fields: Map<String, Value> = serde_json::from_slice(file).map_err(unreadable)?;
        for own in ["messages", "branches", "layout"] {
            fields.remove(own);
        }
        let head: Head = serde_json::from_value(Value::Object(fields)).map_err(unreadable)?;
        let mut document = Self {
            head,
            messages: Bytes::new(),
            added: Vec::new(),
            count: 0,
            starts: vec![],
            branches: Bytes::new(),
        };
        for message in &file_parts.messages {
            document.push(message.get().as_bytes());
        }
        document.starts.drain(..document.count.saturating_sub(FINDABLE));
        let mut inside = Vec::new();
        for branch in &file_parts.branches {
            push_element(&mut inside, branch.get().as_bytes());
        }
        document.branches = inside.into();
        // Unreadable messages are found now, not in the middle of a turn.
        document.last(document.count)?;
        Ok(document)
    }

    /// How many messages are stored.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The last `n` messages (all of them, if there are fewer).
    ///
    /// # Errors
    /// [`Unreadable`] if one of them is not a message.
    pub fn last(&self, n: usize) -> Result<Vec<Message>, Unreadable> {
        let n = n.min(self.count);
        if n == 0 {
            return Ok(Vec::new());
        }
        let from = if n == self.count {
            0
        } else if n <= self.starts.len() {
            self.starts[self.starts.len() - n]
        } else {
            let mut all = self.read(0)?;
            return Ok(all.split_off(self.count - n));
        };
        self.read(from)
    }

    fn read(&self, from: usize) -> Result<Vec<Message>, Unreadable> {
        serde_json::from_slice(&self.array(from)).map_err(|error| Unreadable(error.to_string()))
    }

    /// The messages as a JSON array, from where one of them begins.
    fn array(&self, from: usize) -> Vec<u8> {
        let stored = self.messages.get(from..).unwrap_or_default();
        let added = &self.added[from.saturating_sub(self.messages.len())..];
        let mut array = Vec::with_capacity(stored.len() + added.len() + 2);
        array.push(b'[');
        array.extend_from_slice(stored);
        array.extend_from_slice(added);
        array.push(b']');
        array
    }

    /// The stored messages as JSON text, without parsing them.
    #[must_use]
    pub fn raw_messages(&self) -> String {
        String::from_utf8_lossy(&self.array(0)).into_owned()
    }

    /// The stored branches as JSON text, without parsing them.
    #[must_use]
    pub fn raw_branches(&self) -> String {
        format!("[{}]", String::from_utf8_lossy(&self.branches))
    }

    /// Adds messages at the end.
    pub fn append(&mut self, messages: &[Message]) {
        for message in messages {
            // A message made of strings and JSON values always has a JSON form.
            self.push(&serde_json::to_vec(message).unwrap_or_default());
        }
        self.starts.drain(..self.starts.len().saturating_sub(FINDABLE));
    }

    fn push(&mut self, json: &[u8]) {
        if self.count > 0 {
            self.added.push(b',');
        }
        self.starts.push(self.messages.len() + self.added.len());
        self.added.extend_from_slice(json);
        self.count += 1;
    }

    /// Goes back to the first `keep` messages; what stood after them becomes a branch.
    ///
    /// # Errors
    /// [`Unreadable`] if a stored message is not a message.
    pub fn branch(&mut self, keep: usize, now: Timestamp) -> Result<(), Unreadable> {
        if keep >= self.count {
            return Ok(());
        }
        let mut kept = self.read(0)?;
        let branch = Branch { at: keep, messages: kept.split_off(keep), replaced_at: now };
        let mut inside = self.branches.to_vec();
        push_element(&mut inside, &serde_json::to_vec(&branch).unwrap_or_default());
        self.branches = inside.into();
        self.replace(&kept);
        Ok(())
    }

    /// Puts other messages in the place of all stored ones.
    pub fn replace(&mut self, messages: &[Message]) {
        self.messages = Bytes::new();
        self.added.clear();
        self.count = 0;
        self.starts.clear();
        self.append(messages);
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let head = serde_json::to_string(&self.head).unwrap_or_default();
        // The head's own brace becomes the comma after the layout.
        let head = head.strip_prefix('{').and_then(|head| head.strip_suffix('}')).unwrap_or_default();
        let messages = self.messages.len() + self.added.len();
        let mut layout = Layout { head: 0, messages, count: self.count, starts: self.starts.clone() };
        // The length of the head counts its own digits: it settles after a round or two.
        let prefix = loop {
            let prefix = format!("{LAYOUT}{},", serde_json::to_string(&layout).unwrap_or_default());
            let mut length = prefix.len() + head.len();
            if messages >= LONG {
                length = length.next_multiple_of(ROOM);
            }
            if layout.head == length {
                break prefix;
            }
            layout.head = length;
        };
        let mut file = Vec::with_capacity(layout.head + messages + self.branches.len() + 64);
        file.extend_from_slice(prefix.as_bytes());
        file.extend_from_slice(head.as_bytes());
        file.resize(layout.head, b' ');
        file.extend_from_slice(MESSAGES.as_bytes());
        file.extend_from_slice(&self.messages);
        file.extend_from_slice(&self.added);
        file.extend_from_slice(BRANCHES.as_bytes());
        file.extend_from_slice(&self.branches);
        file.extend_from_slice(END.as_bytes());
        file.into()
    }
}

/// Adds an element to the inside of a JSON array.
fn push_element(inside: &mut Vec<u8>, json: &[u8]) {
    if !inside.is_empty() {
        inside.push(b',');
    }
    inside.extend_from_slice(json);
}

/// The reference writes Python's `isoformat()`, with or without a zone, without one meaning UTC.
fn lenient_time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    text.parse::<jiff::civil::DateTime>()
        .ok()
        .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(|| serde::de::Error::custom(format!("updated_at is not a time: {text}")))
}

#[cfg(test)]
mod tests;
