//! The whole way to AWS: deploy, sign in, a streamed chat through the gateway, new code, an update with its smoke
//! test, destroy. `MiniStack` is the control plane, our emulator of API Gateway and the Lambda Runtime API the data
//! plane, and the function is the real `bootstrap`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loquat_bench::lambda_emulator::{Emulator, Issuer, Options};
use loquat_cloud::aws::Aws;
use loquat_cloud::{agent::Agent, cognito, deploy, template};
use loquat_server::config::env::VARIABLES;
use loquat_server::http::security;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;

use super::ministack::{MiniStack, REGION};
use super::support::{Events, ModelServer, PATIENCE, Server, binary};

fn agent_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path(), 256, 0);
    std::fs::write(folder.path().join("prompt.md"), "Be brief.").unwrap();
    std::fs::create_dir(folder.path().join("tools")).unwrap();
    write_tool(folder.path(), "greet");
    folder
}

fn write_tool(folder: &Path, name: &str) {
    let tool = format!(
        "from strands import tool\n\n@tool\ndef {name}(who: str) -> str:\n    \"\"\"Greets.\"\"\"\n    return 'hello ' + who\n"
    );
    std::fs::write(folder.join("tools/hello.py"), tool).unwrap();
}

/// The instructions and the tools' names in a request to the model.
fn told_to_model(request: &serde_json::Value) -> (String, Vec<String>) {
    let system = request["messages"][0]["content"].to_string();
    let tools = request["tools"].as_array().into_iter().flatten();
    (system, tools.map(|tool| tool["function"]["name"].as_str().unwrap_or_default().to_owned()).collect())
}

fn write_config(folder: &Path, memory: u32, tags: usize) {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    // Tags are on most resources: a few long ones make a template that must be read from S3.
    let tags: Vec<String> = (0..tags).map(|n| format!("tag{n} = \"{}\"", "x".repeat(250))).collect();
    let config = format!(
        "model = \"openai/test\"\nsystem_prompt_file = \"prompt.md\"\n[page]\nname = \"Cycle\"\n[deploy]\narchitecture = \"{architecture}\"\n\
         memory_mb = {memory}\ntags = {{ {} }}\n[deploy.environment]\nLOQUAT_CONNECT_WAIT_MS = \"30000\"\n",
        tags.join(", ")
    );
    std::fs::write(folder.join("loquat.toml"), config).unwrap();
}

/// Writes a line as the function would.
async fn log_line(aws: &str, group: &str, line: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let stream = format!("stream-{now}");
    let place = json!({"logGroupName": group, "logStreamName": stream});
    let mut event = place.clone();
    event["logEvents"] = json!([{"timestamp": now, "message": line}]);
    let http = reqwest::Client::new();
    for (action, body) in [("CreateLogStream", place), ("PutLogEvents", event)] {
        let request = http
            .post(aws)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("Logs_20140328.{action}"))
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/logs/aws4_request"),
            )
            .body(body.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{action}: {}", answer.text().await.unwrap());
    }
}

fn aws_environment(aws: &str) -> BTreeMap<String, String> {
    [
        ("AWS_ENDPOINT_URL", aws),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("HOME", "/nonexistent"),
    ]
    .iter()
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect()
}

/// Runs `loquat` and gives what it printed.
async fn loquat(aws: &str, arguments: Vec<String>) -> String {
    let environment = aws_environment(aws);
    let output = tokio::task::spawn_blocking(move || binary(&environment).args(arguments).output().unwrap())
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn arguments(words: &[&str], folder: &Path) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).chain([folder.display().to_string()]).collect()
}

