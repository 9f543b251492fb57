//! The `[deploy]` table of `loquat.toml`: every choice about the AWS stack, with its default.
//!
//! Unknown keys are refused. What is optional here has a default that is safe to run in production.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How requests reach the agent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Communication {
    /// API Gateway REST with `ResponseTransferMode: STREAM`.
    #[default]
    Rest,
    /// A Lambda function URL behind CloudFront.
    FunctionUrl,
    /// The function alone; the caller brings the trigger.
    None,
}

/// What runs the binary.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Hosting {
    /// Lambda, `provided.al2023`; the binary talks to the Lambda Runtime API itself.
    #[default]
    Lambda,
    /// Lambda with the Lambda Web Adapter layer in front of the same binary.
    Adapter,
    /// Bedrock AgentCore Runtime, from a container image.
    Agentcore,
}

/// The processor the function runs on.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub enum Architecture {
    /// Graviton: a fifth cheaper per GB-second.
    #[default]
    #[serde(rename = "arm64")]
    Arm64,
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
}

impl Architecture {
    /// The name Lambda uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The one that it is not.
    pub fn other(self) -> Self {
        match self {
            Self::Arm64 => Self::X86_64,
            Self::X86_64 => Self::Arm64,
        }
    }
}

/// What happens to stored data when the stack is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Removal {
    /// Everything goes: sessions expire within a day anyway.
    #[default]
    Delete,
    /// The session bucket, its key and the user pool stay.
    Retain,
}

/// Who may talk to the agent.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// A Cognito user pool, made by the stack unless `user_pool_id` names one.
    #[default]
    Cognito,
    /// Any OpenID Connect issuer; the server verifies the tokens.
    Oidc,
    /// Everybody. Refused unless `allow_public = true`.
    None,
}

/// The `[deploy]` table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The stack's name; the agent's name when empty.
    pub name: String,
    /// The AWS region; the one of the AWS configuration when absent.
    pub region: Option<String>,
    /// How requests reach the agent.
    pub communication: Communication,
    /// What runs the binary.
    pub hosting: Hosting,
    /// The processor the function runs on.
    pub architecture: Architecture,
    /// The function's memory in MB, 128 to 10 240. CPU is given in proportion.
    pub memory_mb: u32,
    /// The function's time limit in seconds, 30 to 900.
    pub timeout_seconds: u32,
    /// The most instances that may run at once; the account's limit when absent.
    pub reserved_concurrency: Option<u32>,
    /// How long logs are kept, in days; one of the values CloudWatch Logs knows.
    pub log_retention_days: u32,
    /// What happens to stored data when the stack is deleted.
    pub removal: Removal,
    /// Tags on every resource.
    pub tags: BTreeMap<String, String>,
    /// More environment variables of the function.
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values CloudFormation reads from Secrets Manager: name to secret id.
    pub secrets: BTreeMap<String, String>,
    /// Models the function may call beside those the agent names.
    pub models: Vec<String>,
    /// ARNs of the Lambda functions the agent may call as tools.
    pub lambda_tools: Vec<String>,
    /// The Lambda Web Adapter layer, where the published one of the region is not wanted.
    pub adapter_layer: Option<String>,
    /// Properties laid over the generated ones: logical id to a table of properties.
    pub overrides: BTreeMap<String, toml::Table>,
    /// Stored conversations.
    pub sessions: Sessions,
    /// Sign-in.
    pub auth: Auth,
    /// The REST API.
    pub rest: Rest,
    /// The web page.
    pub frontend: Frontend,
    /// Dashboard, alarms, traces.
    pub observability: Observability,
    /// The private network the function runs in, if any.
    pub vpc: Option<Vpc>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: String::new(),
            region: None,
            communication: Communication::default(),
            hosting: Hosting::default(),
            architecture: Architecture::default(),
            memory_mb: 256,
            timeout_seconds: 900,
            reserved_concurrency: None,
            log_retention_days: 30,
            removal: Removal::default(),
            tags: BTreeMap::new(),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            models: Vec::new(),
            lambda_tools: Vec::new(),
            adapter_layer: None,
            overrides: BTreeMap::new(),
            sessions: Sessions::default(),
            auth: Auth::default(),
            rest: Rest::default(),
            frontend: Frontend::default(),
            observability: Observability::default(),
            vpc: None,
        }
    }
}

/// `[deploy.sessions]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// False makes the agent stateless.
    pub enabled: bool,
    /// An existing bucket to use; the stack makes one when absent.
    pub bucket: Option<String>,
    /// The key an existing bucket is encrypted with.
    pub kms_key_arn: Option<String>,
    /// Hours after its last change at which a session goes; S3 counts in days, so this is rounded up.
    pub ttl_hours: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { enabled: true, bucket: None, kms_key_arn: None, ttl_hours: 24 }
    }
}

