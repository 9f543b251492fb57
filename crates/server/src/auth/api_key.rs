//! Sign-in with named keys of this server, for programs and for a household without an identity provider.
//!
//! A key is 256 random bits, so its plain SHA-256 tells nothing about it: slow password hashes defend what people make
//! up. Only hashes are stored.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::request::Parts;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use tokio::time::Instant;

use super::config::AuthConfigError;
use super::{AuthError, Authenticator, Principal, bearer};

/// What every key begins with, so that secret scanners and people know one when they see it.
const PREFIX: &str = "loquat_";
/// The header that a key may come in instead of `Authorization: Bearer`.
const HEADER: &str = "x-api-key";
/// How soon a change of the file counts.
const RELOAD: Duration = Duration::from_secs(1);

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedKey {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal.
    pub sha256: String,
    /// Whose conversations it opens; the key's name by default. Two keys of one user are how a key is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whether it opens the administration routes.
    #[serde(default)]
    pub admin: bool,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<jiff::Timestamp>,
}

impl NamedKey {
    /// A key of which the hash is known.
    #[must_use]
    pub fn from_hash(name: &str, sha256: &str) -> Self {
        Self { name: name.to_owned(), sha256: sha256.to_owned(), user: None, admin: false, created_at: None }
    }

    /// Makes a key. The second value is the key itself, which is not kept anywhere.
    #[must_use]
    pub fn generate(name: &str, user: Option<&str>, admin: bool) -> (Self, String) {
        // Two version-4 UUIDs are 244 bits of the system's generator; hashing them spreads these evenly.
        let mut random = Sha256::new();
        for _ in 0..3 {
            random.update(uuid::Uuid::new_v4().as_bytes());
        }
        let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random.finalize()));
        let stored = Self {
            name: name.to_owned(),
            sha256: hex(&Sha256::digest(key.as_bytes())),
            user: user.map(str::to_owned),
            admin,
            created_at: Some(jiff::Timestamp::now()),
        };
        (stored, key)
    }
}

/// Why the file of keys was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// It is not what this program writes.
    #[error("{path}: not a file of keys: {detail}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A key of this name exists.
    #[error("there is a key named `{0}` already")]
    Exists(String),
    /// A name is 1 to 64 of `A-Z a-z 0-9 . _ -`.
    #[error("a key's name is 1 to 64 of A-Z a-z 0-9 . _ -")]
    Name,
}

/// The file that `loquat keys` writes and the server reads.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    keys: Vec<NamedKey>,
}

impl KeyFile {
    /// The file within a data directory.
    #[must_use]
    pub fn within(data_dir: &Path) -> Self {
        Self { path: data_dir.join("api-keys.json") }
    }

    /// The keys; none where there is no file.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn read(&self) -> Result<Vec<NamedKey>, KeyFileError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io(source)),
        };
        let format = |detail: String| KeyFileError::Format { path: self.path.clone(), detail };
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| format(error.to_string()))?;
        for key in &stored.keys {
            digest(key).map_err(|error| format(error.expected))?;
        }
        Ok(stored.keys)
    }

    /// Makes a key and returns it; it cannot be had again.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`], [`KeyFileError::Name`], or if the file cannot be changed.
    pub fn add(&self, name: &str, user: Option<&str>, admin: bool) -> Result<String, KeyFileError> {
        let plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if name.is_empty() || name.len() > 64 || !plain(name) {
            return Err(KeyFileError::Name);
        }
        let _lock = self.lock()?;
        let mut keys = self.read()?;
        if keys.iter().any(|key| key.name == name) {
            return Err(KeyFileError::Exists(name.to_owned()));
        }
        let (stored, key) = NamedKey::generate(name, user, admin);
        keys.push(stored);
        self.write(keys)?;
        Ok(key)
    }

    /// Takes a key away; `false` if there is none of this name.
    ///
    /// # Errors
    /// If the file cannot be changed.
    pub fn revoke(&self, name: &str) -> Result<bool, KeyFileError> {
        let _lock = self.lock()?;
        let mut keys = self.read()?;
        let before = keys.len();
        keys.retain(|key| key.name != name);
        if keys.len() == before {
            return Ok(false);
        }
        self.write(keys)?;
        Ok(true)
    }

    /// Keeps two `loquat keys` from losing each other's change, until it is dropped.
    fn lock(&self) -> Result<fs::File, KeyFileError> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|error| self.io(error))?;
        }
        let lock = fs::File::create(self.path.with_extension("lock")).map_err(|error| self.io(error))?;
        lock.lock().map_err(|error| self.io(error))?;
        Ok(lock)
    }

    /// Replaces the file at once, readable by its owner only.
    fn write(&self, keys: Vec<NamedKey>) -> Result<(), KeyFileError> {
        let format = |error: serde_json::Error| KeyFileError::Format {
            path: self.path.clone(),
            detail: error.to_string(),
        };
        let bytes = serde_json::to_vec_pretty(&Stored { keys }).map_err(format)?;
        let new = self.path.with_extension("new");
        let replace = || {
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        };
        replace().map_err(|error| self.io(error))
    }

    fn changed_at(&self) -> Option<SystemTime> {
        fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
    }

    fn io(&self, source: std::io::Error) -> KeyFileError {
        KeyFileError::Io { path: self.path.clone(), source }
    }
}

