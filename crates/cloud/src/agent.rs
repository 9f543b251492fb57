//! What the stack must know about the agent: read from `loquat.toml` without the server's types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{
    assets::{self, Prompt, Tools},
    settings::{NAME_LIMIT, Settings, SettingsError},
};

/// The agent folder as the deployment sees it.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The folder that holds `loquat.toml`.
    pub folder: PathBuf,
    /// The agent's name.
    pub name: String,
    /// Every model the agent may call, as written: `bedrock/…`, `anthropic/…`, a bare Bedrock id.
    pub models: Vec<String>,
    /// The regions of models that are not called in the function's own.
    pub model_regions: BTreeMap<String, String>,
    /// The guardrails that the models are called with.
    pub guardrails: Vec<BedrockResource>,
    /// The knowledge base that the agent searches.
    pub knowledge_base: Option<BedrockResource>,
    /// Where its instructions are.
    pub prompt: Prompt,
    /// Where its Python tools are.
    pub tools: Tools,
    /// The Lambda functions that are its tools: ARNs, or names in the stack's own account.
    pub lambda_tools: Vec<String>,
    /// Whether the file chooses the processor; else the default gives way to what is at hand.
    pub names_architecture: bool,
    /// The `[deploy]` table.
    pub deploy: Settings,
}

/// Something of the account's own in Bedrock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BedrockResource {
    /// Its id or ARN.
    pub id: String,
    /// Its region, if it is not the function's own.
    pub region: Option<String>,
}

/// Why an agent folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the TOML it should be.
    #[error("{path}: {problem}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and expectation.
        problem: String,
    },
    /// A setting is wrong.
    #[error("{path}: {source}")]
    Settings {
        /// The file.
        path: PathBuf,
        /// The setting.
        source: SettingsError,
    },
}

impl Agent {
    /// Reads the agent in `folder`.
    ///
    /// # Errors
    /// When `loquat.toml` is absent, is not TOML, or its `[deploy]` table is wrong.
    pub fn read(folder: &Path) -> Result<Self, AgentError> {
        let path = folder.join("loquat.toml");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| AgentError::Read { path: path.clone(), source })?;
        Self::parse(folder, &path, &text)
    }

    fn parse(folder: &Path, path: &Path, text: &str) -> Result<Self, AgentError> {
        let parse = |problem: String| AgentError::Parse { path: path.to_path_buf(), problem };
        let table: toml::Table = toml::from_str(text).map_err(|error| parse(error.to_string()))?;
        let mut deploy: Settings = match table.get("deploy") {
            Some(_) => {
                // Parsed from the text, not from the table, so that an error can name its line.
                #[derive(serde::Deserialize)]
                struct File {
                    deploy: Settings,
                }
                toml::from_str::<File>(text).map_err(|error| parse(error.to_string()))?.deploy
            }
            None => Settings::default(),
        };
        let name = string(&table, &["page", "name"]).unwrap_or_else(|| folder_name(folder));
        if deploy.name.is_empty() {
            deploy.name = stack_name(&name);
        }
        deploy.check().map_err(|source| AgentError::Settings { path: path.to_path_buf(), source })?;
        let mut models = Vec::new();
        collect_models(&table, &mut models);
        let variable = |name: &str| deploy.environment.get(name).map(String::as_str).unwrap_or_default();
        let named = [variable("MODEL_ID")].into_iter().chain(variable("LOQUAT_MODELS").split(','));
        for model in named.map(str::trim).filter(|model| !model.is_empty()) {
            push_unique(&mut models, model);
        }
        for model in &deploy.models {
            push_unique(&mut models, model);
        }
        let environment = |name: &str| deploy.environment.get(name).cloned();
        let prompt = assets::prompt(&table, environment);
        let tools = assets::tools(&table, environment).map_err(parse)?;
        let lambda_tools = lambda_tools(&table, &deploy);
        let (model_regions, guardrails) = bedrock_settings(&table);
        let knowledge_base = string(&table, &["builtin", "retrieve", "knowledge_base_id"])
            .map(|id| BedrockResource { id, region: string(&table, &["builtin", "retrieve", "region"]) });
        let names_architecture =
            table.get("deploy").is_some_and(|deploy| deploy.get("architecture").is_some());
        Ok(Self {
            folder: folder.to_path_buf(),
            name,
            models,
            model_regions,
            guardrails,
            knowledge_base,
            prompt,
            tools,
            lambda_tools,
            names_architecture,
            deploy,
        })
    }
}

/// `model = "…"` and those that stand in for it, `models = ["…"]`.
fn collect_models(table: &toml::Table, models: &mut Vec<String>) {
    if let Some(toml::Value::String(one)) = table.get("model") {
        push_unique(models, one);
    }
    for one in table.get("models").and_then(toml::Value::as_array).into_iter().flatten() {
        if let Some(one) = one.as_str() {
            push_unique(models, one);
        }
    }
}

