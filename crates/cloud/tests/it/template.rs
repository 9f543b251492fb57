//! Golden templates per combination of strategies, the rules over each of them, and the linters.
//!
//! `UPDATE_EXPECT=1` rewrites the golden files.

use std::{path::PathBuf, process::Command};

use loquat_cloud::{
    agent::Agent,
    template::{self, rules, to_json, to_yaml},
};
use serde_json::Value;

/// Name and `loquat.toml` of each combination.
const CASES: &[(&str, &str)] = &[
    (
        "rest",
        "model = \"bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0\"\n[page]\nname = \"travel desk\"\n",
    ),
    (
        "rest-everything",
        r#"
page.name = "bank"
models = ["bedrock/anthropic.claude-3-haiku-20240307-v1:0", "anthropic/claude-sonnet"]
system_prompt_s3_bucket_name = "bank-prompts"
system_prompt_s3_key = "agent.md"
tools_config = '[{"bucketName": "bank-tools", "key": "rates.py", "isFile": true}]'
[[lambda]]
name = "branches"
arn = "find-branches"
qualifier = "live"
description = "Where the branches are"
schema = { type = "object" }
[deploy]
hosting = "adapter"
architecture = "x86_64"
memory_mb = 512
reserved_concurrency = 20
removal = "retain"
lambda_tools = ["arn:aws:lambda:eu-west-1:123456789012:function:rates"]
tags = { team = "payments" }
environment = { RUST_LOG = "info" }
secrets = { ANTHROPIC_API_KEY = "bank/anthropic" }
overrides.Function.EphemeralStorage.Size = 1024
[deploy.vpc]
subnet_ids = ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]
security_group_ids = ["sg-0a1b2c3d"]
[deploy.rest]
waf = true
domain_name = "agent.example.com"
certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
hosted_zone_id = "Z0123456789ABCDEFGHIJ"
[deploy.frontend]
domain_name = "chat.example.com"
certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
[deploy.observability]
alarm_email = "oncall@example.com"
"#,
    ),
    (
        "rest-existing",
        r#"
page.name = "existing"
model = "bedrock/amazon.nova-lite-v1:0"
[deploy.sessions]
bucket = "company-sessions"
kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
[deploy.auth]
user_pool_id = "eu-west-1_abcdefghi"
user_pool_client_id = "0123456789abcdefghijklmnop"
[deploy.frontend]
enabled = false
"#,
    ),
    (
        "function-url-oidc",
        r#"
page.name = "open-desk"
model = "amazon.nova-micro-v1:0"
[deploy]
communication = "function-url"
[deploy.auth]
type = "oidc"
issuer = "https://login.example.com/realms/staff"
audience = "agent"
"#,
    ),
    (
        "function-url",
        r#"
page.name = "aws desk"
model = "bedrock/us.amazon.nova-lite-v1:0"
[deploy]
communication = "function-url"
name = "AWS-Desk"
"#,
    ),
    (
        "rest-oidc",
        r#"
page.name = "staff"
model = "bedrock/arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdefghijkl"
[model_settings."bedrock/arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdefghijkl".bedrock]
guardrail = { id = "gr1abcdefghi", version = "1" }
[builtin.retrieve]
knowledge_base_id = "KB12345678"
[deploy.auth]
type = "oidc"
issuer = "https://login.example.com/realms/staff"
audience = "agent"
"#,
    ),
    (
        "rest-public-adapter",
        r#"
page.name = "kiosk"
model = "bedrock/amazon.nova-micro-v1:0"
[deploy]
hosting = "adapter"
[deploy.sessions]
enabled = false
[deploy.auth]
type = "none"
allow_public = true
"#,
    ),
    (
        "function-existing",
        r#"
page.name = "own door"
model = "bedrock/amazon.nova-micro-v1:0"
[deploy]
communication = "none"
hosting = "adapter"
[deploy.sessions]
bucket = "company-sessions"
"#,
    ),
    (
        "agentcore-vpc",
        r#"
page.name = "inside"
model = "bedrock/amazon.nova-micro-v1:0"
[deploy]
hosting = "agentcore"
[deploy.auth]
type = "none"
allow_public = true
[deploy.vpc]
subnet_ids = ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]
security_group_ids = ["sg-0a1b2c3d"]
"#,
    ),
    (
        "stateless",
        r#"
page.name = "stateless"
model = "bedrock/amazon.nova-micro-v1:0"
[deploy]
communication = "none"
[deploy.sessions]
enabled = false
[deploy.auth]
type = "none"
allow_public = true
[deploy.observability]
dashboard = false
alarms = false
xray = false
"#,
    ),
    (
        "agentcore",
        "page.name = \"core\"\nmodel = \"bedrock/us.amazon.nova-lite-v1:0\"\n[deploy]\nhosting = \"agentcore\"\n",
    ),
];