/// Accepts the keys of a file and of the configuration.
#[derive(Debug)]
pub(crate) struct ApiKeyAuthenticator {
    file: Option<KeyFile>,
    configured: Vec<Known>,
    from_file: RwLock<FromFile>,
}

#[derive(Debug, Default)]
struct FromFile {
    keys: Arc<Vec<Known>>,
    changed_at: Option<SystemTime>,
    looked: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Known {
    digest: [u8; 32],
    principal: Principal,
}

impl Known {
    fn new(key: &NamedKey) -> Result<Self, AuthConfigError> {
        let mut principal = Principal::user(key.user.as_deref().unwrap_or(&key.name));
        principal.admin = key.admin;
        Ok(Self { digest: digest(key)?, principal })
    }
}

impl ApiKeyAuthenticator {
    pub(crate) fn new(file: Option<KeyFile>, configured: &[NamedKey]) -> Result<Self, AuthConfigError> {
        let configured = configured.iter().map(Known::new).collect::<Result<_, _>>()?;
        let authenticator = Self { file, configured, from_file: RwLock::default() };
        authenticator.reload();
        Ok(authenticator)
    }

    /// The keys of the file; looks at it again if it was not looked at for a second. That is one `stat` of a local
    /// file, which is cheaper than handing it to another thread.
    fn reload(&self) -> Arc<Vec<Known>> {
        let Some(file) = &self.file else { return Arc::default() };
        {
            let known = self.from_file.read();
            if known.looked.is_some_and(|looked| looked.elapsed() < RELOAD) {
                return known.keys.clone();
            }
        }
        let mut known = self.from_file.write();
        let changed_at = file.changed_at();
        if known.looked.is_none() || known.changed_at != changed_at || changed_at.is_none() {
            let read = file.read().and_then(|keys| {
                keys.iter()
                    .map(Known::new)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| KeyFileError::Format { path: file.path.clone(), detail: error.expected })
            });
            match read {
                Ok(keys) => known.keys = Arc::new(keys),
                Err(error) => {
                    // A key may have been revoked in what cannot be read: nobody gets in on yesterday's list.
                    tracing::error!(%error, "the file of keys cannot be read");
                    known.keys = Arc::default();
                }
            }
            known.changed_at = changed_at;
        }
        known.looked = Some(Instant::now());
        known.keys.clone()
    }
}

/// The key of a request: in `x-api-key`, or as a bearer token.
fn presented(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(HEADER).iter();
    let refuse = |reason| Err(AuthError::Unauthorized { reason });
    match (values.next(), values.next()) {
        (None, _) => bearer::token(headers),
        (Some(value), None) if !headers.contains_key(http::header::AUTHORIZATION) => {
            value.to_str().or_else(|_| refuse("credential_not_ascii"))
        }
        _ => refuse("credential_twice"),
    }
}

#[async_trait]
impl Authenticator for ApiKeyAuthenticator {
    fn kind(&self) -> &'static str {
        "api_key"
    }

    async fn authenticate(&self, parts: &Parts) -> Result<Principal, AuthError> {
        let key = presented(&parts.headers)?;
        if key.len() > 256 {
            return Err(AuthError::Unauthorized { reason: "key_too_long" });
        }
        let presented: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let from_file = self.reload();
        // Every key is compared, whole, whichever matches: the time tells nothing.
        let mut found = u32::MAX;
        let all = || self.configured.iter().chain(from_file.iter());
        for (number, known) in (0u32..).zip(all()) {
            let same: Choice = known.digest.ct_eq(&presented);
            found = u32::conditional_select(&found, &number, same);
        }
        usize::try_from(found)
            .ok()
            .and_then(|number| all().nth(number))
            .map(|known| known.principal.clone())
            .ok_or(AuthError::Unauthorized { reason: "key_unknown" })
    }
}

