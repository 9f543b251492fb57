//! `memory`: facts about the user, kept in the store across conversations. The user sees and deletes them through the
//! API; the model through this tool. Whose facts they are is decided by the call's context, never by the input.

mod blobs;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::blobs::BlobMemory;
use super::text;
use crate::tools::config::MemoryConfig;

/// The longest fact, in characters.
const MAX_FACT: usize = 1000;

/// One thing known about a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Unique among the user's facts.
    pub id: String,
    /// What is known.
    pub text: String,
    /// When it was kept.
    pub created_at: Timestamp,
}

/// Why facts could not be read or written; for people, without internals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MemoryError(pub String);

/// Where facts are kept. A user's facts are reachable only by that user's name.
#[async_trait]
pub trait MemoryStore: Send + Sync {
    /// The user's facts, oldest first.
    async fn list(&self, user: &str) -> Result<Vec<Fact>, MemoryError>;
    /// Keeps a fact; one with the same id is replaced.
    async fn put(&self, user: &str, fact: Fact) -> Result<(), MemoryError>;
    /// Forgets a fact; whether there was one.
    async fn delete(&self, user: &str, id: &str) -> Result<bool, MemoryError>;
}

/// Facts in the process's memory, for servers that keep nothing.
#[derive(Debug, Default)]
pub struct VolatileMemory(Mutex<HashMap<String, Vec<Fact>>>);

#[async_trait]
impl MemoryStore for VolatileMemory {
    async fn list(&self, user: &str) -> Result<Vec<Fact>, MemoryError> {
        Ok(self.0.lock().get(user).cloned().unwrap_or_default())
    }

    async fn put(&self, user: &str, fact: Fact) -> Result<(), MemoryError> {
        let mut all = self.0.lock();
        let facts = all.entry(user.to_owned()).or_default();
        facts.retain(|known| known.id != fact.id);
        facts.push(fact);
        Ok(())
    }

    async fn delete(&self, user: &str, id: &str) -> Result<bool, MemoryError> {
        let mut all = self.0.lock();
        let Some(facts) = all.get_mut(user) else { return Ok(false) };
        let before = facts.len();
        facts.retain(|fact| fact.id != id);
        Ok(facts.len() < before)
    }
}

/// The name under which facts are kept where nobody signs in. No signed-in user can have it: subjects are not empty.
pub const NOBODY: &str = "";

pub(crate) struct Memory {
    spec: ToolSpec,
    config: MemoryConfig,
    store: Arc<dyn MemoryStore>,
}

impl Memory {
    pub(crate) fn new(config: MemoryConfig, store: Arc<dyn MemoryStore>) -> Self {
        let schema = json!({
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": ["list", "save", "delete"]},
                "fact": {
                    "type": "string", "maxLength": MAX_FACT,
                    "description": "For save: one short sentence about the user.",
                },
                "id": {"type": "string", "description": "For delete: the fact's id, from list."},
            },
            "required": ["action"],
            "additionalProperties": false,
        });
        let description = "Remembers facts about the user across conversations. list: what is known; save: keep a \
            lasting fact or preference the user has told; delete: forget one. Never save secrets.";
        let mut spec = ToolSpec::new("memory", description, schema);
        // A fact's id is made from the call's id, so a repeated call replaces what the first one wrote.
        spec.idempotent = true;
        Self { spec, config, store }
    }

    async fn run(&self, user: &str, input: &Value, cx: &ToolContext) -> Result<Value, String> {
        let failed = |error: MemoryError| error.to_string();
        match text(input, "action") {
            Some("save") => {
                let fact = text(input, "fact").ok_or("save needs a fact")?;
                if fact.chars().count() > MAX_FACT {
                    return Err(format!("a fact has at most {MAX_FACT} characters"));
                }
                let known = self.store.list(user).await.map_err(failed)?;
                if let Some(same) = known.iter().find(|known| known.text == fact) {
                    return Ok(json!({"saved": same}));
                }
                if known.len() >= self.config.max_facts {
                    return Err(format!(
                        "{} facts are known already, which is the limit; delete one first",
                        known.len()
                    ));
                }
                let id = format!("{:016x}", fingerprint(&cx.run_id, &cx.call_id));
                let fact = Fact { id, text: fact.to_owned(), created_at: Timestamp::now() };
                self.store.put(user, fact.clone()).await.map_err(failed)?;
                Ok(json!({"saved": fact}))
            }
            Some("delete") => {
                let id = text(input, "id").ok_or("delete needs an id; list tells the ids")?;
                match self.store.delete(user, id).await.map_err(failed)? {
                    true => Ok(json!({"deleted": id})),
                    false => Err(format!("there is no fact with the id {id}")),
                }
            }
            _ => Ok(json!({"facts": self.store.list(user).await.map_err(failed)?})),
        }
    }
}

/// 64 bits of a hash over both ids.
fn fingerprint(run: &str, call: &str) -> u64 {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(format!("{run}\0{call}"));
    digest.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[async_trait]
impl Tool for Memory {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        let user = match &cx.user {
            Some(user) if !user.is_empty() => user.as_ref(),
            _ if self.config.without_sign_in => NOBODY,
            _ => return ToolOutput::error("Facts are kept only for users who are signed in."),
        };
        match self.run(user, &input, &cx).await {
            Ok(value) => ToolOutput::json(value),
            Err(why) => ToolOutput::error(why),
        }
    }
}

#[cfg(test)]
mod tests;