fn agent(text: &str) -> Agent {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("loquat.toml"), text).unwrap();
    Agent::read(folder.path()).unwrap()
}

/// The agent of a case.
pub(crate) fn case(name: &str) -> Agent {
    let (_, text) = CASES.iter().find(|(known, _)| *known == name).unwrap();
    agent(text)
}

fn built(name: &str) -> Value {
    template::build(&case(name)).to_value()
}

fn golden(name: &str) -> PathBuf {
    crate::tools::root().join(format!("crates/cloud/tests/golden/{name}.yaml"))
}

#[expect(clippy::disallowed_methods, reason = "the switch that rewrites golden files is the test's own")]
fn updating() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

#[test]
fn golden_templates() {
    for (name, text) in CASES {
        let got = to_yaml(&template::build(&agent(text)));
        if updating() {
            std::fs::write(golden(name), &got).unwrap();
        }
        let want = std::fs::read_to_string(golden(name)).unwrap_or_default();
        assert!(got == want, "{name}: the template changed; look at it, then UPDATE_EXPECT=1\n{got}");
    }
}

#[test]
fn every_combination_keeps_the_rules() {
    for (name, text) in CASES {
        let findings = rules::check(&template::build(&agent(text)).to_value());
        assert!(findings.is_empty(), "{name}: {findings:#?}");
    }
}

/// Every choice of every strategy with every other: no circle, no name that is not there, no rule broken.
#[test]
fn all_strategies_go_together() {
    let mut built = 0;
    for communication in ["rest", "function-url", "none"] {
        for hosting in ["lambda", "adapter", "agentcore"] {
            for auth in [
                "",
                "user_pool_id = \"eu-west-1_a\"\nuser_pool_client_id = \"b\"",
                "callback_urls = [\"http://localhost:5173/\"]",
                "type = \"oidc\"\nissuer = \"https://login.example.com\"\naudience = \"a\"",
                "type = \"none\"\nallow_public = true",
            ] {
                for sessions in ["", "bucket = \"own\"", "enabled = false"] {
                    for frontend in [
                        "",
                        "enabled = false",
                        "domain_name = \"chat.example.com\"\ncertificate_arn = \"arn:aws:acm:us-east-1:1:certificate/a\"",
                    ] {
                        let text = format!(
                            "model = \"bedrock/eu.a.b\"\n[deploy]\ncommunication = \"{communication}\"\nhosting = \"{hosting}\"\n\
                             [deploy.auth]\n{auth}\n[deploy.sessions]\n{sessions}\n[deploy.frontend]\n{frontend}\n"
                        );
                        let findings = rules::check(&template::build(&agent(&text)).to_value());
                        assert!(findings.is_empty(), "{text}: {findings:#?}");
                        built += 1;
                    }
                }
            }
        }
    }
    assert_eq!(built, 3 * 3 * 5 * 3 * 3);
}

/// Behind a function URL the client wants the page's address, which is known only when the function is there, which
/// wants the client: the address comes with a second change.
#[test]
fn a_page_behind_a_function_url_is_told_to_the_sign_in_page_afterwards() {
    let template = built("function-url");
    let client = &template["Resources"]["UserPoolClient"]["Properties"];
    assert_eq!(template["Parameters"][template::PAGE_ADDRESS]["Default"], "");
    let given = |property: &str| client[property]["Fn::If"].clone();
    assert_eq!(given("AllowedOAuthFlows")[1], serde_json::json!(["code"]));
    assert_eq!(given("CallbackURLs")[1], serde_json::json!([{ "Fn::Sub": "${PageAddress}/" }]));
    for property in
        ["AllowedOAuthFlows", "AllowedOAuthFlowsUserPoolClient", "AllowedOAuthScopes", "CallbackURLs"]
    {
        assert_eq!(given(property)[0], "HasPageAddress");
        assert_eq!(given(property)[2], serde_json::json!({ "Ref": "AWS::NoValue" }), "{property}");
    }
    let variables = &template["Resources"]["Function"]["Properties"]["Environment"]["Variables"];
    assert_eq!(variables["LOQUAT_LOGIN_DOMAIN"]["Fn::If"][0], "HasPageAddress");
}

