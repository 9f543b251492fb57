//! Messages of a conversation.
//!
//! The serde form is Bedrock Converse's (`{"role","content":[{"text"}|{"toolUse"}|…]}`), which is what the reference
//! implementation stores. Blocks this version does not know are kept as they are ([`Content::Other`]): a file written
//! by another program loses nothing by passing through here.

use std::fmt;

use base64::Engine as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, or the tools answering the model.
    User,
    /// The model.
    Assistant,
}

/// One message: a role and its content blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The blocks, in order.
    pub content: Vec<Content>,
    /// What the server notes beside the message (times, run, model, outcome); never sent to a model.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Message {
    /// A message without metadata.
    #[must_use]
    pub fn new(role: Role, content: Vec<Content>) -> Self {
        Self { role, content, metadata: Map::new() }
    }

    /// A user's message of one text block.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, vec![Content::Text(text.into())])
    }

    /// An assistant's message of one text block.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, vec![Content::Text(text.into())])
    }

    /// All text blocks, joined by a line break.
    #[must_use]
    pub fn text(&self) -> String {
        let parts: Vec<&str> = self.content.iter().filter_map(Content::as_text).collect();
        parts.join("\n")
    }

    /// The tool uses in this message.
    pub fn tool_uses(&self) -> impl Iterator<Item = &ToolUse> {
        self.content.iter().filter_map(|block| match block {
            Content::ToolUse(tool_use) => Some(tool_use),
            _ => None,
        })
    }

    /// The tool results in this message.
    pub fn tool_results(&self) -> impl Iterator<Item = &ToolResult> {
        self.content.iter().filter_map(|block| match block {
            Content::ToolResult(result) => Some(result),
            _ => None,
        })
    }

    /// Whether a person's turn starts here: a user's message that is not only tool results.
    #[must_use]
    pub fn starts_turn(&self) -> bool {
        self.role == Role::User
            && self.content.iter().any(|block| !matches!(block, Content::ToolResult(_)))
            && self.tool_results().next().is_none()
    }
}

/// One block of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// What the model thought, with the signature its provider wants back.
    Reasoning(Reasoning),
    /// The model asks for a tool.
    ToolUse(ToolUse),
    /// A tool's answer.
    ToolResult(ToolResult),
    /// A picture.
    Image(Image),
    /// A document.
    Document(Document),
    /// A block of another kind, kept as it was read.
    Other(Map<String, Value>),
}

impl Content {
    /// The text of a text block.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A model's reasoning: text with its signature, or a redacted blob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reasoning {
    /// Readable reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_text: Option<ReasoningText>,
    /// Encrypted reasoning that only the provider can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted_content: Option<Bytes>,
}

/// Readable reasoning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReasoningText {
    /// The text.
    pub text: String,
    /// The provider's signature over it; sent back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A model's request to run a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUse {
    /// The call's id, unique in the conversation.
    pub tool_use_id: String,
    /// The tool's name.
    pub name: String,
    /// The tool's input.
    pub input: Value,
}

/// A tool's answer to one [`ToolUse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// The call this answers.
    pub tool_use_id: String,
    /// What the tool said.
    pub content: Vec<ToolContent>,
    /// Whether it worked.
    #[serde(default)]
    pub status: ToolStatus,
}

/// Whether a tool's call worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolStatus {
    /// It worked.
    #[default]
    Success,
    /// It did not; the content says why.
    Error,
}

/// One block of a tool's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolContent {
    /// Text.
    Text(String),
    /// A JSON value.
    Json(Value),
    /// A picture.
    Image(Image),
    /// A document.
    Document(Document),
    /// A block of another kind, kept as it was read.
    Other(Map<String, Value>),
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// `png`, `jpeg`, `gif` or `webp`.
    pub format: String,
    /// Where its bytes are.
    pub source: Source,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `pdf`, `csv`, `doc`, `docx`, `xls`, `xlsx`, `html`, `txt` or `md`.
    pub format: String,
    /// A neutral name the model may refer to.
    pub name: String,
    /// Where its bytes are.
    pub source: Source,
}

/// Where the bytes of a picture or a document are.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Inline.
    Bytes(Bytes),
    /// A source of another kind (an S3 location, for one), kept as it was read.
    Other(Map<String, Value>),
}

