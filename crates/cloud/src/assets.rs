//! The system prompt and the tools: what of them `loquat deploy` puts on S3, where the function reads them.
//!
//! A name is its content's digest, so that a changed prompt changes the function's environment, which makes Lambda start
//! new instances, and a roll-back finds what it goes back to.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    agent::Agent,
    package::{self, PackageError},
    settings::Hosting,
};

/// The folder of Python tools beside `loquat.toml`, where the file names none.
const TOOLS_FOLDER: &str = "tools";

/// The most files of an archive of tools that the server unpacks.
const MAX_FILES: usize = 2_000;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// The bucket.
    pub bucket_name: String,
    /// The key.
    pub key: String,
}

/// Where an agent's instructions come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Prompt {
    /// There are none, or the function's environment has them.
    #[default]
    None,
    /// A text in `loquat.toml`.
    Text(String),
    /// A file, by its path from the agent's folder.
    File(PathBuf),
    /// An object of the user's own.
    Object(Location),
}

/// Where an agent's Python tools come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tools {
    /// A folder, by its path from the agent's folder.
    Folder(PathBuf),
    /// Objects of the user's own.
    Objects(Vec<Location>),
}

impl Default for Tools {
    fn default() -> Self {
        Self::Folder(TOOLS_FOLDER.into())
    }
}

/// Reads from `loquat.toml`, and from what `[deploy.environment]` says in its place, where the instructions are.
pub(crate) fn prompt(table: &toml::Table, environment: impl Fn(&str) -> Option<String>) -> Prompt {
    let of = |variable: &str, key: &str| {
        environment(variable).or_else(|| table.get(key)?.as_str().map(str::to_owned))
    };
    let bucket = of("SYSTEM_PROMPT_S3_BUCKET_NAME", "system_prompt_s3_bucket_name");
    let key = of("SYSTEM_PROMPT_S3_KEY", "system_prompt_s3_key");
    if let (Some(bucket_name), Some(key)) = (bucket, key) {
        return Prompt::Object(Location { bucket_name, key });
    }
    if ["LOQUAT_SYSTEM_PROMPT", "LOQUAT_SYSTEM_PROMPT_FILE"].iter().any(|name| environment(name).is_some()) {
        return Prompt::None;
    }
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    match (text("system_prompt"), text("system_prompt_file")) {
        (Some(text), _) if !text.trim().is_empty() => Prompt::Text(text),
        (None, Some(path)) => Prompt::File(path.into()),
        _ => Prompt::None,
    }
}