fn digest(key: &NamedKey) -> Result<[u8; 32], AuthConfigError> {
    let wrong = || AuthConfigError {
        key: "keys",
        expected: format!("the SHA-256 of key `{}` as 64 hexadecimal digits", key.name),
    };
    let mut bytes = [0; 32];
    if key.sha256.len() != 64 || !key.sha256.is_ascii() {
        return Err(wrong());
    }
    for (byte, digits) in bytes.iter_mut().zip(key.sha256.as_bytes().chunks(2)) {
        *byte = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| !digits.starts_with('+'))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(wrong)?;
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(header: &str, value: &str) -> Parts {
        http::Request::get("/").header(header, value).body(()).unwrap().into_parts().0
    }

    async fn user(
        authenticator: &ApiKeyAuthenticator,
        header: &str,
        value: &str,
    ) -> Result<String, &'static str> {
        match authenticator.authenticate(&request(header, value)).await {
            Ok(principal) => Ok(principal.user.unwrap().to_string()),
            Err(AuthError::Unauthorized { reason }) => Err(reason),
            Err(AuthError::Unavailable { .. }) => Err("unavailable"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_works_from_when_it_is_added_until_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::within(folder.path());
        let server = ApiKeyAuthenticator::new(Some(file.clone()), &[]).unwrap();
        assert_eq!(user(&server, HEADER, "loquat_x").await, Err("key_unknown"));

        let key = file.add("laptop", None, false).unwrap();
        let second = file.add("phone", Some("ann"), true).unwrap();
        assert!(matches!(file.add("phone", None, false), Err(KeyFileError::Exists(_))));
        assert!(matches!(file.add("a b", None, false), Err(KeyFileError::Name)));
        tokio::time::advance(RELOAD).await;
        assert_eq!(user(&server, HEADER, &key).await, Ok("laptop".into()));
        assert_eq!(user(&server, "authorization", &format!("Bearer {second}")).await, Ok("ann".into()));
        assert!(server.authenticate(&request(HEADER, &second)).await.unwrap().admin);

        let text = fs::read_to_string(folder.path().join("api-keys.json")).unwrap();
        assert!(!text.contains(&key) && !text.contains(&second), "only hashes are stored");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join("api-keys.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        assert!(file.revoke("laptop").unwrap());
        assert!(!file.revoke("laptop").unwrap());
        tokio::time::advance(RELOAD).await;
        assert_eq!(user(&server, HEADER, &key).await, Err("key_unknown"));
        assert_eq!(user(&server, HEADER, &second).await, Ok("ann".into()));

        fs::write(folder.path().join("api-keys.json"), "{").unwrap();
        tokio::time::advance(RELOAD).await;
        assert_eq!(user(&server, HEADER, &second).await, Err("key_unknown"), "a broken file lets nobody in");
    }

    #[tokio::test]
    async fn keys_of_the_configuration_work_and_everything_else_is_refused() {
        let (stored, key) = NamedKey::generate("ci", None, false);
        let server = ApiKeyAuthenticator::new(None, std::slice::from_ref(&stored)).unwrap();
        assert_eq!(user(&server, HEADER, &key).await, Ok("ci".into()));
        assert_eq!(
            user(&server, HEADER, &stored.sha256).await,
            Err("key_unknown"),
            "the hash is not the key"
        );
        assert_eq!(user(&server, HEADER, "").await, Err("key_unknown"));
        assert_eq!(user(&server, HEADER, &"x".repeat(300)).await, Err("key_too_long"));
        assert_eq!(user(&server, "authorization", "Basic eDp5").await, Err("credential_not_bearer"));
        assert_eq!(user(&server, "accept", "*/*").await, Err("credential_missing"));
        let mut both = request(HEADER, &key);
        both.headers.insert(http::header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
        assert!(server.authenticate(&both).await.is_err());
        let (_, other) = NamedKey::generate("ci", None, false);
        assert_ne!(key, other);
        assert_eq!(key.len(), PREFIX.len() + 43);
    }
}