/// Bytes that are base64 in JSON. Also reads the form Strands writes, `{"__bytes_encoded__": true, "data": "…"}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Plain(String),
            Strands { data: String },
        }
        let (Form::Plain(text) | Form::Strands { data: text }) = Form::deserialize(deserializer)?;
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A block is an object with one key that names its kind; these turn it into a variant and back.
fn tagged<S: Serializer, T: Serialize>(
    serializer: S,
    key: &'static str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

fn only_key(map: &Map<String, Value>) -> Option<&str> {
    (map.len() == 1).then(|| map.keys().next().map(String::as_str)).flatten()
}

fn payload<T: serde::de::DeserializeOwned, E: serde::de::Error>(mut map: Map<String, Value>) -> Result<T, E> {
    let key = map.keys().next().cloned().unwrap_or_default();
    let value = map.remove(&key).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| E::custom(format!("{key}: {error}")))
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => tagged(serializer, "text", text),
            Self::Reasoning(value) => tagged(serializer, "reasoningContent", value),
            Self::ToolUse(value) => tagged(serializer, "toolUse", value),
            Self::ToolResult(value) => tagged(serializer, "toolResult", value),
            Self::Image(value) => tagged(serializer, "image", value),
            Self::Document(value) => tagged(serializer, "document", value),
            Self::Other(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        Ok(match only_key(&map) {
            Some("text") => Self::Text(payload(map)?),
            Some("reasoningContent") => Self::Reasoning(payload(map)?),
            Some("toolUse") => Self::ToolUse(payload(map)?),
            Some("toolResult") => Self::ToolResult(payload(map)?),
            Some("image") => Self::Image(payload(map)?),
            Some("document") => Self::Document(payload(map)?),
            _ => Self::Other(map),
        })
    }
}

impl Serialize for ToolContent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => tagged(serializer, "text", text),
            Self::Json(value) => tagged(serializer, "json", value),
            Self::Image(value) => tagged(serializer, "image", value),
            Self::Document(value) => tagged(serializer, "document", value),
            Self::Other(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ToolContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        Ok(match only_key(&map) {
            Some("text") => Self::Text(payload(map)?),
            Some("json") => Self::Json(payload(map)?),
            Some("image") => Self::Image(payload(map)?),
            Some("document") => Self::Document(payload(map)?),
            _ => Self::Other(map),
        })
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => tagged(serializer, "bytes", bytes),
            Self::Other(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        Ok(match only_key(&map) {
            Some("bytes") => Self::Bytes(payload(map)?),
            _ => Self::Other(map),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every block kind, one of an unknown kind and one in the form Strands writes.
    #[test]
    fn reads_and_writes_the_converse_form() {
        let value = json!({"role": "assistant", "content": [
            {"text": "Hi"},
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": "AAEC"}},
            {"toolUse": {"toolUseId": "t1", "name": "add", "input": {"a": 1}}},
            {"toolResult": {"toolUseId": "t1", "content": [{"text": "2"}, {"json": {"n": 2}}], "status": "success"}},
            {"image": {"format": "png", "source": {"bytes": "AAEC"}}},
            {"document": {"format": "pdf", "name": "d", "source": {"s3Location": {"uri": "s3://b/k"}}}},
            {"cachePoint": {"type": "default"}},
        ]});
        let message: Message = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&message).unwrap(), value);
        assert!(matches!(message.content[7], Content::Other(_)));

        let strands = json!({"image": {"format": "png", "source":
            {"bytes": {"__bytes_encoded__": true, "data": "AAEC"}}}});
        let block: Content = serde_json::from_value(strands).unwrap();
        let Content::Image(image) = block else { panic!("not an image: {block:?}") };
        assert_eq!(image.source, Source::Bytes(Bytes(vec![0, 1, 2])));
    }

    #[test]
    fn says_which_block_is_wrong() {
        let error = serde_json::from_value::<Content>(json!({"toolUse": {"name": "x"}})).unwrap_err();
        assert!(error.to_string().contains("toolUse: missing field `toolUseId`"), "{error}");
    }

    #[test]
    fn a_tool_answer_does_not_start_a_turn() {
        let result = ToolResult { tool_use_id: "t".into(), content: vec![], status: ToolStatus::Success };
        assert!(Message::user("hi").starts_turn());
        assert!(!Message::new(Role::User, vec![Content::ToolResult(result)]).starts_turn());
        assert!(!Message::assistant("hi").starts_turn());
    }
}