/// `[deploy.auth]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Who may talk to the agent.
    #[serde(rename = "type")]
    pub kind: AuthKind,
    /// An existing user pool.
    pub user_pool_id: Option<String>,
    /// An existing client of that pool.
    pub user_pool_client_id: Option<String>,
    /// The first label of the sign-in domain; stack name and account number when absent.
    pub domain_prefix: Option<String>,
    /// Cognito's newer sign-in page; false for the classic one.
    pub managed_login: bool,
    /// More addresses the sign-in page may return to, for example a developer's own machine.
    pub callback_urls: Vec<String>,
    /// True lets anybody with an e-mail address register.
    pub self_sign_up: bool,
    /// The OpenID Connect issuer.
    pub issuer: Option<String>,
    /// The audience tokens must carry.
    pub audience: Option<String>,
    /// Says that `type = "none"` is meant: anybody on the internet may spend the model's money.
    pub allow_public: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            kind: AuthKind::default(),
            user_pool_id: None,
            user_pool_client_id: None,
            domain_prefix: None,
            managed_login: true,
            callback_urls: Vec::new(),
            self_sign_up: false,
            issuer: None,
            audience: None,
            allow_public: false,
        }
    }
}

/// `[deploy.rest]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rest {
    /// The stage: the first segment of the API's path.
    pub stage: String,
    /// Requests per second over all users.
    pub throttle_rate: u32,
    /// Requests that may come at once on top of the rate.
    pub throttle_burst: u32,
    /// The origin browsers may call from; the page's own when the stack has one, else `*`.
    pub cors_origin: Option<String>,
    /// A web ACL with AWS's managed rules and a limit per address.
    pub waf: bool,
    /// Requests per five minutes and address that the web ACL lets through.
    pub waf_rate: u32,
    /// A name of one's own for the API.
    pub domain_name: Option<String>,
    /// The certificate for it, in the API's region.
    pub certificate_arn: Option<String>,
    /// The Route 53 zone that gets the record, if any.
    pub hosted_zone_id: Option<String>,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            stage: "prod".into(),
            throttle_rate: 50,
            throttle_burst: 100,
            cors_origin: None,
            waf: false,
            waf_rate: 2_000,
            domain_name: None,
            certificate_arn: None,
            hosted_zone_id: None,
        }
    }
}

/// `[deploy.frontend]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Frontend {
    /// Whether the stack serves the page.
    pub enabled: bool,
    /// A name of one's own for the page.
    pub domain_name: Option<String>,
    /// The certificate for it, in us-east-1.
    pub certificate_arn: Option<String>,
    /// CloudFront's price class.
    pub price_class: String,
}

impl Default for Frontend {
    fn default() -> Self {
        Self { enabled: true, domain_name: None, certificate_arn: None, price_class: "PriceClass_100".into() }
    }
}

/// `[deploy.observability]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Observability {
    /// Whether the stack has a dashboard.
    pub dashboard: bool,
    /// Whether the stack has alarms and the topic they go to.
    pub alarms: bool,
    /// The address that gets the alarms.
    pub alarm_email: Option<String>,
    /// Whether requests are traced with X-Ray.
    pub xray: bool,
}

impl Default for Observability {
    fn default() -> Self {
        Self { dashboard: true, alarms: true, alarm_email: None, xray: true }
    }
}

/// `[deploy.vpc]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vpc {
    /// The subnets, two or more; they need a way to Bedrock and S3.
    pub subnet_ids: Vec<String>,
    /// The security groups.
    pub security_group_ids: Vec<String>,
}