#[test]
fn a_sign_in_domain_has_a_name_that_cognito_takes() {
    let prefix = |name: &str| {
        let template = template::build(&agent(&format!("[deploy]\nname = \"{name}\"\n"))).to_value();
        template["Resources"]["UserPoolDomain"]["Properties"]["Domain"]["Fn::Sub"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(prefix("travel-desk"), "${AWS::StackName}-${AWS::AccountId}");
    assert_eq!(prefix("Travel-Desk"), "travel-desk-${AWS::AccountId}");
    let reserved = prefix("my-aws-desk");
    assert!(reserved.starts_with("agent-") && !reserved.contains("desk"), "{reserved}");
    assert_ne!(reserved, prefix("my-aws-shop"));
}

#[test]
fn rules_catch_what_they_forbid() {
    let breaks: &[(&str, &str, Value, &str)] = &[
        ("Role", "/Policies/0/PolicyDocument/Statement/0/Action/0", "s3:*".into(), "s3:*"),
        ("Role", "/Policies/0/PolicyDocument/Statement/0/Resource", "*".into(), "every resource"),
        ("Key", "/EnableKeyRotation", false.into(), "rotate"),
        ("LogGroup", "/RetentionInDays", Value::Null, "retention"),
        ("ChatMethod", "/Integration/ResponseTransferMode", "BUFFERED".into(), "disagree"),
        ("ChatMethod", "/Integration/TimeoutInMillis", 900_001.into(), "allows 900000"),
        ("ChatMethod", "/Integration/TimeoutInMillis", 29_000.into(), "cut"),
        ("ChatOptions", "/AuthorizationType", "COGNITO_USER_POOLS".into(), "preflight"),
        ("Cors4xx", "/ResponseParameters", Value::Null, "CORS"),
        ("Cors5xx", "/ResponseType", "THROTTLED".into(), "DEFAULT_5XX"),
        ("Api", "/EndpointConfiguration/Types/0", "EDGE".into(), "regional"),
        ("Stage", "/MethodSettings/0/DataTraceEnabled", true.into(), "bodies"),
        (
            "SessionBucket",
            "/PublicAccessBlockConfiguration/BlockPublicPolicy",
            false.into(),
            "BlockPublicPolicy",
        ),
        ("SessionBucketPolicy", "/PolicyDocument/Statement", Value::Null, "plain HTTP"),
        ("PageBucket", "/BucketEncryption", Value::Null, "encrypted"),
        ("Function", "/LoggingConfig", Value::Null, "log group"),
        ("Function", "/Timeout", 901.into(), "900"),
        ("Function", "/Role", serde_json::json!({ "Ref": "Rolle" }), "does not have"),
        ("Role", "/Policies/0/PolicyName", serde_json::json!({ "Ref": "Function" }), "wait for each other"),
    ];
    for (id, pointer, value, expected) in breaks {
        let mut template = built("rest");
        let place = template["Resources"][*id]["Properties"].pointer_mut(pointer);
        *place.unwrap_or_else(|| panic!("{id}{pointer} is gone")) = value.clone();
        let findings = rules::check(&template);
        assert!(findings.iter().any(|one| one.contains(expected)), "{id}{pointer}: {findings:?}");
    }
}

#[test]
fn json_and_yaml_are_the_same_template() {
    for (_, text) in CASES {
        let built = template::build(&agent(text));
        let json: Value = serde_json::from_str(&to_json(&built)).unwrap();
        assert_eq!(json, built.to_value());
        assert_eq!(to_yaml(&built), to_yaml(&template::build(&agent(text))));
    }
}

#[test]
fn models_and_tools_are_exactly_those_named() {
    let everything = built("rest-everything");
    let statements =
        &everything["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    let bedrock: Vec<String> = statements
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["Action"][0] == "bedrock:InvokeModel")
        .map(|one| one["Resource"].to_string())
        .collect();
    assert_eq!(bedrock.len(), 1);
    assert!(bedrock[0].contains("foundation-model/anthropic.claude-3-haiku-20240307-v1:0"), "{bedrock:?}");
    assert!(!bedrock[0].contains("claude-sonnet"), "another provider's model is not Bedrock's");
    let tools = statements
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["Action"][0] == "lambda:InvokeFunction")
        .unwrap();
    assert_eq!(
        tools["Resource"],
        serde_json::json!([
            "arn:aws:lambda:eu-west-1:123456789012:function:rates",
            { "Fn::Sub": "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:function:find-branches:live" },
        ])
    );
    let objects: Vec<&Value> = statements
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| {
            one["Action"] == serde_json::json!(["s3:GetObject"])
                && one["Resource"].as_array().unwrap().len() == 2
        })
        .map(|one| &one["Resource"])
        .collect();
    let object = |at: &str| serde_json::json!({ "Fn::Sub": format!("arn:${{AWS::Partition}}:s3:::{at}") });
    assert_eq!(
        objects,
        [&serde_json::json!([object("bank-prompts/agent.md"), object("bank-tools/rates.py")])],
        "the user's own prompt and tools, and nothing beside them"
    );
}

