//! Names and policies: what a source offers becomes what the model sees.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::Value;
use sha2::Digest as _;

use super::config::{Approval, ToolPolicy};

/// Providers' limit.
const MAX_NAME: usize = 64;

/// A tool as its source offers it, under the source's own name for it.
#[derive(Clone)]
pub(crate) struct Offer {
    /// The source: `builtin`, or the name of a server.
    pub(crate) source: Arc<str>,
    /// When the user is asked, where the tool has no policy of its own.
    pub(crate) approval: Option<Approval>,
    pub(crate) tool: Arc<dyn Tool>,
}

/// Gives every offer a unique name and its policy. The first that claims a name has it; a later one gets its source's
/// name in front, so that a tool's name does not depend on which servers are up behind it.
pub(crate) fn settle(
    offers: impl IntoIterator<Item = Offer>,
    policies: &BTreeMap<String, ToolPolicy>,
) -> Vec<Arc<dyn Tool>> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    for offer in offers {
        let bare = clean(&offer.tool.spec().name);
        let qualified = clean(&format!("{}_{}", offer.source, offer.tool.spec().name));
        let name = if taken.contains(&bare) { qualified.clone() } else { bare };
        if !taken.insert(name.clone()) {
            continue;
        }
        // The qualified form always means this tool, whatever name it has got.
        let policy = policies.get(&qualified).or_else(|| policies.get(&name));
        if policy.is_some_and(|policy| policy.enabled == Some(false)) {
            taken.remove(&name);
            continue;
        }
        let spec = apply(offer.tool.spec().clone(), name, offer.approval, policy);
        tools.push(Arc::new(Settled { spec, inner: offer.tool }));
    }
    tools
}

fn apply(
    mut spec: ToolSpec,
    name: String,
    approval: Option<Approval>,
    policy: Option<&ToolPolicy>,
) -> ToolSpec {
    spec.name = name;
    let none = ToolPolicy::default();
    let policy = policy.unwrap_or(&none);
    if let Some(seconds) = policy.timeout_seconds {
        spec.timeout = std::time::Duration::from_secs(seconds);
    }
    spec.idempotent = policy.idempotent.unwrap_or(spec.idempotent);
    spec.read_only = policy.read_only.unwrap_or(spec.read_only);
    if let Some(description) = &policy.description {
        spec.description.clone_from(description);
    }
    spec.needs_approval = match policy.needs_approval.or(approval) {
        Some(Approval::Always) => true,
        Some(Approval::Never) => false,
        Some(Approval::Untrusted) => !spec.read_only,
        None => spec.needs_approval,
    };
    spec
}

/// A name of 1 to 64 of `A-Z a-z 0-9 _ -`. Names that lose something get a mark of what they were, so that two of them
/// stay two.
fn clean(name: &str) -> String {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(ok) {
        return name.to_owned();
    }
    let digest = sha2::Sha256::digest(name.as_bytes());
    let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String =
        name.chars().map(|c| if ok(c) { c } else { '_' }).take(MAX_NAME - mark.len() - 1).collect();
    format!("{kept}_{mark}")
}

/// Whether a name fits one of the patterns; `*` stands for any text.
pub(crate) fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A tool under its settled name.
struct Settled {
    spec: ToolSpec,
    inner: Arc<dyn Tool>,
}

#[async_trait]
impl Tool for Settled {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        self.inner.call(input, cx).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    struct Named(ToolSpec);

    #[async_trait]
    impl Tool for Named {
        fn spec(&self) -> &ToolSpec {
            &self.0
        }
        async fn call(&self, _: Value, _: ToolContext) -> ToolOutput {
            ToolOutput::default()
        }
    }

    fn offer(source: &str, name: &str) -> Offer {
        let spec = ToolSpec::new(name, "", json!({"type": "object"}));
        Offer { source: source.into(), approval: None, tool: Arc::new(Named(spec)) }
    }

    fn names(tools: &[Arc<dyn Tool>]) -> Vec<&str> {
        tools.iter().map(|tool| tool.spec().name.as_str()).collect()
    }

    #[test]
    fn names_are_prefixed_only_on_collision() {
        let offers = [offer("a", "search"), offer("b", "search"), offer("b", "read"), offer("b", "search")];
        assert_eq!(names(&settle(offers, &BTreeMap::new())), ["search", "b_search", "read"]);
    }

    #[test]
    fn policies_reach_the_tool_they_name() {
        let policies: BTreeMap<String, ToolPolicy> = toml::from_str(
            "[search]\nneeds_approval = true\n[b_search]\ntimeout_seconds = 7\nidempotent = true\n[read]\nenabled = false",
        )
        .unwrap();
        let tools = settle([offer("a", "search"), offer("b", "search"), offer("b", "read")], &policies);
        assert_eq!(names(&tools), ["search", "b_search"]);
        assert!(tools[0].spec().needs_approval && !tools[1].spec().needs_approval);
        assert_eq!(tools[1].spec().timeout.as_secs(), 7);
        assert!(tools[1].spec().idempotent && !tools[1].spec().has_effects());
    }

    #[test]
    fn untrusted_asks_before_effects_only() {
        let mut reader = offer("a", "read");
        reader.tool = Arc::new(Named(reader.tool.spec().clone().read_only()));
        let offers = [reader, offer("a", "write")].map(|mut offer| {
            offer.approval = Some(Approval::Untrusted);
            offer
        });
        let tools = settle(offers, &BTreeMap::new());
        assert!(!tools[0].spec().needs_approval && tools[1].spec().needs_approval);
    }

    #[test]
    fn patterns_match_as_people_expect() {
        for (pattern, name, expected) in [
            ("read", "read", true),
            ("read", "read_file", false),
            ("read_*", "read_file", true),
            ("*_file", "read_file", true),
            ("*", "", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_that_providers_take(a in ".{0,90}", b in ".{0,90}") {
            let tools = settle([offer("s", &a), offer("t", &b)], &BTreeMap::new());
            prop_assert_eq!(tools.len(), 2);
            for tool in &tools {
                let name = &tool.spec().name;
                prop_assert!((1..=64).contains(&name.len()));
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
            }
        }
    }
}