/// Why a `[deploy]` table cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("[deploy] {key}: {problem}")]
pub struct SettingsError {
    /// The key at fault.
    pub key: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

fn wrong(key: &str, problem: impl Into<String>) -> SettingsError {
    SettingsError { key: key.into(), problem: problem.into() }
}

/// The longest name of a stack: with the region behind it, it must fit into the 64 characters of a CloudFront function's
/// name, and alone into the 48 of an AgentCore runtime's.
pub(crate) const NAME_LIMIT: usize = 48;

/// The values CloudWatch Logs accepts as a retention time.
const RETENTION_DAYS: &[u32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

impl Settings {
    /// Checks what serde cannot: ranges, and settings that contradict each other.
    ///
    /// # Errors
    /// The first setting that cannot be deployed, with what to write instead.
    pub fn check(&self) -> Result<(), SettingsError> {
        let name_ok = self.name.len() <= NAME_LIMIT
            && self.name.starts_with(|c: char| c.is_ascii_alphabetic())
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !name_ok {
            let expected =
                format!("letters, digits and hyphens, a letter first, at most {NAME_LIMIT} characters");
            return Err(wrong("name", expected));
        }
        if !(128..=10_240).contains(&self.memory_mb) {
            return Err(wrong("memory_mb", "128 to 10240"));
        }
        if !(30..=900).contains(&self.timeout_seconds) {
            return Err(wrong("timeout_seconds", "30 to 900"));
        }
        if !RETENTION_DAYS.contains(&self.log_retention_days) {
            return Err(wrong("log_retention_days", format!("one of {RETENTION_DAYS:?}")));
        }
        for key in self.environment.keys().chain(self.secrets.keys()) {
            if key.starts_with("AWS_") && !key.starts_with("AWS_LWA_") {
                return Err(wrong("environment", format!("{key} is reserved by Lambda")));
            }
        }
        if !self.rest.stage.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            || self.rest.stage.is_empty()
        {
            return Err(wrong("rest.stage", "letters, digits, hyphens and underscores"));
        }
        self.check_auth()?;
        self.check_names()
    }

    fn check_auth(&self) -> Result<(), SettingsError> {
        let auth = &self.auth;
        match auth.kind {
            AuthKind::None if !auth.allow_public => Err(wrong(
                "auth.type",
                "\"none\" lets anybody on the internet talk to the agent at your cost; \
                 add auth.allow_public = true if that is meant",
            )),
            AuthKind::Oidc if auth.issuer.is_none() || auth.audience.is_none() => {
                Err(wrong("auth.issuer", "type \"oidc\" needs auth.issuer and auth.audience"))
            }
            AuthKind::Cognito if auth.user_pool_id.is_some() != auth.user_pool_client_id.is_some() => {
                Err(wrong(
                    "auth.user_pool_id",
                    "an existing pool needs auth.user_pool_client_id, and the reverse",
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_names(&self) -> Result<(), SettingsError> {
        if self.rest.domain_name.is_some() != self.rest.certificate_arn.is_some() {
            return Err(wrong("rest.domain_name", "needs rest.certificate_arn, and the reverse"));
        }
        if self.frontend.domain_name.is_some() != self.frontend.certificate_arn.is_some() {
            return Err(wrong("frontend.domain_name", "needs frontend.certificate_arn, and the reverse"));
        }
        if self.sessions.kms_key_arn.is_some() && self.sessions.bucket.is_none() {
            return Err(wrong("sessions.kms_key_arn", "is for an existing bucket: set sessions.bucket"));
        }
        if self.vpc.is_some() && self.communication == Communication::FunctionUrl {
            return Err(wrong(
                "vpc",
                "function URLs cannot stream from inside a VPC; use communication = \"rest\"",
            ));
        }
        for (index, arn) in self.lambda_tools.iter().enumerate() {
            if !arn.starts_with("arn:") || !arn.contains(":function:") {
                return Err(wrong(&format!("lambda_tools[{index}]"), "the ARN of a Lambda function"));
            }
        }
        Ok(())
    }

    /// Whether the stack makes its own session bucket.
    pub fn owns_session_bucket(&self) -> bool {
        self.sessions.enabled && self.sessions.bucket.is_none()
    }

    /// Whether the stack makes its own user pool.
    pub fn owns_user_pool(&self) -> bool {
        self.auth.kind == AuthKind::Cognito && self.auth.user_pool_id.is_none()
    }

    /// Whether the stack holds the page's files in a bucket of its own.
    ///
    /// Behind a function URL the server hands the page out itself, through the same distribution.
    pub fn has_page_bucket(&self) -> bool {
        self.frontend.enabled
            && self.communication == Communication::Rest
            && self.hosting != Hosting::Agentcore
    }

    /// Whether the stack cannot know the page's address while it is made: the user pool's client wants it, the function
    /// wants the client, and the distribution wants the function. It is a parameter then, given in a second change.
    pub fn learns_page_address(&self) -> bool {
        self.owns_user_pool()
            && self.hosting != Hosting::Agentcore
            && self.communication == Communication::FunctionUrl
            && self.frontend.domain_name.is_none()
    }

    /// Whether the stack has a CloudFront distribution.
    pub fn has_distribution(&self) -> bool {
        self.hosting != Hosting::Agentcore
            && (self.has_page_bucket() || self.communication == Communication::FunctionUrl)
    }
}

#[cfg(test)]
mod guide;
