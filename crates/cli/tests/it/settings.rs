//! Each wrong setting stops the start with where it stands, its name, its value and what was expected.

use std::collections::BTreeMap;

use crate::support::{ModelServer, binary};

/// Variables and arguments.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

fn start(settings: &[(&str, &str)], args: &[&str]) -> (bool, String) {
    let home = tempfile::tempdir().unwrap();
    let mut env: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.insert("HOME".into(), home.path().to_str().unwrap().into());
    let output = binary(&env).current_dir(home.path()).arg("serve").args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said.replace(home.path().to_str().unwrap(), "~"))
}

#[test]
fn a_wrong_setting_stops_the_start() {
    const MODEL: (&str, &str) = ("MODEL_ID", "openai/x");
    const KEY: (&str, &str) = ("OPENAI_API_KEY", "sk-canary");
    let cases: &[Case] = &[
        (&[("PORT", "x")], &[]),
        (&[("LOQUAT_STOER", "none")], &[]),
        (&[("LOQUAT_STORE", "redis")], &[]),
        (&[MODEL], &[]),
        (&[MODEL, KEY], &["--host", "0.0.0.0"]),
        (&[MODEL, KEY, ("RUST_LOG", "=,=")], &[]),
        (&[], &["--config", "missing.toml"]),
        (&[MODEL, KEY, ("LOQUAT_DATA_DIR", "/dev/null/x")], &[]),
    ];
    let mut report = String::new();
    for (settings, args) in cases {
        let (ok, said) = start(settings, args);
        assert!(!ok, "{settings:?} {args:?}");
        assert!(!said.contains("sk-canary"), "a key is never printed");
        report.push_str(&said);
    }
    insta::assert_snapshot!(report);
}

/// What is good and what is not, each by name, with what to do.
#[tokio::test]
async fn check_asks_models_and_names_the_culprit() {
    let mut model = ModelServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let settings = "models = [\"openai/good\", \"openai/none\"]\ntools = [\"calculator\"]\n\
        [model_settings.\"openai/none\"]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
        [[mcp]]\nname = \"gone\"\ncommand = \"/no/such/program\"\n";
    std::fs::write(home.path().join("loquat.toml"), settings).unwrap();
    let env: BTreeMap<String, String> = [
        ("HOME", home.path().to_str().unwrap()),
        ("OPENAI_BASE_URL", &model.url),
        ("OPENAI_API_KEY", "sk-canary"),
    ]
    .iter()
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    let mut command = binary(&env);
    command.current_dir(home.path()).arg("check");
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    model.answers(&["ok"]).await;
    let output = running.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success(), "{said}");
    for wanted in [
        "openai/good: first token after ",
        "openai/none: ",
        "calculator",
        "gone: the command could not be started",
    ] {
        assert!(said.contains(wanted), "{wanted} is missing: {said}");
    }
    assert!(!said.contains("sk-canary"), "a key is never printed");
}

/// What a release brings beside the program is made by the program itself.
#[test]
fn it_describes_itself_to_shells_and_man() {
    for shell in ["bash", "zsh", "fish"] {
        let output = binary(&[].into()).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("retail-banking"), "{shell}");
        assert!(script.contains("doctor"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(binary(&[].into()).arg("man").arg(folder.path()).status().unwrap().success());
    for page in ["loquat.1", "loquat-serve.1", "loquat-keys-add.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
}
