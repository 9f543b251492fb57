//! Sampling parameters: which provider knows which.

use loquat_agent::model::{ModelError, ModelErrorKind, OutputForm, Params};
use serde_json::{Map, Value};

use super::config::Provider;

/// A parameter that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// The provider has no such setting.
    #[error("{provider} has no setting like {name}{hint}")]
    Unsupported {
        /// The provider.
        provider: Provider,
        /// The parameter.
        name: &'static str,
        /// What to use instead.
        hint: &'static str,
    },
    /// The value is outside what the provider takes.
    #[error("{provider} takes {name} {range}")]
    Range {
        /// The provider.
        provider: Provider,
        /// The parameter.
        name: &'static str,
        /// The allowed values, in words.
        range: &'static str,
    },
}

impl ParamError {
    /// The parameter.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unsupported { name, .. } | Self::Range { name, .. } => name,
        }
    }

    /// What the parameter is, as it might be written.
    #[must_use]
    pub fn value(&self, params: &Params) -> String {
        serde_json::to_value(params).map_or_else(|_| String::new(), |all| all[self.name()].to_string())
    }
}

/// What one call's own parameters leave open comes from the configuration.
pub(super) fn merged(call: &Params, configured: &Params) -> Params {
    Params {
        temperature: call.temperature.or(configured.temperature),
        top_p: call.top_p.or(configured.top_p),
        max_output_tokens: call.max_output_tokens.or(configured.max_output_tokens),
        stop_sequences: if call.stop_sequences.is_empty() {
            configured.stop_sequences.clone()
        } else {
            call.stop_sequences.clone()
        },
        reasoning_effort: call.reasoning_effort.clone().or_else(|| configured.reasoning_effort.clone()),
        reasoning_budget: call.reasoning_budget.or(configured.reasoning_budget),
        seed: call.seed.or(configured.seed),
        output: call.output.clone().or_else(|| configured.output.clone()),
        tool_choice: call.tool_choice.clone().or_else(|| configured.tool_choice.clone()),
    }
}

/// The parameters of one call: its own, and what they leave open from the configuration.
pub(super) fn of_call(
    provider: Provider,
    model: &str,
    call: &Params,
    configured: &Params,
) -> Result<Params, ModelError> {
    let params = merged(call, configured);
    check(provider, model, &params)
        .map_err(|error| ModelError::new(ModelErrorKind::BadRequest, error.to_string()))?;
    Ok(params)
}

/// Refuses what the provider does not know.
pub fn check(provider: Provider, model: &str, params: &Params) -> Result<(), ParamError> {
    let range = |name, range| Err(ParamError::Range { provider, name, range });
    let unsupported = |name, hint| Err(ParamError::Unsupported { provider, name, hint });
    let hottest = match provider {
        Provider::OpenAi | Provider::Ollama | Provider::Local => 2.0,
        Provider::Anthropic | Provider::Bedrock => 1.0,
    };
    if params.temperature.is_some_and(|value| !(0.0..=hottest).contains(&value)) {
        return range("temperature", if hottest > 1.0 { "from 0 to 2" } else { "from 0 to 1" });
    }
    if params.top_p.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        return range("top_p", "from 0 to 1");
    }
    if params.max_output_tokens == Some(0) {
        return range("max_output_tokens", "from 1");
    }
    if params.stop_sequences.iter().any(String::is_empty) {
        return range("stop_sequences", "that are not empty");
    }
    if params.stop_sequences.len() > 4 && provider == Provider::OpenAi {
        return range("stop_sequences", "up to 4");
    }
    if params.seed.is_some() && matches!(provider, Provider::Anthropic | Provider::Bedrock) {
        return unsupported("seed", "");
    }
    match (&params.output, provider) {
        (Some(_), Provider::Local) => return unsupported("output", ", it writes text only"),
        (Some(OutputForm::Json), Provider::Anthropic | Provider::Bedrock) => {
            return unsupported("output = json", "; give it a schema");
        }
        _ => {}
    }
    if params.tool_choice.is_some() && matches!(provider, Provider::Ollama | Provider::Local) {
        return unsupported("tool_choice", ", it chooses itself");
    }
    if let Some(effort) = params.reasoning_effort.as_deref() {
        let known = matches!(effort, "none" | "minimal" | "low" | "medium" | "high" | "xhigh" | "max");
        match provider {
            Provider::Local => return unsupported("reasoning_effort", ""),
            _ if !known => return range("reasoning_effort", "low, medium or high"),
            Provider::Anthropic if matches!(effort, "none" | "minimal") => {
                return range("reasoning_effort", "low, medium, high, xhigh or max");
            }
            Provider::Bedrock if super::bedrock::reasoning::effort(model, effort).is_none() => {
                return unsupported(
                    "reasoning_effort",
                    " for this model; set `extra` to what its maker documents",
                );
            }
            _ => {}
        }
        if params.reasoning_budget.is_some() && provider != Provider::Local {
            return range("reasoning_effort", "or reasoning_budget, not both");
        }
    }
    if let Some(budget) = params.reasoning_budget {
        match provider {
            Provider::OpenAi | Provider::Ollama => {
                return unsupported("reasoning_budget", "; use reasoning_effort");
            }
            Provider::Local => return unsupported("reasoning_budget", ""),
            Provider::Bedrock if !super::bedrock::reasoning::has_budget(model) => {
                return unsupported(
                    "reasoning_budget",
                    " for this model; set `extra` to what its maker documents",
                );
            }
            Provider::Anthropic | Provider::Bedrock => {}
        }
        if budget < 1024 {
            return range("reasoning_budget", "from 1024");
        }
        if params.max_output_tokens.is_some_and(|most| most <= budget) {
            return range("reasoning_budget", "below max_output_tokens");
        }
        if params.temperature.is_some() || params.top_p.is_some_and(|value| value < 0.95) {
            return range("reasoning_budget", "without temperature and with top_p from 0.95");
        }
    }
    Ok(())
}