/// Reads where the Python tools are.
///
/// # Errors
/// `TOOLS_CONFIG` or what stands for it is not a list of objects.
pub(crate) fn tools(
    table: &toml::Table,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Tools, String> {
    let python = table.get("python").and_then(toml::Value::as_table);
    let text = environment("TOOLS_CONFIG")
        .or_else(|| table.get("tools_config")?.as_str().map(str::to_owned))
        .filter(|text| !text.trim().is_empty());
    let expected = |error: &dyn std::fmt::Display| {
        format!("TOOLS_CONFIG: expected a JSON array of {{bucketName, key, isFile, isZipArchive}}: {error}")
    };
    if let Some(text) = text {
        return serde_json::from_str(&text).map(Tools::Objects).map_err(|error| expected(&error));
    }
    if let Some(objects) = python.and_then(|python| python.get("objects")) {
        let objects: Vec<Location> = objects.clone().try_into().map_err(|error| expected(&error))?;
        if !objects.is_empty() {
            return Ok(Tools::Objects(objects));
        }
    }
    let dir = python.and_then(|python| python.get("dir")).and_then(toml::Value::as_str);
    Ok(dir.map_or_else(Tools::default, |dir| Tools::Folder(dir.into())))
}

/// What goes to S3, and under which names.
#[derive(Debug, Default)]
pub(crate) struct Assets {
    /// The system prompt's key.
    pub(crate) prompt_key: String,
    /// The value of `TOOLS_CONFIG`.
    pub(crate) tools_config: String,
    /// Key, bytes and media type of each.
    pub(crate) files: Vec<(String, Bytes, &'static str)>,
    /// The folder that need not be in the package, since its files are on S3.
    pub(crate) moved: Option<PathBuf>,
}

impl Assets {
    /// The agent's prompt and tools, for the deployment bucket.
    ///
    /// # Errors
    /// When a file cannot be read, or there are more tools than the server unpacks.
    pub(crate) fn of(agent: &Agent, bucket: &str) -> Result<Self, PackageError> {
        let mut assets = Self::default();
        let prefix = format!("{}/assets", agent.deploy.name);
        let prompt = match &agent.prompt {
            Prompt::Text(text) => Some(Bytes::from(text.clone())),
            Prompt::File(path) => Some(read(&agent.folder.join(path))?),
            Prompt::None | Prompt::Object(_) => None,
        };
        if let Some(bytes) = prompt.filter(|bytes| !bytes.trim_ascii().is_empty()) {
            assets.prompt_key = format!("{prefix}/prompt-{}.md", package::digest(&bytes));
            assets.files.push((assets.prompt_key.clone(), bytes, "text/markdown; charset=utf-8"));
        }
        // A container image brings its own folder.
        if let (Tools::Folder(dir), true) = (&agent.tools, agent.deploy.hosting != Hosting::Agentcore) {
            let dir = agent.folder.join(dir);
            // Where the agent's own folder is that of the tools, they stay in the package.
            let own = dir.canonicalize().ok().zip(agent.folder.canonicalize().ok());
            if has_python(&dir) && own.is_some_and(|(dir, folder)| dir != folder) {
                let (bytes, names) = package::archive(&dir)?;
                if names > MAX_FILES {
                    return Err(PackageError::TooManyTools(dir, names, MAX_FILES));
                }
                let digest = package::digest(&bytes);
                let key = format!("{prefix}/tools-{digest}.zip");
                let entry = json!({
                    "bucketName": bucket, "key": key, "isFile": true, "isZipArchive": true, "sha256": digest,
                });
                assets.tools_config = Value::Array(vec![entry]).to_string();
                assets.files.push((key, bytes.into(), "application/zip"));
                assets.moved = Some(dir);
            }
        }
        Ok(assets)
    }

    /// The function's variables that name them, empty where there is nothing to name.
    pub(crate) fn variables(&self, bucket: &str) -> [(&'static str, String); 3] {
        let bucket = if self.prompt_key.is_empty() { String::new() } else { bucket.to_owned() };
        [
            ("SYSTEM_PROMPT_S3_BUCKET_NAME", bucket),
            ("SYSTEM_PROMPT_S3_KEY", self.prompt_key.clone()),
            ("TOOLS_CONFIG", self.tools_config.clone()),
        ]
    }
}

fn read(path: &Path) -> Result<Bytes, PackageError> {
    let bytes = std::fs::read(path);
    bytes.map(Bytes::from).map_err(|source| PackageError::Read { path: path.to_path_buf(), source })
}

fn has_python(dir: &Path) -> bool {
    let is_python = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "py");
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_python)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(folder: &Path, config: &str) -> Agent {
        std::fs::write(folder.join("loquat.toml"), config).unwrap();
        Agent::read(folder).unwrap()
    }

    #[test]
    fn prompt_and_tools_are_named_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tools")).unwrap();
        std::fs::write(folder.path().join("tools/shop.py"), "x = 1").unwrap();
        std::fs::write(folder.path().join("prompt.md"), "Be brief.").unwrap();
        let config = "system_prompt_file = \"prompt.md\"\n[deploy]\nname = \"shop\"\n";
        let one = Assets::of(&agent(folder.path(), config), "uploads").unwrap();
        assert!(one.prompt_key.starts_with("shop/assets/prompt-"), "{}", one.prompt_key);
        assert_eq!(&one.files[0].1[..], b"Be brief.");
        let tools: Value = serde_json::from_str(&one.tools_config).unwrap();
        assert_eq!(tools[0]["bucketName"], "uploads");
        assert_eq!(tools[0]["key"], one.files[1].0.as_str());
        assert_eq!(tools[0]["sha256"], package::digest(&one.files[1].1).as_str());
        let again = Assets::of(&agent(folder.path(), config), "uploads").unwrap();
        assert_eq!((&one.prompt_key, &one.tools_config), (&again.prompt_key, &again.tools_config));
        std::fs::write(folder.path().join("tools/shop.py"), "x = 2").unwrap();
        let other = Assets::of(&agent(folder.path(), config), "uploads").unwrap();
        assert_eq!(one.prompt_key, other.prompt_key);
        assert_ne!(one.tools_config, other.tools_config);
    }

    #[test]
    fn what_is_the_users_own_is_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tools")).unwrap();
        std::fs::write(folder.path().join("tools/shop.py"), "").unwrap();
        let own = "[{\"bucketName\": \"b\", \"key\": \"k.py\", \"isFile\": true}]";
        for config in [
            format!(
                "tools_config = '{own}'\nsystem_prompt_s3_bucket_name = \"b\"\nsystem_prompt_s3_key = \"p\"\n"
            ),
            format!(
                "system_prompt = \"x\"\n[deploy.environment]\nTOOLS_CONFIG = '{own}'\nLOQUAT_SYSTEM_PROMPT = \"y\"\n"
            ),
            "[[python.objects]]\nbucketName = \"b\"\nkey = \"k.py\"\nisFile = true\n".to_owned(),
        ] {
            let agent = agent(folder.path(), &config);
            assert!(matches!(&agent.tools, Tools::Objects(objects) if objects[0].key == "k.py"), "{config}");
            let assets = Assets::of(&agent, "uploads").unwrap();
            assert!(assets.files.is_empty() && assets.moved.is_none(), "{config}: {assets:?}");
            assert!(assets.variables("uploads").iter().all(|(_, value)| value.is_empty()));
        }
        let error = std::fs::write(folder.path().join("loquat.toml"), "tools_config = '{}'")
            .map(|()| Agent::read(folder.path()).unwrap_err().to_string());
        assert!(error.unwrap().contains("TOOLS_CONFIG"));
    }

    #[test]
    fn a_prompt_that_is_not_there_stops_the_deployment() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path(), "system_prompt_file = \"none.md\"\n");
        assert!(Assets::of(&agent, "uploads").unwrap_err().to_string().contains("none.md"));
    }
}