/// Starts the function as Lambda would: with the environment that the stack gave it.
async fn function(emulator: &mut Emulator, aws: &Aws, name: &str, ministack: &str, model: &str, data: &Path) {
    let configuration = aws.function(name).await.unwrap();
    let mut environment: Vec<(String, String)> = configuration["Environment"]["Variables"]
        .as_object()
        .expect("the stack sets variables")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let data = data.display().to_string();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", ministack),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("OPENAI_BASE_URL", model),
        ("OPENAI_API_KEY", "sk-test"),
        ("LOQUAT_DATA_DIR", &data),
    ] {
        environment.retain(|(known, _)| known != name);
        environment.push((name.to_owned(), value.to_owned()));
    }
    emulator.spawn(&PathBuf::from(env!("CARGO_BIN_EXE_bootstrap")), &[], &environment).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploy_chat_update_and_destroy_leave_nothing() {
    loquat_server::tls::install();
    let ministack = MiniStack::start().await;
    let aws = Aws::for_emulator(REGION, &ministack.url);
    let folder = agent_folder();
    let data = tempfile::tempdir().unwrap();

    // The package is not what runs here, so a small program stands in for the large one.
    let told = loquat(
        &ministack.url,
        arguments(&["deploy", "--yes", "--no-smoke", "--bootstrap", "/bin/true"], folder.path()),
    )
    .await;
    assert!(told.contains("CREATE_COMPLETE"), "progress is shown: {told}");
    // MiniStack does not know the resource that styles Cognito's newer page.
    assert!(told.contains("the classic one is taken"), "{told}");
    let stack = aws.stack("cycle").await.unwrap().expect("the stack is there");
    let output = |name: &str| stack.output(name).unwrap_or_else(|| panic!("{name}: {told}")).to_owned();
    let (pool, client) = (output("UserPoolId"), output("UserPoolClientId"));
    let page =
        aws.get_object(&output("PageBucketName"), "config.json").await.unwrap().expect("the page's settings");
    let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
    assert_eq!(page["auth"]["user_pool_id"], pool.as_str());
    assert_eq!(page["api_base"], output("ApiUrl"));

    let mut model = ModelServer::start().await;
    let issuer = Issuer {
        issuer: format!("https://cognito-idp.{REGION}.amazonaws.com/{pool}"),
        jwks: format!("{}/{pool}/.well-known/jwks.json", ministack.url),
    };
    let mut emulator = Emulator::start(Options { issuer: Some(issuer), ..Options::default() }).await.unwrap();
    function(&mut emulator, &aws, &output("FunctionName"), &ministack.url, &model.url, data.path()).await;

    let password = cognito::random_password();
    aws.create_user(&pool, "ada@example.com", false).await.unwrap();
    aws.set_password(&pool, "ada@example.com", &password).await.unwrap();
    assert!(cognito::sign_in(&aws, &pool, &client, "ada@example.com", "Wrong-password1!").await.is_err());
    let tokens = cognito::sign_in(&aws, &pool, &client, "ada@example.com", &password).await.unwrap();

    let http = reqwest::Client::new();
    let address = format!("{}/chat", emulator.url());
    let chat = |token: Option<&str>| {
        let request = http.post(&address).json(&json!({"message": "hello", "session_id": "s1"}));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    for token in [None, Some(tokens.access_token.as_str())] {
        let refused = chat(token).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers()["access-control-allow-origin"], "*", "the page can read why");
    }

    // The first word arrives while the model has not said the second.
    let (response, call) = tokio::join!(chat(Some(&tokens.id_token)).send(), model.call());
    let response = response.unwrap();
    assert_eq!(response.status(), 200, "{:?}", emulator.init_errors());
    call.say("one ");
    let mut events = Events::new(response);
    assert_eq!(events.next().await.unwrap().event, "metadata");
    assert_eq!(events.text().await, "one ");
    call.say("two");
    assert_eq!(events.text().await, "two");
    // The function has the instructions and the tools from S3: it was started in a folder that holds neither.
    let (system, tools) = told_to_model(&call.end());
    assert!(system.contains("Be brief."), "{system}");
    assert_eq!(tools, ["greet"]);
    assert_eq!(events.all().await.last().unwrap().event, "done");

    // What was said is in the bucket when the last byte has come, whichever instance is asked.
    emulator.kill_functions().await;
    function(&mut emulator, &aws, &output("FunctionName"), &ministack.url, &model.url, data.path()).await;
    let history = http.get(format!("{}/sessions/s1", emulator.url())).bearer_auth(&tokens.id_token);
    let history: serde_json::Value = history.send().await.unwrap().json().await.unwrap();
    assert_eq!(history["messages"][1]["content"][0]["text"], "one two", "{history}");

    std::fs::write(folder.path().join("prompt.md"), "Be verbose.").unwrap();
    write_tool(folder.path(), "wave");
    let told = loquat(
        &ministack.url,
        arguments(&["deploy", "--code-only", "--bootstrap", "/bin/false"], folder.path()),
    )
    .await;
    assert!(told.contains("runs the new code"), "{told}");
    // New code is a new prompt and new tools, too; the rest of the environment is as it was.
    emulator.kill_functions().await;
    function(&mut emulator, &aws, &output("FunctionName"), &ministack.url, &model.url, data.path()).await;
    let (response, call) = tokio::join!(chat(Some(&tokens.id_token)).send(), model.call());
    call.say("three");
    let (system, tools) = told_to_model(&call.end());
    assert!(system.contains("Be verbose."), "{system}");
    assert_eq!(tools, ["wave"]);
    assert_eq!(Events::new(response.unwrap()).all().await.last().unwrap().event, "done");

    // An update, with the smoke test at its end: it makes a user of its own, chats, and removes the user again.
    let model = Arc::new(tokio::sync::Mutex::new(model));
    let answering = tokio::spawn(async move {
        loop {
            model.lock().await.answers(&["one ", "two ", "three"]).await;
        }
    });
    write_config(folder.path(), 512, 8);
    let url = emulator.url();
    let words = ["deploy", "--yes", "--bootstrap", "/bin/true", "--api-url", &url];
    let told = loquat(&ministack.url, arguments(&words, folder.path())).await;
    assert!(told.contains("Modify") && told.contains("answers as it should"), "{told}");
    let configuration = aws.function(&output("FunctionName")).await.unwrap();
    assert_eq!(configuration["MemorySize"], 512);
    let template = template::to_compact_json(&template::build(&Agent::read(folder.path()).unwrap()));
    assert!(template.len() > 51_200, "{}", template.len());
    answering.abort();

    // What the function logged is shown, and what comes while somebody looks.
    let group = output("LogGroupName");
    log_line(&ministack.url, &group, "first line").await;
    let shown = loquat(&ministack.url, arguments(&["logs"], folder.path())).await;
    assert!(shown.contains("first line"), "{shown}");
    let environment = aws_environment(&ministack.url);
    let words = arguments(&["logs", "--follow"], folder.path());
    let mut following = tokio::process::Command::from(binary(&environment)).args(words).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = async || {
        tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("a line comes").unwrap().unwrap()
    };
    assert_eq!(next().await, "first line");
    log_line(&ministack.url, &group, "second line").await;
    assert_eq!(next().await, "second line");
    following.kill().await.unwrap();

    loquat(&ministack.url, arguments(&["destroy", "--yes"], folder.path())).await;
    let left = aws.stack("cycle").await.unwrap();
    assert!(left.is_none_or(|stack| stack.stack_status == "DELETE_COMPLETE"));
    let account = aws.account().await.unwrap();
    for bucket in
        [output("PageBucketName"), output("SessionBucketName"), deploy::deployment_bucket(&account, REGION)]
    {
        assert!(!aws.bucket_exists(&bucket).await.unwrap(), "{bucket} is left");
    }
}