#[test]
fn a_profile_a_guardrail_and_a_knowledge_base_may_be_used() {
    let statements = built("rest-oidc");
    let statements =
        &statements["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    let of = |action: &str| {
        let found = statements.as_array().unwrap().iter().filter(move |one| one["Action"][0] == action);
        found.map(|one| (one["Resource"].to_string(), one["Condition"].to_string())).collect::<Vec<_>>()
    };
    let profile = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdefghijkl";
    let models = of("bedrock:InvokeModel");
    assert_eq!(models[0].0, format!("[\"{profile}\"]"));
    // The model behind it, through it alone.
    assert!(models[1].0.contains("foundation-model/*") && models[1].1.contains(profile), "{models:?}");
    assert!(of("bedrock:ApplyGuardrail")[0].0.contains(":guardrail/gr1abcdefghi"));
    assert!(of("bedrock:Retrieve")[0].0.contains(":knowledge-base/KB12345678"));
    let elsewhere = template::build(&agent(
        "models = [\"bedrock/a.b\", \"bedrock/arn:aws:bedrock:us-east-1:1:inference-profile/us.c.d\"]\n\
         [model_settings.\"bedrock/a.b\".bedrock]\nregion = \"us-west-2\"\n[deploy.environment]\nLOQUAT_MODELS = \"e.f, openai/x\"\n",
    ));
    let text = to_json(&elsewhere);
    for part in [
        ":bedrock:us-west-2::foundation-model/a.b",
        ":bedrock:*::foundation-model/c.d",
        "foundation-model/e.f",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("foundation-model/openai"));
}

#[test]
fn a_container_whose_door_is_agentcores_own_may_listen() {
    let core = "[deploy]\nname = \"core\"\nhosting = \"agentcore\"\n";
    for (auth, insecure) in
        [("", Value::Null), ("[deploy.auth]\ntype = \"none\"\nallow_public = true\n", "true".into())]
    {
        let template = template::build(&agent(&format!("{core}{auth}"))).to_value();
        let variables = &template["Resources"]["Runtime"]["Properties"]["EnvironmentVariables"];
        assert_eq!(variables["LOQUAT_INSECURE"], insecure, "{auth}");
    }
}

#[test]
fn overrides_are_laid_over_the_stack() {
    assert_eq!(
        built("rest-everything")["Resources"]["Function"]["Properties"]["EphemeralStorage"]["Size"],
        1024
    );
    let agent = agent("[deploy.overrides.Fnction]\nTimeout = 1\n");
    assert_eq!(template::unknown_overrides(&agent, &template::build(&agent)), ["Fnction"]);
}

#[test]
fn removal_retain_keeps_what_holds_data() {
    let template = built("rest-everything");
    for id in ["SessionBucket", "Key", "UserPool"] {
        assert_eq!(template["Resources"][id]["DeletionPolicy"], "Retain", "{id}");
    }
    assert_eq!(template["Resources"]["UserPool"]["Properties"]["DeletionProtection"], "ACTIVE");
    // One that stayed would stand in the way of the next deployment of that name.
    for id in ["LogGroup", "AccessLog"] {
        assert_eq!(template["Resources"][id]["DeletionPolicy"], "Delete", "{id}");
    }
}

#[test]
fn a_changed_api_is_deployed_anew() {
    let deployment = |template: &Value| {
        template["Resources"]
            .as_object()
            .unwrap()
            .keys()
            .find(|id| id.starts_with("Deployment"))
            .unwrap()
            .clone()
    };
    assert_ne!(
        deployment(&built("rest")),
        deployment(&built("rest-existing")),
        "other CORS origin, other methods"
    );
    assert_eq!(deployment(&built("rest")), deployment(&built("rest")));
}

#[test]
fn cfn_lint_is_clean() {
    let mut command = Command::new(crate::tools::venv("cfn-lint"));
    command.args(["--non-zero-exit-code", "informational", "--regions", "eu-west-1", "--"]);
    command.args(CASES.iter().map(|(name, _)| golden(name)));
    let output = command.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn checkov_is_clean() {
    let mut command = Command::new(crate::tools::venv("checkov"));
    command.env("LOG_LEVEL", "ERROR");
    command.args(["--framework", "cloudformation", "--compact", "--quiet", "--skip-download", "-f"]);
    command.args(CASES.iter().map(|(name, _)| golden(name)));
    let output = command.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[test]
fn cdk_includes_the_stack_and_nag_finds_nothing_unexplained() {
    let example = crate::tools::root().join("examples/cdk-include");
    assert!(
        example.join("node_modules/aws-cdk-lib").exists(),
        "CDK is not installed: run the tests with `cargo xtask test`, or `npm ci` in examples/cdk-include once"
    );
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<String> = CASES
        .iter()
        .map(|(name, text)| {
            let file = folder.path().join(format!("{name}.json"));
            std::fs::write(&file, to_json(&template::build(&agent(text)))).unwrap();
            file.display().to_string()
        })
        .collect();
    let mut command = Command::new("node");
    command.current_dir(&example).args(["--test", "test.mjs"]).env("TEMPLATES", files.join(":"));
    let output = command.output().expect("node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
