//! Filling in and checking what the types cannot.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{BuiltinTool, McpConfig, ToolConfigError, ToolsConfig};
use crate::secret::Secret;
use crate::tools::builtin::current_time;

/// What the reference's tools find in their environment and cannot do without.
const AWS_NAMES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

impl ToolsConfig {
    /// Replaces `${NAME}` in the values that can hold secrets (environment, headers, tokens, addresses, arguments).
    ///
    /// # Errors
    /// A name that `lookup` does not know, or a `${` without an end.
    pub fn expand(&mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), ToolConfigError> {
        let text = |key: String, value: &mut String| -> Result<(), ToolConfigError> {
            *value = expand(value, lookup).map_err(|problem| ToolConfigError::new(key, problem))?;
            Ok(())
        };
        let secret = |key: String, value: &mut Secret| -> Result<(), ToolConfigError> {
            let mut plain = value.expose().to_owned();
            text(key, &mut plain)?;
            *value = Secret::new(plain);
            Ok(())
        };
        let secrets = |key: &str, map: &mut BTreeMap<String, Secret>| -> Result<(), ToolConfigError> {
            map.iter_mut().try_for_each(|(name, value)| secret(format!("{key}.{name}"), value))
        };
        for (i, server) in self.mcp.iter_mut().enumerate() {
            let key = format!("mcp[{i}]");
            secrets(&format!("{key}.env"), &mut server.env)?;
            secrets(&format!("{key}.headers"), &mut server.headers)?;
            for arg in &mut server.args {
                text(format!("{key}.args"), arg)?;
            }
            if let Some(url) = &mut server.url {
                text(format!("{key}.url"), url)?;
            }
            if let Some(token) = &mut server.bearer_token {
                secret(format!("{key}.bearer_token"), token)?;
            }
            if let Some(oauth) = &mut server.oauth {
                text(format!("{key}.oauth.client_id"), &mut oauth.client_id)?;
                secret(format!("{key}.oauth.client_secret"), &mut oauth.client_secret)?;
            }
        }
        for (i, api) in self.openapi.iter_mut().enumerate() {
            let key = format!("openapi[{i}]");
            secrets(&format!("{key}.headers"), &mut api.headers)?;
            if let Some(token) = &mut api.bearer_token {
                secret(format!("{key}.bearer_token"), token)?;
            }
        }
        secrets("python.env", &mut self.python.env)?;
        let of_objects = if self.python.objects.is_empty() { &[][..] } else { AWS_NAMES };
        let listed = self.python.pass_env.iter().map(String::as_str);
        for name in of_objects.iter().copied().chain(listed) {
            if let Some(value) = lookup(name) {
                self.python.env.entry(name.to_owned()).or_insert_with(|| Secret::new(value));
            }
        }
        Ok(())
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ToolConfigError> {
        if self.tools.contains(&BuiltinTool::Retrieve) && self.builtin.retrieve.is_none() {
            return Err(ToolConfigError::new(
                "builtin.retrieve",
                "the tool retrieve is on: expected a table with knowledge_base_id",
            ));
        }
        if let Some(retrieve) = &self.builtin.retrieve
            && !(1..=100).contains(&retrieve.results)
        {
            return Err(ToolConfigError::new("builtin.retrieve.results", "expected 1 to 100"));
        }
        if current_time::zone(&self.builtin.current_time.timezone).is_none() {
            return Err(ToolConfigError::new(
                "builtin.current_time.timezone",
                "expected an IANA time zone like Europe/Berlin",
            ));
        }
        let mut names = BTreeSet::new();
        let mut source = |key: String, name: &str| -> Result<(), ToolConfigError> {
            let ok = (1..=32).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if !ok {
                return Err(ToolConfigError::new(key, "expected 1 to 32 of a-z A-Z 0-9 _ -"));
            }
            if !names.insert(name.to_owned()) {
                return Err(ToolConfigError::new(key, format!("\"{name}\" is used twice")));
            }
            Ok(())
        };
        for (i, server) in self.mcp.iter().enumerate() {
            source(format!("mcp[{i}].name"), &server.name)?;
            server.validate(&format!("mcp[{i}]"))?;
        }
        for (i, api) in self.openapi.iter().enumerate() {
            source(format!("openapi[{i}].name"), &api.name)?;
            if api.document.is_empty() {
                return Err(ToolConfigError::new(
                    format!("openapi[{i}].document"),
                    "expected a file or an address",
                ));
            }
            check_headers(&format!("openapi[{i}].headers"), &api.headers)?;
        }
        for (i, function) in self.lambda.iter().enumerate() {
            source(format!("lambda[{i}].name"), &function.name)?;
            if function.schema.get("type").and_then(Value::as_str) != Some("object") {
                return Err(ToolConfigError::new(
                    format!("lambda[{i}].schema"),
                    "expected a JSON Schema with type = \"object\"",
                ));
            }
            if function.arn.is_empty() {
                return Err(ToolConfigError::new(format!("lambda[{i}].arn"), "expected an ARN or a name"));
            }
        }
        Ok(())
    }
}

impl McpConfig {
    fn validate(&self, key: &str) -> Result<(), ToolConfigError> {
        match (&self.command, &self.url) {
            (Some(command), None) if !command.is_empty() => {}
            (None, Some(url)) => {
                let ok = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
                if !ok {
                    return Err(ToolConfigError::new(
                        format!("{key}.url"),
                        "expected an http or https address",
                    ));
                }
            }
            _ => return Err(ToolConfigError::new(key, "expected either command or url")),
        }
        if self.bearer_token.is_some() && self.oauth.is_some() {
            return Err(ToolConfigError::new(key, "expected either bearer_token or oauth, not both"));
        }
        if self.command.is_some()
            && (self.oauth.is_some() || self.bearer_token.is_some() || !self.headers.is_empty())
        {
            return Err(ToolConfigError::new(
                key,
                "headers, bearer_token and oauth belong to servers with a url",
            ));
        }
        check_headers(&format!("{key}.headers"), &self.headers)
    }
}

fn check_headers(key: &str, headers: &BTreeMap<String, Secret>) -> Result<(), ToolConfigError> {
    for (name, value) in headers {
        let ok = http::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && http::HeaderValue::from_str(value.expose()).is_ok();
        if !ok {
            return Err(ToolConfigError::new(format!("{key}.{name}"), "not a valid header"));
        }
    }
    Ok(())
}

fn expand(value: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        let tail = &rest[start + 2..];
        let end = tail.find('}').ok_or("expected a closing } after ${")?;
        let name = &tail[..end];
        out.push_str(&lookup(name).ok_or_else(|| format!("the environment variable {name} is not set"))?);
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
