//! Keeps the table of `[deploy]` in docs/aws.md current: every key with type, default, example and meaning, made from the
//! types. A default that begins with `=` is a value, which a test writes to see that nothing changes.

#[path = "../../../server/src/config/guide/source.rs"]
mod source;

use std::fmt::Write as _;
use std::path::Path;

use self::source::{Field, Types};
use super::Settings;

const BEGIN: &str = "<!-- keys: made from the types by a test of crates/cloud/src/settings/guide.rs -->\n";
const END: &str = "<!-- end of keys -->\n";

/// Key, default, example.
const FACTS: &[(&str, &str, &str)] = &[
    ("name", "the agent's name", r#""my-agent""#),
    ("region", "the AWS configuration's", r#""eu-west-1""#),
    ("communication", "=\"rest\"", r#""function-url""#),
    ("hosting", "=\"lambda\"", r#""adapter""#),
    ("architecture", "=\"arm64\"", r#""x86_64""#),
    ("memory_mb", "=256", "512"),
    ("timeout_seconds", "=900", "300"),
    ("reserved_concurrency", "the account's limit", "50"),
    ("log_retention_days", "=30", "365"),
    ("removal", "=\"delete\"", r#""retain""#),
    ("tags", "={}", r#"{ team = "support" }"#),
    ("environment", "={}", r#"{ LOQUAT_MAX_STEPS = "5" }"#),
    ("secrets", "={}", r#"{ ANTHROPIC_API_KEY = "my/anthropic" }"#),
    ("models", "=[]", r#"["bedrock/amazon.nova-lite-v1:0"]"#),
    ("lambda_tools", "=[]", r#"["arn:aws:lambda:eu-west-1:123456789012:function:find-order"]"#),
    ("adapter_layer", "the published one", r#""arn:aws:lambda:eu-west-1:123456789012:layer:adapter:1""#),
    ("overrides", "={}", "{ Function = { EphemeralStorage = { Size = 1024 } } }"),
    ("sessions.enabled", "=true", "false"),
    ("sessions.bucket", "the stack makes one", r#""my-sessions""#),
    ("sessions.kms_key_arn", "none", r#""arn:aws:kms:eu-west-1:123456789012:key/…""#),
    ("sessions.ttl_hours", "=24", "168"),
    ("auth.type", "=\"cognito\"", r#""oidc""#),
    ("auth.user_pool_id", "the stack makes one", r#""eu-west-1_AbCdEfGhI""#),
    ("auth.user_pool_client_id", "the stack makes one", r#""1h57kf5cpq17m0eml12EXAMPLE""#),
    ("auth.domain_prefix", "stack name and account number", r#""my-agent""#),
    ("auth.managed_login", "=true", "false"),
    ("auth.callback_urls", "=[]", r#"["http://localhost:5173/"]"#),
    ("auth.self_sign_up", "=false", "true"),
    ("auth.issuer", "none", r#""https://login.example.com/realms/staff""#),
    ("auth.audience", "none", r#""agent-api""#),
    ("auth.allow_public", "=false", "true"),
    ("rest.stage", "=\"prod\"", r#""v1""#),
    ("rest.throttle_rate", "=50", "200"),
    ("rest.throttle_burst", "=100", "400"),
    ("rest.cors_origin", "the page's own, else `*`", r#""https://chat.example.com""#),
    ("rest.waf", "=false", "true"),
    ("rest.waf_rate", "=2000", "500"),
    ("rest.domain_name", "none", r#""api.example.com""#),
    ("rest.certificate_arn", "none", r#""arn:aws:acm:eu-west-1:123456789012:certificate/…""#),
    ("rest.hosted_zone_id", "none", r#""Z0123456789""#),
    ("frontend.enabled", "=true", "false"),
    ("frontend.domain_name", "CloudFront's", r#""chat.example.com""#),
    ("frontend.certificate_arn", "none", r#""arn:aws:acm:us-east-1:123456789012:certificate/…""#),
    ("frontend.price_class", "=\"PriceClass_100\"", r#""PriceClass_All""#),
    ("observability.dashboard", "=true", "false"),
    ("observability.alarms", "=true", "false"),
    ("observability.alarm_email", "none", r#""ops@example.com""#),
    ("observability.xray", "=true", "false"),
    ("vpc.subnet_ids", "required in this table", r#"["subnet-1", "subnet-2"]"#),
    ("vpc.security_group_ids", "required in this table", r#"["sg-1"]"#),
];

/// The keys in the order of the types: path and field.
fn keys(types: &Types, name: &str, path: &str, found: &mut Vec<(String, Field)>) {
    let mut tables = Vec::new();
    for field in &types.structs[name] {
        let key = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
        let kind =
            field.kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(&field.kind);
        if types.structs.contains_key(kind) {
            tables.push((kind.to_owned(), key));
        } else {
            found.push((key, field.clone()));
        }
    }
    for (kind, key) in tables {
        keys(types, &kind, &key, found);
    }
}

fn all() -> (Types, Vec<(String, Field)>) {
    let mut types = Types::default();
    types.read("crates/cloud/src/settings.rs");
    let mut found = Vec::new();
    keys(&types, "Settings", "", &mut found);
    (types, found)
}

fn words(types: &Types, kind: &str) -> String {
    let inside = |wrapper: &str| kind.strip_prefix(wrapper)?.strip_suffix('>');
    if let Some(inner) = inside("Option<") {
        return words(types, inner);
    }
    if let Some(inner) = inside("Vec<") {
        return format!("list of {}", words(types, inner));
    }
    if let Some(inner) = inside("BTreeMap<String, ") {
        return format!("table of {}", words(types, inner));
    }
    if let Some(words) = types.enums.get(kind) {
        return words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ");
    }
    match kind {
        "bool" => "`true`, `false`",
        "u32" => "whole number",
        "String" => "text",
        "toml::Table" => "tables",
        other => panic!("how is {other} written?"),
    }
    .to_owned()
}

fn fact(key: &str) -> &'static (&'static str, &'static str, &'static str) {
    FACTS.iter().find(|fact| fact.0 == key).unwrap_or_else(|| panic!("`{key}` has no default and example"))
}

#[test]
fn the_guide_lists_every_key_of_deploy() {
    let (types, found) = all();
    let mut table = "| key, with an example | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    for (key, field) in &found {
        let (_, default, example) = fact(key);
        let default =
            default.strip_prefix('=').map_or_else(|| (*default).to_owned(), |value| format!("`{value}`"));
        let cells = [format!("`{key} = {example}`"), words(&types, &field.kind), default, field.doc.clone()];
        let _ = writeln!(table, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/aws.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let current = format!("{before}{BEGIN}\n{table}\n{END}{after}");
    if text != current {
        std::fs::write(&path, current).unwrap();
        panic!("docs/aws.md was stale and is written anew: look at it, and commit it");
    }
}

#[test]
fn every_example_and_every_default_can_be_written_so() {
    let (_, found) = all();
    assert_eq!(FACTS.len(), found.len(), "a fact belongs to no key");
    let read =
        |text: &str| toml::from_str::<Settings>(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    for (key, _) in &found {
        let (_, default, example) = fact(key);
        let beside = if key == "vpc.subnet_ids" {
            "\nvpc.security_group_ids = []"
        } else if key == "vpc.security_group_ids" {
            "\nvpc.subnet_ids = []"
        } else {
            ""
        };
        read(&format!("{key} = {example}{beside}"));
        if let Some(value) = default.strip_prefix('=') {
            let with = format!("{:?}", read(&format!("{key} = {value}")));
            assert_eq!(with, format!("{:?}", Settings::default()), "{key}");
        }
    }
}