/// Runs `loquat`, which does not manage, and gives everything it printed.
async fn refused(aws: &str, arguments: Vec<String>) -> String {
    let environment = aws_environment(aws);
    let output = tokio::task::spawn_blocking(move || binary(&environment).args(arguments).output().unwrap())
        .await
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{text}");
    text
}

/// A creation that fails says which resource and why, leaves what can be removed, and the next one begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_fails_says_why_and_can_be_done_again() {
    loquat_server::tls::install();
    let ministack = MiniStack::start().await;
    let aws = Aws::for_emulator(REGION, &ministack.url);
    let folder = agent_folder();
    let sound = std::fs::read_to_string(folder.path().join("loquat.toml")).unwrap();
    let broken = format!("{sound}[deploy.overrides.PageRouter]\nFunctionConfig = \"none\"\n");
    std::fs::write(folder.path().join("loquat.toml"), broken).unwrap();
    let words = ["deploy", "--yes", "--no-smoke", "--bootstrap", "/bin/true"];
    let told = refused(&ministack.url, arguments(&words, folder.path())).await;
    assert!(told.contains("CREATE_FAILED") && told.contains("PageRouter"), "{told}");
    let ended = told.split("loquat: ").last().unwrap();
    assert!(
        ended.contains("ROLLBACK") && ended.contains("PageRouter:"),
        "the reason is in the error: {told}"
    );
    std::fs::write(folder.path().join("loquat.toml"), sound).unwrap();
    let told = loquat(&ministack.url, arguments(&words, folder.path())).await;
    assert!(told.contains("the first creation failed"), "{told}");
    // Nobody says yes: nothing happens.
    let told = refused(&ministack.url, arguments(&["destroy"], folder.path())).await;
    assert!(told.contains("nobody answers") && told.contains("nothing was changed"), "{told}");
    loquat(&ministack.url, arguments(&["destroy", "--yes"], folder.path())).await;
    let left = aws.stack("cycle").await.unwrap();
    assert!(left.is_none_or(|stack| stack.stack_status == "DELETE_COMPLETE"));
}

