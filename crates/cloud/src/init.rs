//! `loquat init`: an agent folder to begin with.

use std::path::{Path, PathBuf};

/// Why a folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{0} exists already; nothing was changed")]
    Exists(PathBuf),
    /// The folder could not be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

const PROMPT: &str = "You are a helpful assistant. Answer briefly, and say so when you do not know.\n";

/// Writes `loquat.toml` and `prompt.md` into a folder that has none.
///
/// # Errors
/// When the folder has an agent already, or cannot be written.
pub fn init(folder: &Path, name: &str, model: Option<&str>) -> Result<Vec<PathBuf>, InitError> {
    let config = folder.join("loquat.toml");
    let prompt = folder.join("prompt.md");
    for path in [&config, &prompt] {
        if path.exists() {
            return Err(InitError::Exists(path.clone()));
        }
    }
    let write = |path: &PathBuf, text: &str| {
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(path, text))
            .map_err(|source| InitError::Write { path: path.clone(), source })
    };
    write(&config, &file(name, model))?;
    write(&prompt, PROMPT)?;
    Ok(vec![config, prompt])
}

fn file(name: &str, model: Option<&str>) -> String {
    let name = toml::Value::from(name);
    let model = match model {
        Some(model) => format!("model = {}\n", toml::Value::from(model)),
        None => "# The built-in demonstration model answers until another is named:\n\
                 # model = \"bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0\"\n"
            .into(),
    };
    format!(
        "{model}system_prompt_file = \"prompt.md\"\n\n[page]\nname = {name}\n\n\
         # `loquat deploy` puts this agent on AWS; `loquat synth` prints what it would make.\n\
         [deploy]\n# region = \"eu-west-1\"\n# memory_mb = 256\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Agent;

    #[test]
    fn what_it_writes_can_be_deployed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        init(&path, "My \"agent\"", Some("bedrock/amazon.nova-lite-v1:0")).unwrap();
        let agent = Agent::read(&path).unwrap();
        assert_eq!(agent.name, "My \"agent\"");
        assert_eq!(agent.deploy.name, "my-agent");
        assert_eq!(agent.models, ["bedrock/amazon.nova-lite-v1:0"]);
    }

    #[test]
    fn an_agent_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        init(folder.path(), "a", None).unwrap();
        assert!(matches!(init(folder.path(), "b", None), Err(InitError::Exists(_))));
    }
}
