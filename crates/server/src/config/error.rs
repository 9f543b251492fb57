//! A setting that is wrong.

/// What is wrong with a setting, in one line: where it stands, its name, its value, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {key} = {value}: expected {expected}")]
pub struct ConfigError {
    /// A file with its line, a variable of the environment, or a flag.
    pub place: String,
    /// The setting.
    pub key: String,
    /// What was written. Never a secret.
    pub value: String,
    /// What may be written.
    pub expected: String,
}
