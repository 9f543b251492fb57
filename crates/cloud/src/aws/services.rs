//! The calls to everything else: STS, Lambda, Cognito, CloudFront, CloudWatch Logs, API Gateway.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{Aws, AwsError, Call, Service, encode, error::element};

const STS: Service = Service { signing: "sts", host: "sts", id: "STS", global: false };
const LAMBDA: Service = Service { signing: "lambda", host: "lambda", id: "Lambda", global: false };
const COGNITO: Service =
    Service { signing: "cognito-idp", host: "cognito-idp", id: "Cognito Identity Provider", global: false };
const CLOUDFRONT: Service =
    Service { signing: "cloudfront", host: "cloudfront", id: "CloudFront", global: true };
const LOGS: Service = Service { signing: "logs", host: "logs", id: "CloudWatch Logs", global: false };
const API_GATEWAY: Service =
    Service { signing: "apigateway", host: "apigateway", id: "API Gateway", global: false };

/// A log line.
#[derive(Clone, Debug)]
pub struct LogEvent {
    /// Its id.
    pub id: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The line.
    pub message: String,
}

impl Aws {
    /// The account's number.
    ///
    /// # Errors
    /// When the credentials are not good.
    pub async fn account(&self) -> Result<String, AwsError> {
        let action = "GetCallerIdentity";
        let call = Call {
            service: STS,
            method: Method::POST,
            path: "/".into(),
            headers: vec![("content-type", "application/x-www-form-urlencoded".into())],
            body: Bytes::from_static(b"Action=GetCallerIdentity&Version=2011-06-15"),
            action,
        };
        let (_, body) = self.call(call).await?;
        element(&String::from_utf8_lossy(&body), "Account")
            .ok_or_else(|| AwsError::unreadable(action, "no account"))
    }

    async fn json(
        &self,
        service: Service,
        prefix: &str,
        action: &str,
        body: Value,
    ) -> Result<Value, AwsError> {
        let call = Call {
            service,
            method: Method::POST,
            path: "/".into(),
            headers: vec![
                ("content-type", "application/x-amz-json-1.1".into()),
                ("x-amz-target", format!("{prefix}.{action}")),
            ],
            body: body.to_string().into(),
            action,
        };
        let (_, body) = self.call(call).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| AwsError::unreadable(action, error))
    }

    async fn rest(
        &self,
        service: Service,
        method: Method,
        path: String,
        body: Option<Value>,
        action: &str,
    ) -> Result<Value, AwsError> {
        let call = Call {
            service,
            method,
            path,
            headers: vec![("content-type", "application/json".into())],
            body: body.map(|body| Bytes::from(body.to_string())).unwrap_or_default(),
            action,
        };
        let (_, body) = self.call(call).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|error| AwsError::unreadable(action, error))
    }

    /// Gives a function new code from S3.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn update_function_code(
        &self,
        function: &str,
        bucket: &str,
        key: &str,
        architecture: &str,
    ) -> Result<(), AwsError> {
        let path = format!("/2015-03-31/functions/{}/code", encode(function));
        let body = json!({ "S3Bucket": bucket, "S3Key": key, "Architectures": [architecture] });
        self.rest(LAMBDA, Method::PUT, path, Some(body), "UpdateFunctionCode").await.map(drop)
    }

    /// Gives a function these environment variables in place of those it has.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn update_function_environment(
        &self,
        function: &str,
        variables: serde_json::Map<String, Value>,
    ) -> Result<(), AwsError> {
        let path = format!("/2015-03-31/functions/{}/configuration", encode(function));
        let body = json!({ "Environment": { "Variables": variables } });
        self.rest(LAMBDA, Method::PUT, path, Some(body), "UpdateFunctionConfiguration").await.map(drop)
    }

    /// A function's configuration.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn function(&self, function: &str) -> Result<Value, AwsError> {
        let path = format!("/2015-03-31/functions/{}/configuration", encode(function));
        self.rest(LAMBDA, Method::GET, path, None, "GetFunctionConfiguration").await
    }

    /// Whether the account has a role for API Gateway's logs.
    ///
    /// # Errors
    /// When AWS cannot be asked.
    pub async fn has_api_log_role(&self) -> Result<bool, AwsError> {
        let account = self.rest(API_GATEWAY, Method::GET, "/account".into(), None, "GetAccount").await?;
        Ok(account["cloudwatchRoleArn"].as_str().is_some_and(|arn| !arn.is_empty()))
    }

    /// Invites a user: Cognito mails a temporary password.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn create_user(&self, pool: &str, email: &str, invite: bool) -> Result<(), AwsError> {
        let mut body = json!({
            "UserPoolId": pool,
            "Username": email,
            "UserAttributes": [{ "Name": "email", "Value": email }, { "Name": "email_verified", "Value": "true" }]
        });
        if invite {
            body["DesiredDeliveryMediums"] = json!(["EMAIL"]);
        } else {
            body["MessageAction"] = json!("SUPPRESS");
        }
        self.cognito("AdminCreateUser", body).await.map(drop)
    }

    /// Gives a user a password that need not be changed.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn set_password(&self, pool: &str, user: &str, password: &str) -> Result<(), AwsError> {
        let body = json!({ "UserPoolId": pool, "Username": user, "Password": password, "Permanent": true });
        self.cognito("AdminSetUserPassword", body).await.map(drop)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn delete_user(&self, pool: &str, user: &str) -> Result<(), AwsError> {
        self.cognito("AdminDeleteUser", json!({ "UserPoolId": pool, "Username": user })).await.map(drop)
    }

    /// A call to Cognito.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn cognito(&self, action: &str, body: Value) -> Result<Value, AwsError> {
        self.json(COGNITO, "AWSCognitoIdentityProviderService", action, body).await
    }

    /// Makes CloudFront forget everything it has.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn invalidate(&self, distribution: &str, reference: &str) -> Result<(), AwsError> {
        let body = format!(
            "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>1</Quantity>\
             <Items><Path>/*</Path></Items></Paths><CallerReference>{reference}</CallerReference></InvalidationBatch>"
        );
        let call = Call {
            service: CLOUDFRONT,
            method: Method::POST,
            path: format!("/2020-05-31/distribution/{}/invalidation", encode(distribution)),
            headers: vec![("content-type", "application/xml".into())],
            body: body.into(),
            action: "CreateInvalidation",
        };
        self.call(call).await.map(drop)
    }

    /// Log lines of a group since a time, a page of them, and the token of the next page.
    ///
    /// # Errors
    /// When AWS refuses.
    pub async fn log_events(
        &self,
        group: &str,
        since: i64,
        filter: Option<&str>,
        token: Option<&str>,
    ) -> Result<(Vec<LogEvent>, Option<String>), AwsError> {
        let mut body = json!({ "logGroupName": group, "startTime": since, "limit": 1_000 });
        if let Some(filter) = filter {
            body["filterPattern"] = json!(filter);
        }
        if let Some(token) = token {
            body["nextToken"] = json!(token);
        }
        let answer = self.json(LOGS, "Logs_20140328", "FilterLogEvents", body).await?;
        let events = answer["events"].as_array().into_iter().flatten().map(|event| LogEvent {
            id: event["eventId"].as_str().unwrap_or_default().to_owned(),
            timestamp: event["timestamp"].as_i64().unwrap_or_default(),
            message: event["message"].as_str().unwrap_or_default().to_owned(),
        });
        Ok((events.collect(), answer["nextToken"].as_str().map(str::to_owned)))
    }
}
