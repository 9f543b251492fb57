//! HTTP APIs as tools: each operation of an OpenAPI document (3.0 or 3.1, JSON or YAML) is one. Requests go through the
//! address guard; what an API answers is data.

mod document;
mod request;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::Value;
use url::Url;

use self::document::{Operation, operations};
pub(crate) use self::source::{ApiSource, ApiState};
use super::config::OpenApiConfig;
use super::guard::{Allowance, Answer, Ask, GuardError, GuardedClient, Lookup};
use super::naming::matches_any;

const MAX_ANSWER: usize = 1 << 20;
/// The longest document.
const MAX_DOCUMENT: usize = 16 << 20;

/// The tools of a document, and what was left out.
pub(crate) struct Loaded {
    pub(crate) tools: Vec<Arc<dyn Tool>>,
    pub(crate) problems: Vec<String>,
}

/// Reads the document and makes its tools.
///
/// # Errors
/// The document cannot be read; for the owner.
pub(crate) async fn load(config: &OpenApiConfig, lookup: Lookup) -> Result<Loaded, String> {
    let remote = Url::parse(&config.document).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let text = match &remote {
        // The owner wrote this address: it may be a private one.
        Some(url) => fetch(url.clone(), Arc::clone(&lookup)).await?,
        None => tokio::fs::read(&config.document).await.map_err(|error| error.to_string())?,
    };
    let document = parse(&text)?;
    let base = base_url(config, &document, remote.as_ref())?;
    let host = base.host_str().ok_or("the API's address has no host")?.to_owned();
    let hosts = if config.allow_hosts.is_empty() { vec![host] } else { config.allow_hosts.clone() };
    let client = GuardedClient::new(Allowance { hosts, private: config.allow_private }, lookup)
        .map_err(|error| error.to_string())?;
    let api = Arc::new(Api {
        base,
        client,
        credentials: credentials(config),
        max_bytes: config.max_bytes.unwrap_or(MAX_ANSWER),
    });
    let timeout = Duration::from_secs(config.call_timeout_seconds.unwrap_or(60));
    let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
    let mut problems = Vec::new();
    for found in operations(&document) {
        match found {
            Ok(operation) => {
                let wanted = (config.allow.is_empty() || matches_any(&config.allow, &operation.name))
                    && !matches_any(&config.deny, &operation.name);
                if wanted {
                    tools.push(Arc::new(ApiTool::new(operation, timeout, Arc::clone(&api))));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    Ok(Loaded { tools, problems })
}

/// A document in JSON or in YAML. JSON is tried first: it is read much faster, and its errors are told if it looks so.
fn parse(text: &[u8]) -> Result<Value, String> {
    let error = match serde_json::from_slice(text) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    if text.trim_ascii_start().starts_with(b"{") {
        return Err(format!("the document is not JSON: {error}"));
    }
    // The parser bounds nesting, and how much aliases may unfold to.
    let document: Value = serde_saphyr::from_slice(text).map_err(|error| {
        format!("the document is neither JSON nor YAML: {}", first_line(&error.to_string()))
    })?;
    match document {
        Value::Object(_) => Ok(document),
        _ => Err("the document is neither JSON nor YAML: it has no members".to_owned()),
    }
}

/// Reads a document and everything in it, without making its tools; for fuzzers.
pub(crate) fn look_at(text: &[u8]) {
    if let Ok(document) = parse(text) {
        for found in operations(&document) {
            drop(found);
        }
    }
}

/// Errors of the parser quote the document below.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

async fn fetch(url: Url, lookup: Lookup) -> Result<Vec<u8>, String> {
    let client = GuardedClient::new(Allowance { hosts: Vec::new(), private: true }, lookup)
        .map_err(|error| error.to_string())?;
    let ask = Ask {
        method: Method::GET,
        url,
        headers: HeaderMap::from_iter([(
            header::ACCEPT,
            HeaderValue::from_static("application/json, application/yaml"),
        )]),
        credentials: HeaderMap::new(),
        body: None,
        max_bytes: MAX_DOCUMENT,
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), client.send(ask))
        .await
        .map_err(|_| "the document did not arrive in time".to_owned())?
        .map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("the document's address answered {}", answer.status));
    }
    if answer.cut {
        return Err(format!("the document is longer than {MAX_DOCUMENT} bytes"));
    }
    Ok(answer.body.into())
}

/// The API's address: the owner's, else the document's first server, which may be relative to the document.
fn base_url(config: &OpenApiConfig, document: &Value, remote: Option<&Url>) -> Result<Url, String> {
    let told = config.base_url.clone().or_else(|| {
        let server = document.pointer("/servers/0")?;
        let mut url = server.get("url")?.as_str()?.to_owned();
        for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
            let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
            url = url.replace(&format!("{{{name}}}"), default);
        }
        Some(url)
    });
    let base = match (told, remote) {
        (Some(told), Some(remote)) => remote.join(&told).map_err(|error| error.to_string())?,
        (Some(told), None) => Url::parse(&told).map_err(|error| {
            format!("the API's address \"{told}\" cannot be used ({error}); set base_url")
        })?,
        (None, Some(remote)) => remote.join("/").map_err(|error| error.to_string())?,
        (None, None) => return Err("the document names no server; set base_url".to_owned()),
    };
    if matches!(base.scheme(), "http" | "https") {
        Ok(base)
    } else {
        Err(format!("the API's address \"{base}\" is not an http or https address"))
    }
}

