//! What the mock does when the message itself does not say.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::words::Words;

/// A scenario file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The words for every message that no reply matches and that has none of its own.
    #[serde(default)]
    pub default: String,
    /// Answers to messages that hold a text; the first that matches counts.
    #[serde(default, rename = "reply")]
    pub replies: Vec<Reply>,
}

/// One rule of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What the last message of the user must hold.
    pub when: String,
    /// The words for the answer.
    pub words: String,
}

impl Scenario {
    /// A scenario of words alone.
    pub fn words(words: impl Into<String>) -> Self {
        Self { default: words.into(), replies: Vec::new() }
    }

    /// Reads a file and checks its words.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let scenario: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        for words in scenario.replies.iter().map(|reply| &reply.words).chain([&scenario.default]) {
            Words::parse(words).map_err(anyhow::Error::msg).with_context(|| path.display().to_string())?;
        }
        Ok(scenario)
    }

    /// The words for a message.
    pub(super) fn choose(&self, message: &str) -> Result<Words, String> {
        if let Some(reply) = self.replies.iter().find(|reply| message.contains(&reply.when)) {
            return Words::parse(&reply.words);
        }
        match Words::parse(message)? {
            none if none == Words::default() => Words::parse(&self.default),
            words => Ok(words),
        }
    }
}
