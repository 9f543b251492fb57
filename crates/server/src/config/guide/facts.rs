//! What the types cannot say of a key: its default and an example, as they are written in TOML. A default that begins
//! with `=` is a value, and a test writes it to see that nothing changes; another one is words.

/// What is known of a key.
pub(super) struct Fact {
    pub(super) key: &'static str,
    pub(super) default: &'static str,
    pub(super) example: &'static str,
}

macro_rules! facts {
    ($($key:literal, $default:literal, $example:literal;)*) => {
        &[$(Fact { key: $key, default: $default, example: $example }),*]
    };
}

pub(super) static FACTS: &[Fact] = facts! {
    "model", "`local/smollm2-135m-instruct`, the built-in one", r#""anthropic/claude-sonnet-4-5""#;
    "models", "none", r#"["anthropic/claude-sonnet-4-5", "openai/gpt-4o-mini"]"#;
    "system_prompt", "none", r#""You sell books.""#;
    "system_prompt_file", "none", r#""prompt.md""#;
    "system_prompt_s3_bucket_name", "none", r#""my-prompts""#;
    "system_prompt_s3_key", "none", r#""agent/prompt.md""#;
    "host", "=\"127.0.0.1\"", r#""0.0.0.0""#;
    "port", "=8080", "9000";
    "insecure", "=false", "true";
    "store", "=\"sqlite\"", r#""s3://my-sessions/agent""#;
    "session_bucket", "none", r#""my-sessions""#;
    "session_kms_key", "the bucket's own", r#""arn:aws:kms:eu-west-1:123456789012:key/…""#;
    "session_ttl", "=\"24h\"", r#""7d""#;
    "data_dir", "the platform's folder for data", r#""/var/lib/loquat""#;
    "model_dir", "the platform's cache folder", r#""/var/cache/loquat""#;
    "context_enabled", "=true", "false";
    "context_strategy", "=\"SlidingWindow\"", r#""TokenBudget""#;
    "context_window_size", "=20", "40";
    "context_tokens", "=32000", "100000";
    "on_busy", "=\"reject\"", r#""queue""#;
    "on_disconnect", "=\"finish\"", r#""cancel""#;
    "max_steps", "=20", "5";
    "max_seconds", "=600", "120";
    "max_output_tokens", "no limit", "8000";
    "drain_seconds", "=25", "45";
    "message_bytes", "=65536", "200000";
    "attachment_bytes", "=4194304", "10000000";
    "body_bytes", "room for a few attachments", "50000000";
    "log_level", "=\"info\"", r#""info,loquat_server=debug""#;
    "log_format", "`\"text\"` in a terminal, `\"json\"` elsewhere", r#""json""#;
    "log_content", "=false", "true";
    "tools", "=[]", r#"["current_time", "calculator"]"#;
    "tools_config", "none", r#"'[{"bucketName": "tools", "key": "shop.py", "isFile": true}]'"#;
    "connect_wait_ms", "3000", "10000";

    "params.temperature", "the provider's", "0.7";
    "params.top_p", "the provider's", "0.9";
    "params.max_output_tokens", "the provider's", "2000";
    "params.stop_sequences", "=[]", r#"["END"]"#;
    "params.reasoning_effort", "the provider's", r#""medium""#;
    "params.reasoning_budget", "the provider's", "4000";
    "params.seed", "another one each time", "7";
    "params.output", "free text", r#""json""#;
    "params.tool_choice", "the model chooses", r#""required""#;

    "model_settings.base_url", "the provider's", r#""http://127.0.0.1:8000/v1""#;
    "model_settings.api_key_env", "the official SDK's variable", r#""VLLM_KEY""#;
    "model_settings.api_key_file", "none", r#""/run/secrets/vllm""#;
    "model_settings.prompt_cache", "=\"auto\"", r#""off""#;
    "model_settings.header_env", "={}", r#"{ "x-team" = "TEAM_HEADER" }"#;
    "model_settings.extra", "={}", "{ seed = 7 }";
    "model_settings.connect_seconds", "5", "2.5";
    "model_settings.first_byte_seconds", "60", "120.0";
    "model_settings.between_bytes_seconds", "60", "30.0";
    "model_settings.attempts", "4", "2";
    "model_settings.retry_budget_seconds", "90", "30.0";
    "model_settings.params.temperature", "as in `[params]`", "0.2";
    "model_settings.params.top_p", "as in `[params]`", "0.9";
    "model_settings.params.max_output_tokens", "as in `[params]`", "2000";
    "model_settings.params.stop_sequences", "as in `[params]`", r#"["END"]"#;
    "model_settings.params.reasoning_effort", "as in `[params]`", r#""low""#;
    "model_settings.params.reasoning_budget", "as in `[params]`", "4000";
    "model_settings.params.seed", "as in `[params]`", "7";
    "model_settings.params.output", "as in `[params]`", r#""json""#;
    "model_settings.params.tool_choice", "as in `[params]`", r#""required""#;
    "model_settings.prices.input", "required", "3.0";
    "model_settings.prices.output", "required", "15.0";
    "model_settings.prices.cache_read", "the price of `input`", "0.3";
    "model_settings.prices.cache_write", "the price of `input`", "3.75";
    "model_settings.bedrock.region", "the AWS SDK's", r#""eu-west-1""#;
    "model_settings.bedrock.profile", "the AWS SDK's", r#""work""#;
    "model_settings.bedrock.latency", "`\"standard\"`", r#""optimized""#;
    "model_settings.bedrock.service_tier", "`\"default\"`", r#""flex""#;
    "model_settings.bedrock.guardrail.id", "required", r#""gr-abc123""#;
    "model_settings.bedrock.guardrail.version", "required", r#""DRAFT""#;
    "model_settings.bedrock.guardrail.mode", "`\"sync\"`", r#""async""#;
    "model_settings.bedrock.guardrail.trace", "`false`", "true";

    "auth.type", "=\"None\"", r#""Cognito""#;
    "auth.user_pool_id", "none", r#""eu-west-1_AbCdEfGhI""#;
    "auth.user_pool_client_id", "none", r#""1h57kf5cpq17m0eml12EXAMPLE""#;
    "auth.issuer", "Cognito's follows from the pool", r#""https://login.example.com/realms/staff""#;
    "auth.jwks_url", "where the issuer says", r#""https://login.example.com/keys""#;
    "auth.audience", "the client id", r#"["agent-api"]"#;
    "auth.client_id", "the first audience", r#""agent-page""#;
    "auth.scope", "the page's own choice", r#""openid profile""#;
    "auth.api_token", "=\"id\"", r#""access""#;
    "auth.user_claim", "`sub`", r#""oid""#;
    "auth.admin_claim", "`cognito:groups` with Cognito", r#""realm_access.roles""#;
    "auth.admin_role", "`admin` if `admin_claim` is set, else nobody", r#""support""#;
    "auth.login", "redirect, or a form for a pool without a domain", r#""form""#;
    "auth.domain", "none", r#""my-agent.auth.eu-west-1.amazoncognito.com""#;
    "auth.user_pool_endpoint", "AWS's", r#""http://127.0.0.1:4566""#;
    "auth.keys", "=[]", r#"[{ name = "ci", sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }]"#;

    "limits.requests_per_minute", "120 where people sign in", "60";
    "limits.requests_per_minute_per_address", "600 where people sign in", "300";
    "limits.runs_per_user", "8 where people sign in", "2";
    "limits.runs_per_address", "64 where people sign in", "16";
    "limits.runs_total", "=4096", "500";
    "limits.tokens_per_day", "=0", "1000000";
    "limits.trusted_proxies", "=0", "1";
    "limits.json_depth", "=64", "32";
    "limits.read_seconds", "=30", "60";
    "limits.idle_seconds", "=75", "120";
    "limits.write_seconds", "=60", "120";
    "limits.header_bytes", "=32768", "16384";
    "limits.connections", "=20000", "5000";

    "web.cors_origins", "see the meaning", r#"["https://chat.example.com"]"#;
    "web.allowed_hosts", "=[]", r#"["chat.example.com"]"#;
    "web.hsts", "=false", "true";

    "dialects.client_history", "=\"refuse\"", r#""ignore""#;
    "dialects.ai_sdk_new_chunks", "=false", "true";

    "telemetry.service", "=\"loquat\"", r#""support-agent""#;
    "telemetry.metrics_token", "none: administrators only, or this machine where nobody signs in", r#""a-long-random-word""#;
    "telemetry.metrics_users", "10", "0";
    "telemetry.emf", "on Lambda", "true";
    "telemetry.emf_namespace", "`\"Loquat\"`", r#""Support""#;

    "builtin.current_time.timezone", "=\"UTC\"", r#""Europe/Berlin""#;
    "builtin.fetch_url.allow_hosts", "=[]", r#"["*.example.com"]"#;
    "builtin.fetch_url.allow_private", "=false", "true";
    "builtin.fetch_url.max_bytes", "=2097152", "500000";
    "builtin.fetch_url.max_chars", "=40000", "10000";
    "builtin.retrieve.knowledge_base_id", "required", r#""ABCDEFGHIJ""#;
    "builtin.retrieve.description", "none", r#""Knows our products.""#;
    "builtin.retrieve.results", "5", "10";
    "builtin.retrieve.region", "the server's", r#""us-east-1""#;
    "builtin.memory.max_facts", "=200", "50";
    "builtin.memory.without_sign_in", "=false", "true";

    "tool.needs_approval", "as the tool says", "true";
    "tool.timeout_seconds", "60, or as its source says", "20";
    "tool.idempotent", "as the tool says", "true";
    "tool.read_only", "as the tool says", "true";
    "tool.enabled", "`true`", "false";
    "tool.description", "as the tool says", r#""Sends money.""#;

    "mcp.name", "required", r#""tickets""#;
    "mcp.command", "this or `url`", r#""npx""#;
    "mcp.args", "`[]`", r#"["-y", "some-server"]"#;
    "mcp.env", "`{}`", r#"{ TOKEN = "${TICKETS_TOKEN}" }"#;
    "mcp.cwd", "the working folder", r#""servers""#;
    "mcp.url", "this or `command`", r#""https://mcp.example.com/mcp""#;
    "mcp.headers", "`{}`", r#"{ "x-tenant" = "${TENANT}" }"#;
    "mcp.bearer_token", "none", r#""${TICKETS_TOKEN}""#;
    "mcp.protocol", "`\"auto\"`", r#""2025-06-18""#;
    "mcp.allow", "all", r#"["search_*"]"#;
    "mcp.deny", "none", r#"["delete_*"]"#;
    "mcp.needs_approval", "as the tools say", r#""untrusted""#;
    "mcp.resources", "`true`", "false";
    "mcp.connect_timeout_seconds", "30", "60";
    "mcp.call_timeout_seconds", "60", "20";
    "mcp.oauth.token_url", "discovered", r#""https://login.example.com/token""#;
    "mcp.oauth.client_id", "required", r#""agent""#;
    "mcp.oauth.client_secret", "required", r#""${TICKETS_SECRET}""#;
    "mcp.oauth.scope", "none", r#""tickets.read""#;
    "mcp.oauth.audience", "none", r#""https://mcp.example.com""#;

    "lambda.name", "required", r#""find_order""#;
    "lambda.arn", "required", r#""arn:aws:lambda:eu-west-1:123456789012:function:find-order""#;
    "lambda.description", "required", r#""Tells where an order is.""#;
    "lambda.schema", "required", r#"{ type = "object" }"#;
    "lambda.qualifier", "none", r#""live""#;
    "lambda.region", "the ARN's, or the server's", r#""eu-west-1""#;

    "openapi.name", "required", r#""shop""#;
    "openapi.document", "required", r#""shop.json""#;
    "openapi.base_url", "the document's first server", r#""https://shop.example.com/v1""#;
    "openapi.allow_hosts", "the API's own host", r#"["cdn.example.com"]"#;
    "openapi.allow_private", "`false`", "true";
    "openapi.headers", "`{}`", r#"{ "x-tenant" = "${TENANT}" }"#;
    "openapi.bearer_token", "none", r#""${SHOP_TOKEN}""#;
    "openapi.allow", "all", r#"["get*"]"#;
    "openapi.deny", "none", r#"["deleteOrder"]"#;
    "openapi.needs_approval", "as the operations say", r#""untrusted""#;
    "openapi.call_timeout_seconds", "60", "20";
    "openapi.max_bytes", "1048576", "200000";

    "python.dir", "`tools`, if it has `.py` files", r#""my_tools""#;
    "python.command", "`python3`", r#"".venv/bin/python""#;
    "python.env", "={}", r#"{ SHOP_TOKEN = "${SHOP_TOKEN}" }"#;
    "python.pass_env", "=[]", r#"["BANK_DB"]"#;
    "python.strands", "=\"auto\"", r#""shim""#;
    "python.needs_approval", "as the tools say", r#""untrusted""#;
    "python.call_timeout_seconds", "60", "20";
    "python.objects", "what `TOOLS_CONFIG` says", r#"[{ bucketName = "tools", key = "shop.py", isFile = true }]"#;

    "page.name", "=\"Loquat\"", r#""Ada""#;
    "page.greeting", "none", r#""How can I help?""#;
    "page.suggestions", "=[]", r#"["Where is my parcel?"]"#;
    "page.logo", "none", r#""logo.svg""#;
    "page.accent", "the page's own", "\"#2563eb\"";
};

/// What has to stand around a key for its table to be whole: what is before it, and the other required keys.
pub(super) fn around(key: &str) -> (&'static str, String) {
    let table = key.rsplit_once('.').map_or("", |(table, _)| table);
    let before = if table == "mcp.oauth" { "[[mcp]]\n" } else { "" };
    let needed = FACTS.iter().filter(|fact| {
        fact.default == "required"
            && fact.key != key
            && fact.key.rsplit_once('.').is_some_and(|(of, _)| of == table)
    });
    let after = needed.map(|fact| {
        let name = fact.key.rsplit('.').next().unwrap_or(fact.key);
        format!("{name} = {}\n", fact.example)
    });
    (before, after.collect())
}
