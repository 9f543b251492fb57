//! The tables `[auth]` and `[web]`, checked.

use super::raw::RawConfig;
use super::{ConfigError, file};
use crate::auth::AuthConfig;
use crate::http::security::{Exposure, Security, WebConfig};

pub(super) fn auth(raw: &RawConfig, places: &file::Places) -> Result<AuthConfig, ConfigError> {
    // The value is not shown: somebody may have put a key itself where its hash belongs.
    raw.auth
        .check()
        .map_err(|error| places.wrong(&format!("auth.{}", error.key), "what is set", &error.expected))?;
    Ok(raw.auth.clone())
}

pub(super) fn web(raw: &RawConfig, places: &file::Places) -> Result<WebConfig, ConfigError> {
    Security::new(&raw.web, Exposure::Open, &raw.auth.page_connects_to())
        .map_err(|error| places.wrong(&format!("web.{}", error.key), "what is set", &error.expected))?;
    Ok(raw.web.clone())
}
