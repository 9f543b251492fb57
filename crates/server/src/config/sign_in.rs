//! The tables `[auth]` and `[web]`, checked.

use super::raw::RawConfig;
use super::{ConfigError, file};
use crate::auth::AuthConfig;
use crate::http::security::{Exposure, Security, WebConfig};

pub(super) fn auth(raw: &RawConfig, places: &file::Places) -> Result<AuthConfig, ConfigError> {
    // The value of a key is not shown: somebody may have put a key itself where its hash belongs.
    raw.auth
        .check()
        .map_err(|error| places.wrong_as_written(&format!("auth.{}", error.key), &error.expected))?;
    Ok(raw.auth.clone())
}

pub(super) fn web(raw: &RawConfig, places: &file::Places) -> Result<WebConfig, ConfigError> {
    Security::new(&raw.web, Exposure::Open, &raw.auth.page_connects_to())
        .map_err(|error| places.wrong_as_written(&format!("web.{}", error.key), &error.expected))?;
    Ok(raw.web.clone())
}