/// Behind a function URL the user pool's client learns the page's address in a second change, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_page_of_a_function_url_returns_to_the_page() {
    loquat_server::tls::install();
    let ministack = MiniStack::start().await;
    let aws = Aws::for_emulator(REGION, &ministack.url);
    let folder = agent_folder();
    let config = std::fs::read_to_string(folder.path().join("loquat.toml")).unwrap();
    let config = config.replace("[deploy]\n", "[deploy]\ncommunication = \"function-url\"\n");
    std::fs::write(folder.path().join("loquat.toml"), config).unwrap();
    let words = ["deploy", "--yes", "--no-smoke", "--bootstrap", "/bin/true"];
    let told = loquat(&ministack.url, arguments(&words, folder.path())).await;
    assert!(told.contains("learns where to return to"), "{told}");
    let stack = aws.stack("cycle").await.unwrap().expect("the stack is there");
    let output = |name: &str| stack.output(name).unwrap_or_else(|| panic!("{name}: {told}")).to_owned();
    let asked = json!({"UserPoolId": output("UserPoolId"), "ClientId": output("UserPoolClientId")});
    let client = aws.cognito("DescribeUserPoolClient", asked).await.unwrap();
    let client = &client["UserPoolClient"];
    assert_eq!(client["CallbackURLs"], json!([format!("{}/", output("PageUrl"))]), "{client}");
    assert_eq!(client["AllowedOAuthFlows"], json!(["code"]));
    let function = aws.function(&output("FunctionName")).await.unwrap();
    let domain = function["Environment"]["Variables"]["LOQUAT_LOGIN_DOMAIN"].as_str().unwrap_or_default();
    assert_eq!(domain, output("SignInUrl"));
    // The next deployment knows it from the beginning.
    let told = loquat(&ministack.url, arguments(&words, folder.path())).await;
    assert!(!told.contains("learns where to return to"), "{told}");
    loquat(&ministack.url, arguments(&["destroy", "--yes"], folder.path())).await;
}

