//! Which models want their prompts marked for the cache, and where.

use crate::models::config::PromptCache;

/// Where cache points may stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// After the tools.
    pub(super) tools: bool,
    /// After the system prompt and after the last message.
    pub(super) prompt: bool,
}

/// The places for a model. An application inference profile's ARN does not say which model it is: it gets none unless
/// the configuration says `on`.
pub(super) fn places(model: &str, setting: PromptCache) -> Places {
    match setting {
        PromptCache::Off => Places::default(),
        PromptCache::On => Places { tools: true, prompt: true },
        PromptCache::Auto => {
            const BEFORE_CACHING: &[&str] = &[
                "claude-v2",
                "claude-instant",
                "claude-3-haiku",
                "claude-3-sonnet",
                "claude-3-opus",
                "claude-3-5-sonnet-20240620",
            ];
            let claude = model.contains("anthropic.claude")
                && !BEFORE_CACHING.iter().any(|early| model.contains(early));
            let nova = ["nova-micro", "nova-lite", "nova-pro", "nova-premier", "nova-2-"];
            let nova = nova.iter().any(|name| model.contains(name)) && !model.contains("sonic");
            // Nova refuses a point among the tools.
            Places { tools: claude, prompt: claude || nova }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_models() {
        let both = Places { tools: true, prompt: true };
        let prompt = Places { tools: false, prompt: true };
        for (model, expected) in [
            ("eu.anthropic.claude-sonnet-4-20250514-v1:0", both),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", both),
            ("anthropic.claude-3-haiku-20240307-v1:0", Places::default()),
            ("us.amazon.nova-lite-v1:0", prompt),
            ("amazon.nova-2-sonic-v1:0", Places::default()),
            ("meta.llama3-70b-instruct-v1:0", Places::default()),
            ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", Places::default()),
        ] {
            assert_eq!(places(model, PromptCache::Auto), expected, "{model}");
        }
        assert_eq!(places("meta.llama", PromptCache::On), both);
        assert_eq!(places("anthropic.claude-sonnet-4", PromptCache::Off), Places::default());
    }
}
