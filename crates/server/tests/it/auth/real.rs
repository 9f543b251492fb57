//! Sign-in as it really happens: tokens that Amazon's and a certified client library get from an emulated user pool and
//! from a certified OpenID Connect provider (`tests/sign-in`), at this server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use futures_util::StreamExt as _;

use super::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process whose whole group ends with it.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-9").arg("--").arg(format!("-{}", self.0.id())).status();
        let _ = self.0.wait();
    }
}

fn node(script: &str) -> Command {
    let root = root();
    assert!(
        root.join("tests/node_modules/openid-client").is_dir(),
        "the clients of the tests are not installed: run the tests with `cargo xtask test`"
    );
    let mut command = Command::new("node");
    command.arg(root.join("tests/sign-in").join(script)).stderr(Stdio::null());
    command
}

async fn pool() -> (Process, String, tempfile::TempDir) {
    let program = root().join(".venv/bin/ministack");
    assert!(
        program.is_file(),
        "the Cognito emulator is not installed: run the tests with `cargo xtask test`"
    );
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let settings = [
        ("BIND_HOST", "127.0.0.1"),
        ("IOT_MTLS_ENABLED", "0"),
        ("LAMBDA_EXECUTOR", "local"),
        ("COGNITO_EMAIL_ENABLED", "false"),
        ("S3_PERSIST", "0"),
        ("PERSIST_STATE", "0"),
    ];
    let process = Process::start(
        Command::new(program)
            .current_dir(folder.path())
            .envs(settings)
            .env("GATEWAY_PORT", port.to_string())
            .env("STATE_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    let endpoint = format!("http://127.0.0.1:{port}");
    loquat_server::tls::install();
    let client = reqwest::Client::new();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !client
        .get(format!("{endpoint}/_ministack/health"))
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
    {
        assert!(Instant::now() < deadline, "the Cognito emulator did not come up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (process, endpoint, folder)
}

#[tokio::test]
async fn a_user_of_a_pool_signs_in_by_srp_and_on_the_pools_page() {
    let (_pool, endpoint, _folder) = pool().await;
    let address = endpoint.clone();
    let printed = tokio::task::spawn_blocking(move || node("cognito.mjs").arg(address).output().unwrap());
    let printed = printed.await.unwrap();
    assert!(printed.status.success(), "signing in failed: {}", printed.status);
    let got: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let text = |name: &str| got[name].as_str().unwrap().to_owned();
    assert_eq!(text("refused"), "NotAuthorizedException", "the emulator checks passwords");
    let (pool, client) = (text("pool"), text("client"));
    let keys = format!("{endpoint}/{pool}/.well-known/jwks.json");
    let settings = |token: &'static str| {
        vec![
            ("AUTH_TYPE", "Cognito".to_owned()),
            ("USER_POOL_ID", pool.clone()),
            ("USER_POOL_CLIENT_ID", client.clone()),
            ("LOQUAT_JWKS_URL", keys.clone()),
            ("LOQUAT_API_TOKEN", token.to_owned()),
            ("LOQUAT_ADMIN_ROLE", "chiefs".to_owned()),
        ]
    };
    for (takes, good, bad) in [
        ("id", ["id", "code_id"], ["access", "code_access"]),
        ("access", ["access", "code_access"], ["id", "code_id"]),
    ] {
        let settings = settings(takes);
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let served = serve(&settings, "say=\"hi\"").await;
        let list = |token: String| served.request("GET", "/sessions").bearer_auth(token).send();
        // Both ways of signing in are the same user.
        served.converse(&text(good[0])).await;
        for token in good {
            let answer = list(text(token)).await.unwrap();
            assert_eq!(answer.status(), 200, "{token} where {takes} is taken");
            let sessions: Value = answer.json().await.unwrap();
            assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{token}");
        }
        for token in bad {
            assert_eq!(list(text(token)).await.unwrap().status(), 401, "{token} where {takes} is taken");
        }
        let admin = served.request("GET", "/admin/users/bob/sessions").bearer_auth(text(good[0]));
        assert_eq!(admin.send().await.unwrap().status(), 200, "the group is the role");
        let page: Value = served.request("GET", "/config.json").send().await.unwrap().json().await.unwrap();
        assert_eq!(page["auth"]["user_pool_id"], pool.as_str());
        assert_eq!(page["auth"]["api_token"], takes);
    }
}

/// The provider of `provider.mjs`.
struct Provider {
    _process: Process,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    issuer: String,
}

impl Provider {
    fn start() -> Self {
        let mut command = node("provider.mjs");
        command.arg(free_port().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let input = process.0.stdin.take().unwrap();
        let output = BufReader::new(process.0.stdout.take().unwrap());
        let mut provider = Self { _process: process, input, output, issuer: String::new() };
        provider.issuer = provider.line()["issuer"].as_str().unwrap().to_owned();
        provider
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, command: &str) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.line()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_providers_tokens_are_accepted_also_after_its_key_changed() {
    let provider = tokio::task::spawn_blocking(Provider::start).await.unwrap();
    let issuer = provider.issuer.clone();
    let settings = [
        ("AUTH_TYPE", "Oidc"),
        ("LOQUAT_ISSUER", issuer.as_str()),
        ("LOQUAT_AUDIENCE", "page"),
        ("LOQUAT_ADMIN_CLAIM", "roles"),
        ("LOQUAT_ADMIN_ROLE", "chiefs"),
    ];
    let served = serve(&settings, "say=\"hi\"").await;
    let asked = tokio::task::spawn_blocking(move || {
        let mut provider = provider;
        let before = provider.ask("token");
        (provider, before)
    });
    let (provider, before) = asked.await.unwrap();
    let old = before["id"].as_str().unwrap().to_owned();
    let (session, _) = served.converse(&old).await;
    let opaque = before["access"].as_str().unwrap();
    assert_eq!(served.request("GET", "/sessions").bearer_auth(opaque).send().await.unwrap().status(), 401);

    let asked = tokio::task::spawn_blocking(move || {
        let mut provider = provider;
        assert_eq!(provider.ask("rotate")["rotated"], true);
        let after = provider.ask("token");
        (provider, after)
    });
    let (_provider, after) = asked.await.unwrap();
    let new = after["id"].as_str().unwrap();
    let read = |token: &str| served.request("GET", &format!("/sessions/{session}")).bearer_auth(token).send();
    assert_eq!(read(new).await.unwrap().status(), 200, "the same user with the new key");
    assert_eq!(read(&old).await.unwrap().status(), 401, "the old key was withdrawn");
    let admin = served.request("GET", "/admin/users/bob/sessions").bearer_auth(new);
    assert_eq!(admin.send().await.unwrap().status(), 200);
}

/// What of a stream is whole: a frame that was cut is not taken.
fn whole_frames(text: &str) -> String {
    text.rsplit_once("\n\n").map(|(whole, _)| format!("{whole}\n\n")).unwrap_or_default()
}

/// The cursor of the last frame.
fn last_id(text: &str) -> u64 {
    let last = text.lines().rev().find_map(|line| line.strip_prefix("id: "));
    last.map_or(0, |id| id.parse().unwrap())
}

fn frames(text: &str) -> Vec<String> {
    text.split("\n\n").filter(|frame| frame.starts_with("id: ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_thirty_seconds_with_tokens_of_two_loses_nothing() {
    let provider = tokio::task::spawn_blocking(Provider::start).await.unwrap();
    let issuer = provider.issuer.clone();
    let settings = [
        ("AUTH_TYPE", "Oidc"),
        ("LOQUAT_ISSUER", issuer.as_str()),
        ("LOQUAT_AUDIENCE", "page"),
        // Whether the token still counts is asked after every piece.
        ("LOQUAT_REQUESTS_PER_MINUTE", "0"),
        ("LOQUAT_REQUESTS_PER_MINUTE_PER_ADDRESS", "0"),
    ];
    let served = serve(&settings, "tokens=310 delay=100ms").await;
    let provider = std::sync::Mutex::new(provider);
    let provider = std::sync::Arc::new(provider);
    let sign_in = async || {
        let provider = std::sync::Arc::clone(&provider);
        let asked = tokio::task::spawn_blocking(move || provider.lock().unwrap().ask("short"));
        asked.await.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let run = new_id();
    let body = json!({"message": "hello", "run_id": run, "events": "all"});
    let (mut read, mut expired) = (String::new(), 0);
    let began = Instant::now();
    while !read.contains("event: done") {
        let token = sign_in().await;
        let request = match last_id(&read) {
            0 => served.request("POST", "/chat").json(&body),
            after => served.request("GET", &format!("/runs/{run}/events?after={after}")),
        };
        let answer = request.bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "a fresh token is accepted");
        let mut stream = answer.bytes_stream();
        let mut text = String::new();
        while let Some(chunk) = stream.next().await {
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            let status =
                served.request("GET", "/sessions").bearer_auth(&token).send().await.unwrap().status();
            if status == 401 {
                // The stream that it opened goes on all the same. The client loses it there.
                expired += 1;
                if let Some(chunk) = stream.next().await {
                    text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
                }
                break;
            }
            assert_eq!(status, 200);
        }
        read.push_str(&whole_frames(&text));
    }
    assert!(began.elapsed() >= Duration::from_secs(30), "it was a stream of {:?}", began.elapsed());
    assert!(expired >= 5, "{expired} tokens expired while their stream was open");
    let fresh = sign_in().await;
    let again = served.request("GET", &format!("/runs/{run}/events?after=0")).bearer_auth(&fresh);
    let straight = again.send().await.unwrap().text().await.unwrap();
    assert_eq!(frames(&read), frames(&straight), "no event was lost or came twice");
    assert!(frames(&straight).len() > 300);
}

#[tokio::test]
async fn a_stream_outlives_its_credential_and_a_fresh_one_takes_it_up() {
    let served = serve(&[("AUTH_TYPE", "ApiKey")], "tokens=60 delay=50ms").await;
    let file = loquat_server::auth::KeyFile::within(served._folder.path());
    let short = file.add("short", Some("ann"), false).unwrap();
    let fresh = file.add("fresh", Some("ann"), false).unwrap();
    let run = new_id();
    let body = json!({"message": "hello", "run_id": run, "events": "all"});
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut stream = loop {
        let answer = served.request("POST", "/chat").bearer_auth(&short).json(&body).send().await.unwrap();
        if answer.status() == 200 {
            break answer.bytes_stream();
        }
        assert!(Instant::now() < deadline, "a new key counts within a second");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut first = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    file.revoke("short").unwrap();
    let events = format!("/runs/{run}/events");
    let again = |token: &str, after: u64| {
        let path = format!("{events}?after={after}");
        served.request("GET", &path).bearer_auth(token).send()
    };
    while again(&short, 0).await.unwrap().status() != 401 {
        assert!(Instant::now() < deadline, "a revoked key counts within a second");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The open stream goes on; the client loses it somewhere, and comes back with a fresh credential, several times.
    first.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    drop(stream);
    let mut read = whole_frames(&first);
    for _ in 0..3 {
        let mut part = again(&fresh, last_id(&read)).await.unwrap().bytes_stream();
        let mut text = String::new();
        for _ in 0..4 {
            match part.next().await {
                Some(chunk) => text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap()),
                None => break,
            }
        }
        read.push_str(&whole_frames(&text));
    }
    read.push_str(&again(&fresh, last_id(&read)).await.unwrap().text().await.unwrap());
    let straight = again(&fresh, 0).await.unwrap().text().await.unwrap();
    assert_eq!(frames(&read), frames(&straight), "no event was lost or came twice");
    assert!(frames(&straight).len() > 60 && straight.contains("event: done"));
}
