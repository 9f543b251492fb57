//! How clients of other protocols are answered.

use serde::Deserialize;

/// `[dialects]` in `loquat.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DialectsConfig {
    /// AG-UI: what happens to a past that a client has rewritten.
    pub client_history: ClientHistory,
    /// AI SDK: whether chunks are sent that only its newer clients know.
    pub ai_sdk_new_chunks: bool,
}

/// What happens to a past that a client has rewritten: what is stored is the truth either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientHistory {
    /// The request is refused.
    #[default]
    Refuse,
    /// Only its new messages are read.
    Ignore,
}