/// The regions and the guardrails of `[model_settings."…".bedrock]`.
fn bedrock_settings(table: &toml::Table) -> (BTreeMap<String, String>, Vec<BedrockResource>) {
    let (mut regions, mut guardrails) = (BTreeMap::new(), Vec::new());
    let settings = table.get("model_settings").and_then(toml::Value::as_table);
    for (model, settings) in settings.into_iter().flatten() {
        let Some(settings) = settings.as_table() else { continue };
        let region = string(settings, &["bedrock", "region"]);
        if let Some(region) = &region {
            regions.insert(model.clone(), region.clone());
        }
        let guardrail =
            string(settings, &["bedrock", "guardrail", "id"]).map(|id| BedrockResource { id, region });
        guardrails.extend(guardrail.filter(|guardrail| !guardrails.contains(guardrail)));
    }
    (regions, guardrails)
}

/// The functions of `[[lambda]]`, with their qualifiers, and those that `[deploy]` names beside them.
fn lambda_tools(table: &toml::Table, deploy: &Settings) -> Vec<String> {
    let mut functions = deploy.lambda_tools.clone();
    for tool in table.get("lambda").and_then(toml::Value::as_array).into_iter().flatten() {
        let of = |key: &str| tool.get(key).and_then(toml::Value::as_str);
        let Some(arn) = of("arn") else { continue };
        let region = of("region").unwrap_or("${AWS::Region}");
        let mut function = if arn.starts_with("arn:") {
            arn.to_owned()
        } else {
            format!("arn:${{AWS::Partition}}:lambda:{region}:${{AWS::AccountId}}:function:{arn}")
        };
        if let Some(qualifier) = of("qualifier") {
            function = format!("{function}:{qualifier}");
        }
        push_unique(&mut functions, &function);
    }
    functions
}

fn push_unique(list: &mut Vec<String>, item: &str) {
    if !list.iter().any(|known| known == item) {
        list.push(item.to_owned());
    }
}

fn string(table: &toml::Table, path: &[&str]) -> Option<String> {
    let (last, parents) = path.split_last()?;
    let mut table = table;
    for parent in parents {
        table = table.get(*parent)?.as_table()?;
    }
    table.get(*last)?.as_str().map(str::to_owned)
}

fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    whole.file_name().map_or_else(|| "agent".into(), |name| name.to_string_lossy().into_owned())
}

/// A stack name made of a free-form one.
fn stack_name(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    // Room for what goes before it, and no hyphen at the end.
    out.truncate(NAME_LIMIT - "agent-".len());
    let out = out.trim_end_matches('-');
    if out.starts_with(|c: char| c.is_ascii_alphabetic()) { out.into() } else { format!("agent-{out}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Agent, String> {
        Agent::parse(Path::new("my agent"), Path::new("loquat.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn name_and_models_come_from_the_file() {
        let agent = parse(
            "models = [\"bedrock/a\", \"b\"]\n[page]\nname = \"Travel Desk!\"\n[deploy]\nmodels = [\"c\"]",
        )
        .unwrap();
        assert_eq!(agent.deploy.name, "travel-desk");
        assert_eq!(agent.models, ["bedrock/a", "b", "c"]);
    }

    #[test]
    fn a_long_name_makes_a_stack_name_that_is_short_enough() {
        let agent = parse(&format!("[page]\nname = \"{}\"", "Desk ".repeat(30))).unwrap();
        assert!(
            agent.deploy.name.len() <= NAME_LIMIT && !agent.deploy.name.ends_with('-'),
            "{}",
            agent.deploy.name
        );
    }

    #[test]
    fn unknown_key_is_refused_with_its_line() {
        let error = parse("[deploy]\nmemory_mb = 256\nmemroy = 1\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("memroy"), "{error}");
    }

    #[test]
    fn public_agent_needs_the_flag() {
        let error = parse("[deploy.auth]\ntype = \"none\"\n").unwrap_err();
        assert!(error.contains("allow_public"), "{error}");
        assert!(parse("[deploy.auth]\ntype = \"none\"\nallow_public = true\n").is_ok());
    }

    #[test]
    fn contradictions_are_refused() {
        for (text, key) in [
            ("[deploy]\nmemory_mb = 64", "memory_mb"),
            ("[deploy]\ntimeout_seconds = 901", "timeout_seconds"),
            ("[deploy]\nlog_retention_days = 2", "log_retention_days"),
            ("[deploy]\nname = \"1x\"", "name"),
            ("[deploy]\nname = \"a-name-of-forty-nine-characters-is-longer-than-it-may\"", "name"),
            ("[deploy.auth]\ntype = \"oidc\"", "auth.issuer"),
            ("[deploy.auth]\nuser_pool_id = \"p\"", "auth.user_pool_id"),
            ("[deploy.rest]\ndomain_name = \"a.b\"", "rest.domain_name"),
            ("[deploy]\nlambda_tools = [\"x\"]", "lambda_tools[0]"),
            ("[deploy.environment]\nAWS_REGION = \"x\"", "environment"),
            (
                "[deploy]\ncommunication = \"function-url\"\n[deploy.vpc]\nsubnet_ids=[]\nsecurity_group_ids=[]",
                "vpc",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(&format!("[deploy] {key}:")), "{text}: {error}");
        }
    }
}