fn credentials(config: &OpenApiConfig) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bearer = config.bearer_token.as_ref().map(|token| format!("Bearer {}", token.expose()));
    let pairs = config.headers.iter().map(|(name, value)| (name.as_str(), value.expose()));
    for (name, value) in pairs.chain(bearer.as_deref().map(|value| ("authorization", value))) {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

/// What the operations of one API share.
struct Api {
    base: Url,
    client: GuardedClient,
    credentials: HeaderMap,
    max_bytes: usize,
}

struct ApiTool {
    spec: ToolSpec,
    operation: Operation,
    api: Arc<Api>,
}

impl ApiTool {
    fn new(operation: Operation, timeout: Duration, api: Arc<Api>) -> Self {
        let mut spec =
            ToolSpec::new(operation.name.clone(), operation.description.clone(), operation.schema.clone());
        spec.timeout = timeout;
        // What the methods promise (RFC 9110).
        spec.read_only = matches!(operation.method, Method::GET | Method::HEAD);
        spec.idempotent = matches!(operation.method, Method::PUT | Method::DELETE);
        spec.needs_approval = operation.method == Method::DELETE;
        Self { spec, operation, api }
    }

    async fn send(&self, input: &Value) -> Result<ToolOutput, String> {
        let (url, mut headers, body) = request::build(&self.operation, &self.api.base, input)?;
        headers.extend(crate::telemetry::scope::headers());
        let ask = Ask {
            method: self.operation.method.clone(),
            url,
            headers,
            credentials: self.api.credentials.clone(),
            body,
            max_bytes: self.api.max_bytes,
        };
        let answer = self.api.client.send(ask).await.map_err(|error| match error {
            GuardError::Refused(why) => format!("The request was not made: {why}."),
            GuardError::Failed(why) => format!("The request failed: {why}."),
        })?;
        Ok(output(&answer))
    }
}

fn output(answer: &Answer) -> ToolOutput {
    let mut output = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(value @ Value::Object(_)) => ToolOutput::json(value),
        _ if answer.body.is_empty() => ToolOutput::text(answer.status.to_string()),
        _ => {
            let mut text = String::from_utf8_lossy(&answer.body).into_owned();
            if answer.cut {
                text.push_str("\n[the answer is longer than what is read of an answer]");
            }
            ToolOutput::text(text)
        }
    };
    if !answer.status.is_success() {
        let status = format!("The API answered {}.", answer.status);
        output.content.insert(0, loquat_agent::message::ToolContent::Text(status));
        output.is_error = true;
    }
    output
}

#[async_trait]
impl Tool for ApiTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        let sent = tokio::select! {
            sent = tokio::time::timeout_at(cx.deadline, self.send(&input)) => sent,
            () = cx.cancel.cancelled() => return ToolOutput::error("Stopped. The request may have been carried out."),
        };
        match sent {
            Ok(Ok(output)) => output,
            Ok(Err(why)) => ToolOutput::error(why),
            Err(_) => {
                ToolOutput::error("The API did not answer in time. The request may have been carried out.")
            }
        }
    }
}
