//! Finding and reading `loquat.toml`, and saying where in it a setting stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::raw::RawConfig;
use super::{ConfigError, Folders, env, expected};

/// The file's usual name.
const NAME: &str = "loquat.toml";

/// The configuration file and its text. A named file has to exist.
pub(super) fn find(named: Option<PathBuf>) -> Result<(Option<PathBuf>, String), ConfigError> {
    let path = named.clone().unwrap_or_else(|| PathBuf::from(NAME));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((Some(path), text)),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((None, String::new()))
        }
        Err(error) => Err(ConfigError {
            place: "--config".into(),
            key: "file".into(),
            value: path.display().to_string(),
            expected: format!("a file that can be read ({error})"),
        }),
    }
}

/// Reads the file's keys.
pub(super) fn parse(path: &Path, text: &str) -> Result<RawConfig, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let (line, written) = match error.span() {
            Some(span) => {
                let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
                (line, text.lines().nth(line - 1).unwrap_or_default().trim())
            }
            None => (1, ""),
        };
        // A line without a value is the head of a table.
        let head = (written.trim_matches(['[', ']']), "a table");
        let (key, value) = written.split_once('=').map_or(head, |(k, v)| (k.trim(), v.trim()));
        ConfigError {
            place: format!("{}:{line}", path.display()),
            key: if key.is_empty() { "file".into() } else { key.into() },
            value: if secretive(key) { "***".into() } else { value.into() },
            expected: expected::of(error.message()),
        }
    })
}

/// Whether what is written under this name is kept out of errors. Somebody may have written a key where its variable's
/// name or its hash belongs; headers and the environment of a child process hold keys as a matter of course.
pub(super) fn secretive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // Numbers of tokens, and which token the API takes, are no secrets.
    let key = key.replace("tokens", "").replace("api_token", "");
    ["key", "secret", "token", "password", "header", "env", "authorization"]
        .iter()
        .any(|word| key.contains(word))
}

/// The platform's folders, unless others are named.
pub(super) fn folders(raw: &RawConfig, env: &BTreeMap<String, String>) -> Folders {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("HOME").or_else(|| absolute("USERPROFILE"));
    let usual = |xdg: &str, mac: &str, unix: &str| {
        if cfg!(target_os = "macos") {
            return home.as_ref().map(|home| home.join(mac).join("loquat"));
        }
        absolute(xdg).or_else(|| home.as_ref().map(|home| home.join(unix))).map(|path| path.join("loquat"))
    };
    let data = usual("XDG_DATA_HOME", "Library/Application Support", ".local/share");
    let models = usual("XDG_CACHE_HOME", "Library/Caches", ".cache").map(|cache| cache.join("models"));
    Folders { data: raw.data_dir.clone().or(data), models: raw.model_dir.clone().or(models) }
}

/// As much of a value as a line of an error has room for.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// Where settings stand.
pub(crate) struct Places {
    file: Option<PathBuf>,
    text: String,
    env: BTreeMap<String, String>,
}

impl Places {
    pub(super) fn new(file: Option<PathBuf>, text: String, env: BTreeMap<String, String>) -> Self {
        Self { file, text, env }
    }

    /// An error about a setting, with where it stands: the variable if it is set, else the line of the file.
    pub(crate) fn wrong(&self, key: &str, value: &str, expected: &str) -> ConfigError {
        let place = match env::variable(key).filter(|variable| self.env.contains_key(*variable)) {
            Some(variable) => variable.to_owned(),
            None => match (&self.file, self.line(key)) {
                (Some(file), Some(line)) => format!("{}:{line}", file.display()),
                (Some(file), None) => file.display().to_string(),
                (None, _) => "settings".to_owned(),
            },
        };
        ConfigError { place, key: key.to_owned(), value: value.to_owned(), expected: expected.to_owned() }
    }

    /// The same, with what is written there: a text that is not secret is shown.
    pub(crate) fn wrong_as_written(&self, key: &str, expected: &str) -> ConfigError {
        let variable = env::variable(key).and_then(|variable| self.env.get(variable));
        let own_line = self.line(key).and_then(|line| self.text.lines().nth(line - 1));
        let value = match (variable.filter(|value| !value.is_empty()), own_line) {
            (None, None) => "not set",
            _ if secretive(key) => "***",
            (Some(value), _) => value,
            (None, Some(line)) => line.split_once('=').map_or("a table", |(_, value)| value.trim()),
        };
        self.wrong(key, &shortened(value), expected)
    }

    /// Whether the file has a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.line(key).is_some()
    }

    /// The line where a key (`table.key`, `tables[0].key`, or a table itself) is written; for a key of one of several
    /// tables that is not written at all, the line of that table.
    fn line(&self, key: &str) -> Option<usize> {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut current = String::new();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut indexed = None;
        for (n, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(header) = line.strip_prefix("[[").and_then(|header| header.split_once("]]")) {
                let of = header.0.trim();
                let count = counts.entry(of).and_modify(|count| *count += 1).or_insert(0);
                current = format!("{of}[{count}]");
            } else if let Some(header) = line.strip_prefix('[').and_then(|header| header.rsplit_once(']')) {
                let of = header.0.trim();
                current =
                    match of.split_once('.').and_then(|(list, rest)| Some((list, counts.get(list)?, rest))) {
                        Some((list, count, rest)) => format!("{list}[{count}].{rest}"),
                        None => of.to_owned(),
                    };
            } else {
                if line.split('=').next().is_some_and(|written| written.trim() == name)
                    && (current == table || (!table.is_empty() && current.starts_with(&format!("{table}."))))
                {
                    return Some(n + 1);
                }
                continue;
            }
            if current == key {
                return Some(n + 1);
            }
            if current == table && table.ends_with(']') {
                indexed = Some(n + 1);
            }
        }
        indexed
    }
}
