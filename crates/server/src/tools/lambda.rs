//! Lambda functions as tools. The input is the function's event; who calls and the call's id, which is an idempotency
//! key, are in the client context (`context.client_context.custom` in Python).

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use http::StatusCode;
use loquat_agent::tool::{Tool, ToolContext, ToolOutput, ToolSpec};
use serde_json::{Value, json};

use super::aws::{AwsCaller, AwsRequest, Service, error_text};
use super::config::LambdaConfig;
use crate::aws::AwsLoader;

pub(crate) struct LambdaTool {
    spec: ToolSpec,
    config: LambdaConfig,
    aws: AwsCaller,
}

impl LambdaTool {
    pub(crate) fn new(config: &LambdaConfig, aws: AwsLoader) -> Result<Self, String> {
        let schema = super::mcp::check_schema(config.schema.clone())?;
        let spec = ToolSpec::new(config.name.clone(), config.description.clone(), schema);
        Ok(Self { spec, config: config.clone(), aws: AwsCaller::new(aws) })
    }

    async fn invoke(&self, input: &Value, cx: &ToolContext) -> Result<ToolOutput, String> {
        let answer = self.aws.post(request(&self.config, input, cx)).await?;
        if !answer.status.is_success() {
            return Err(match answer.status {
                StatusCode::TOO_MANY_REQUESTS => "the function is busy; it did not run".to_owned(),
                _ => error_text(&answer),
            });
        }
        let body = String::from_utf8_lossy(&answer.body);
        if answer.headers.contains_key("x-amz-function-error") {
            // The message only: stack traces are of no use to the model.
            let error: Option<Value> = serde_json::from_str(&body).ok();
            let field = |name: &str| Some(error.as_ref()?.get(name)?.as_str()?.to_owned());
            let message = field("errorMessage").unwrap_or_else(|| "the function failed".to_owned());
            return Err(match field("errorType") {
                Some(kind) => format!("{kind}: {message}"),
                None => message,
            });
        }
        Ok(output(&body))
    }
}

/// A function's answer as the model reads it. One that answers as behind an API is read as such.
fn output(body: &str) -> ToolOutput {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return ToolOutput::text(body);
    };
    if let (Some(status), Some(inner)) =
        (value.get("statusCode").and_then(Value::as_u64), value.get("body").and_then(Value::as_str))
    {
        let mut inner = output(inner);
        inner.is_error |= status >= 400;
        return inner;
    }
    match value {
        Value::Object(_) => ToolOutput::json(value),
        Value::String(text) => ToolOutput::text(text),
        Value::Null => ToolOutput::default(),
        other => ToolOutput::text(other.to_string()),
    }
}

fn request(config: &LambdaConfig, input: &Value, cx: &ToolContext) -> AwsRequest {
    let custom = json!({
        "call_id": cx.call_id, "run_id": cx.run_id, "session_id": cx.session_id, "user": cx.user,
    });
    let context = base64::engine::general_purpose::STANDARD.encode(json!({"custom": custom}).to_string());
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let mut path = format!("/2015-03-31/functions/{}/invocations", encode(&config.arn));
    if let Some(qualifier) = &config.qualifier {
        path.push_str(&format!("?Qualifier={}", encode(qualifier)));
    }
    // arn:aws:lambda:REGION:account:function:name
    let of_arn = config.arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2)).map(str::to_owned);
    AwsRequest {
        service: Service { host: "lambda", signing_name: "lambda", id: "Lambda" },
        region: config.region.clone().or(of_arn),
        path,
        headers: vec![
            ("x-amz-invocation-type", "RequestResponse".to_owned()),
            ("x-amz-client-context", context),
        ],
        body: Bytes::from(input.to_string()),
    }
}

#[async_trait]
impl Tool for LambdaTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, input: Value, cx: ToolContext) -> ToolOutput {
        let done = tokio::select! {
            done = tokio::time::timeout_at(cx.deadline, self.invoke(&input, &cx)) => done,
            () = cx.cancel.cancelled() => return ToolOutput::error("Stopped. The function may have run."),
        };
        match done {
            Ok(Ok(output)) => output,
            Ok(Err(why)) => ToolOutput::error(format!("The function failed: {why}")),
            Err(_) => ToolOutput::error("The function did not answer in time. It may have run."),
        }
    }
}

#[cfg(test)]
mod tests;