#[test]
fn the_stack_sets_only_variables_the_server_knows() {
    for config in [
        "model = \"bedrock/a\"\n",
        "[deploy]\nhosting = \"adapter\"\ntimeout_seconds = 60\n[deploy.sessions]\nenabled = false\n",
        "[deploy]\nhosting = \"agentcore\"\n[deploy.auth]\ntype = \"oidc\"\nissuer = \"https://a\"\naudience = \"b\"\n",
        "[deploy]\ncommunication = \"function-url\"\n[deploy.auth]\ntype = \"none\"\nallow_public = true\n",
        "[deploy]\ncommunication = \"function-url\"\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("loquat.toml"), config).unwrap();
        let template = template::build(&Agent::read(folder.path()).unwrap()).to_value();
        let resources = template["Resources"].as_object().unwrap();
        let sets = |name: &str, path: &str| {
            resources
                .get(name)
                .and_then(|resource| resource.pointer(path))
                .and_then(|value| value.as_object())
        };
        let variables = sets("Function", "/Properties/Environment/Variables")
            .or_else(|| sets("Runtime", "/Properties/EnvironmentVariables"))
            .expect("variables");
        assert!(!variables.is_empty());
        for name in variables.keys() {
            // Lambda's and the adapter's own.
            assert!(
                name.starts_with("AWS_") || VARIABLES.iter().any(|known| known.name == name),
                "{name} is unknown to the server"
            );
        }
    }
}

/// A page that works from the server works from the bucket.
#[tokio::test]
async fn the_page_has_the_same_policy_from_the_bucket_as_from_the_server() {
    let folder = agent_folder();
    let template = template::build(&Agent::read(folder.path()).unwrap()).to_value();
    let headers = &template["Resources"]["PageHeaders"]["Properties"]["ResponseHeadersPolicyConfig"];
    let policy =
        &headers["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"]["Fn::Sub"];
    let model = ModelServer::start().await;
    let server = Server::start(&model, &[]).await;
    let page = server.http.get(&server.url).send().await.unwrap();
    let directives = |policy: &str| -> BTreeSet<String> {
        // Where the API and the sign-in are differs, of course.
        policy.split("; ").filter(|part| !part.starts_with("connect-src ")).map(str::to_owned).collect()
    };
    let own = page.headers()["content-security-policy"].to_str().unwrap();
    assert_eq!(directives(policy.as_str().unwrap()), directives(own));
}

#[test]
fn a_preflight_that_api_gateway_answers_allows_what_the_server_would() {
    let folder = agent_folder();
    let template = template::build(&Agent::read(folder.path()).unwrap()).to_value();
    let names = |list: &str| -> BTreeSet<String> {
        list.trim_matches('\'').split(',').map(|name| name.trim().to_ascii_lowercase()).collect()
    };
    let mut preflights = 0;
    for (id, resource) in template["Resources"].as_object().unwrap() {
        let (place, preflight) = match resource["Type"].as_str() {
            Some("AWS::ApiGateway::Method") if resource["Properties"]["HttpMethod"] == "OPTIONS" => {
                ("/Properties/Integration/IntegrationResponses/0/ResponseParameters", true)
            }
            Some("AWS::ApiGateway::GatewayResponse") => ("/Properties/ResponseParameters", false),
            _ => continue,
        };
        let said = resource.pointer(place).unwrap();
        let prefix = if preflight { "method.response.header" } else { "gatewayresponse.header" };
        let list = |name: &str| names(said[format!("{prefix}.Access-Control-{name}")].as_str().unwrap());
        assert_eq!(list("Allow-Headers"), names(security::ALLOW_HEADERS), "{id}");
        if preflight {
            let mut methods = list("Allow-Methods");
            assert!(methods.remove("options"));
            assert_eq!(methods, names(security::ALLOW_METHODS), "{id}");
            preflights += 1;
        } else {
            assert!(list("Expose-Headers").is_superset(&names(security::EXPOSE_HEADERS)), "{id}");
        }
    }
    assert!(preflights >= 2);
}