/// Whether a Claude model decides by itself how much to think when it is told an effort. The first ones with an effort,
/// and all before them, want a budget instead.
pub(super) fn is_adaptive(model: &str) -> bool {
    let early = ["claude-2", "claude-3", "claude-v2", "claude-instant", "-4-0", "-4-1", "-4-5", "-4-2025"];
    !early.iter().any(|early| model.contains(early))
}

/// Merges configured fields into a request's body: objects field by field, `null` removes, everything else replaces.
pub(super) fn merge(body: &mut Map<String, Value>, extra: &Map<String, Value>) {
    for (key, value) in extra {
        match (body.get_mut(key), value) {
            (_, Value::Null) => {
                body.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(fields)) => merge(inner, fields),
            _ => {
                body.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `0.2_f32` as the number 0.2 and not as 0.20000000298023224.
pub(super) fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use loquat_agent::model::ToolChoice;
    use serde_json::json;

    use super::*;

    #[test]
    fn refuses_with_the_providers_name() {
        let check = |provider, model, params: Params, expected: &str| {
            let message =
                check(provider, model, &params).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(message, expected);
        };
        let hot = || Params { temperature: Some(1.5), ..Params::default() };
        check(Provider::OpenAi, "m", hot(), "");
        check(Provider::Anthropic, "m", hot(), "Anthropic takes temperature from 0 to 1");
        check(Provider::Bedrock, "m", hot(), "Amazon Bedrock takes temperature from 0 to 1");
        let budget = || Params { reasoning_budget: Some(2048), ..Params::default() };
        check(Provider::Anthropic, "m", budget(), "");
        check(Provider::Bedrock, "eu.anthropic.claude-x", budget(), "");
        check(
            Provider::OpenAi,
            "m",
            budget(),
            "OpenAI has no setting like reasoning_budget; use reasoning_effort",
        );
        check(
            Provider::Bedrock,
            "meta.llama",
            budget(),
            "Amazon Bedrock has no setting like reasoning_budget for this model; set `extra` to what its maker documents",
        );
        let effort = |effort: &str| Params { reasoning_effort: Some(effort.into()), ..Params::default() };
        check(Provider::OpenAi, "m", effort("high"), "");
        check(Provider::OpenAi, "m", effort("extreme"), "OpenAI takes reasoning_effort low, medium or high");
        check(
            Provider::Local,
            "m",
            effort("high"),
            "the built-in model has no setting like reasoning_effort",
        );
        let seed = || Params { seed: Some(7), ..Params::default() };
        check(Provider::OpenAi, "m", seed(), "");
        check(Provider::Local, "m", seed(), "");
        check(Provider::Anthropic, "m", seed(), "Anthropic has no setting like seed");
        let json = || Params { output: Some(OutputForm::Json), ..Params::default() };
        check(Provider::Ollama, "m", json(), "");
        check(
            Provider::Bedrock,
            "m",
            json(),
            "Amazon Bedrock has no setting like output = json; give it a schema",
        );
        let forced = || Params { tool_choice: Some(ToolChoice::Required), ..Params::default() };
        check(Provider::Bedrock, "m", forced(), "");
        check(Provider::Ollama, "m", forced(), "Ollama has no setting like tool_choice, it chooses itself");
    }

    #[test]
    fn merges_fields() {
        let mut body = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": 5}).as_object().cloned().unwrap();
        let extra = json!({"b": {"c": 9}, "e": null, "f": [1]}).as_object().cloned().unwrap();
        merge(&mut body, &extra);
        assert_eq!(Value::Object(body), json!({"a": 1, "b": {"c": 9, "d": 2}, "f": [1]}));
    }

    #[test]
    fn writes_short_numbers() {
        assert_eq!(number(0.2).to_string(), "0.2");
        assert_eq!(number(1.0).to_string(), "1.0");
    }
}
