//! Settings from files and the environment, good and bad.

use std::collections::BTreeMap;

use super::*;

fn load(file: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loquat.toml");
    std::fs::write(&path, file).unwrap();
    let mut env: BTreeMap<String, String> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    env.entry("HOME".into()).or_insert_with(|| "/home/me".into());
    let flags = Flags { config: Some(path), ..Flags::default() };
    Config::from(&flags, &env).map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), ""))
}

#[test]
fn the_defaults_need_nothing() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.models[0].id, DEFAULT_MODEL);
    assert!(!config.model_named);
    assert_eq!((config.http.host.to_string().as_str(), config.http.port), ("127.0.0.1", 8080));
    assert_eq!(config.store, StoreConfig::Sqlite);
    assert_eq!(
        config.context,
        ContextConfig { strategy: ContextStrategyName::SlidingWindow, window: 20, tokens: 32_000 }
    );
    assert_eq!(config.runs.session_ttl, Duration::from_secs(24 * 60 * 60));
    assert!(config.folders.data().unwrap().starts_with("/home/me"));
}

/// A Lambda function has no home folder.
#[test]
fn folders_are_missed_only_where_they_are_needed() {
    let config = Config::from(&Flags::default(), &BTreeMap::new()).unwrap();
    let missing = config.folders.data().unwrap_err().to_string();
    assert!(missing.contains("data_dir") && missing.contains("LOQUAT_DATA_DIR"), "{missing}");
    let Err(error) = crate::assemble::assemble(&config) else { panic!("SQLite without a folder") };
    assert!(error.to_string().contains("LOQUAT_DATA_DIR"), "{error}");

    let missing = config.folders.models().unwrap_err().to_string();
    assert!(missing.contains("LOQUAT_MODEL_DIR"), "{missing}");
    let env =
        [("LOQUAT_DATA_DIR", "/var/lib/loquat")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from(&Flags::default(), &BTreeMap::from(env)).unwrap();
    assert_eq!(config.folders.data().unwrap(), std::path::Path::new("/var/lib/loquat"));
}

#[test]
fn a_lambda_function_keeps_nothing_unless_told() {
    let function = ("AWS_LAMBDA_FUNCTION_NAME", "f");
    let model = ("MODEL_ID", "m");
    assert_eq!(load("", &[model, function]).unwrap().store, StoreConfig::None);
    assert_eq!(load("store = \"sqlite\"", &[model, function]).unwrap().store, StoreConfig::Sqlite);
    let kept = load("", &[model, function, ("SESSION_BUCKET", "chats")]).unwrap().store;
    assert!(matches!(kept, StoreConfig::Object { url, .. } if url == "s3://chats"));
}

#[test]
fn the_references_variables_keep_their_meaning() {
    let config = load(
        "store = \"memory\"",
        &[
            ("MODEL_ID", "anthropic.claude-3-haiku-20240307-v1:0"),
            ("SESSION_BUCKET", "chats"),
            ("CONTEXT_ENABLED", "true"),
            ("CONTEXT_STRATEGY", "SlidingWindow"),
            ("CONTEXT_WINDOW_SIZE", "6"),
            ("SYSTEM_PROMPT_S3_BUCKET_NAME", "prompts"),
            ("SYSTEM_PROMPT_S3_KEY", "p.txt"),
            ("PORT", "8081"),
        ],
    )
    .unwrap();
    assert_eq!(config.models[0].id, "anthropic.claude-3-haiku-20240307-v1:0");
    assert_eq!(config.store, StoreConfig::Object { url: "s3://chats".into(), kms_key: None, endpoint: None });
    assert_eq!(config.context.window, 6);
    assert_eq!(config.prompt, Prompt::S3 { bucket: "prompts".into(), key: "p.txt".into() });
    assert_eq!(config.http.port, 8081);
    let off = load("", &[("CONTEXT_ENABLED", "false")]).unwrap();
    assert_eq!(off.context.strategy, ContextStrategyName::Null);
}

#[test]
fn keys_and_addresses_come_from_the_official_variables() {
    let file = "models = [\"openai/a\", \"anthropic/b\", \"openai/c\"]\n\
                [model_settings.\"openai/c\"]\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    let env =
        [("OPENAI_API_KEY", "ko"), ("OPENAI_BASE_URL", "http://127.0.0.1:2/v1"), ("ANTHROPIC_API_KEY", "ka")];
    let config = load(file, &env).unwrap();
    let seen: Vec<_> = config
        .models
        .iter()
        .map(|m| (m.base_url.as_deref(), m.api_key.as_ref().map(Secret::expose)))
        .collect();
    assert_eq!(
        seen,
        [
            (Some("http://127.0.0.1:2/v1"), Some("ko")),
            (None, Some("ka")),
            // The environment's key was not made for the file's own address.
            (Some("http://127.0.0.1:1/v1"), None),
        ]
    );
    assert!(!format!("{config:?}").contains("ko\""), "a key is never printed");
}

#[test]
fn a_wrong_setting_says_where_what_and_what_was_expected() {
    let wrong = [
        ("max_steps = \"abc\"", vec![]),
        ("\nmax_steps = 0", vec![]),
        ("modell = \"x\"", vec![]),
        ("store = \"redis\"", vec![]),
        ("store = \"none\"\nsession_bucket = \"b\"", vec![]),
        ("session_ttl = \"soon\"", vec![]),
        ("[page]\naccent = \"red\"", vec![]),
        ("system_prompt = \"a\"\nsystem_prompt_file = \"b\"", vec![]),
        ("system_prompt_file = \"missing.md\"", vec![]),
        ("on_busy = \"maybe\"", vec![]),
        ("[model_settings.\"openai/x\"]\nattempts = 1", vec![]),
        ("model = \"openai/x\"\n[model_settings.\"openai/x\"]\napi_key_env = \"NOT_SET\"", vec![]),
        ("x = [", vec![]),
        ("[context]\nstrategy = \"x\"", vec![]),
        ("tools = [\"nosuch\"]", vec![]),
        ("[[mcp]]\nname = \"a\"\nurl = \"https://a.example\"\nheaders = \"canary\"", vec![]),
        ("model = \"opneai/gpt-x\"", vec![]),
        ("log_level = \"verbose\"", vec![]),
        ("", vec![("PORT", "99999")]),
        ("", vec![("LOQUAT_MAX_STEP", "3")]),
        ("", vec![("LOQUAT_STORE", "redis")]),
        ("", vec![("HOST", "nowhere")]),
        ("", vec![("LOQUAT_API_KEYS", "canary")]),
        ("", vec![("LOQUAT_API_KEYS", "name=canary"), ("AUTH_TYPE", "ApiKey")]),
        ("", vec![("AUTH_TYPE", "Cognito")]),
        ("", vec![("AUTH_TYPE", "Cognito"), ("USER_POOL_ID", "nowhere")]),
        ("[auth]\ntype = \"Oidc\"\nissuer = \"http://issuer.example\"", vec![]),
        ("", vec![("LOQUAT_CORS_ORIGINS", "nowhere")]),
        ("", vec![("TOOLS_CONFIG", "{}")]),
        ("", vec![("CONTEXT_STRATEGY", "Magic")]),
        ("", vec![("SYSTEM_PROMPT_S3_KEY", "k")]),
    ];
    let report: Vec<String> = wrong
        .iter()
        .map(|(file, env)| load(file, env).err().unwrap_or_else(|| panic!("accepted: {file} {env:?}")))
        .collect();
    let report = report.join("\n");
    assert!(!report.contains("canary"), "{report}");
    insta::assert_snapshot!(report);
}

#[test]
fn a_parameter_that_the_provider_does_not_know_is_refused_by_its_name() {
    let own = "model = \"openai/x\"\n[model_settings.\"openai/x\"]\n";
    let key = [("OPENAI_API_KEY", "k")];
    for (file, expected) in [
        (
            format!("{own}params = {{ reasoning_budget = 2048 }}"),
            "/loquat.toml:3: model_settings.\"openai/x\".params = 2048: expected parameters that openai/x takes: OpenAI has no setting like reasoning_budget; use reasoning_effort",
        ),
        (
            format!("{own}[model_settings.\"openai/x\".params]\ntop_p = 2.0"),
            "/loquat.toml:4: model_settings.\"openai/x\".params.top_p = 2.0: expected parameters that openai/x takes: OpenAI takes top_p from 0 to 1",
        ),
        (
            "model = \"anthropic/claude-x\"\n[params]\ntemperature = 1.5".to_owned(),
            "/loquat.toml:3: params.temperature = 1.5: expected parameters that anthropic/claude-x takes: Anthropic takes temperature from 0 to 1",
        ),
        (
            "model = \"amazon.nova-lite-v1:0\"\nparams = { reasoning_budget = 2048 }".to_owned(),
            "/loquat.toml:2: params = 2048: expected parameters that amazon.nova-lite-v1:0 takes: Amazon Bedrock has no setting like reasoning_budget for this model; set `extra` to what its maker documents",
        ),
    ] {
        assert_eq!(load(&file, &key).unwrap_err(), expected);
    }
}

#[test]
fn a_wrong_setting_of_a_tool_says_its_line() {
    let good = "[[mcp]]\nname = \"a\"\nurl = \"https://a.example/mcp\"\n";
    for (file, line) in [
        (format!("{good}[[mcp]]\nname = \"b\"\n"), 4),
        (format!("{good}[[mcp]]\nname = \"b\"\nurl = \"nowhere\"\n"), 6),
        (format!("{good}[[mcp]]\nname = \"a\"\ncommand = \"x\"\n"), 5),
    ] {
        let said = load(&file, &[]).unwrap_err();
        assert!(said.starts_with(&format!("/loquat.toml:{line}: mcp[1]")), "{said}");
    }
}

#[test]
fn a_folder_of_tools_that_was_moved_to_s3_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("loquat.toml");
    std::fs::write(&file, "[python]\ndir = \"my-tools\"\n").unwrap();
    let flags = Flags { config: Some(file), ..Flags::default() };
    let named = Some(folder.path().join("my-tools"));
    let objects = r#"[{"bucketName": "b", "key": "k.zip", "isZipArchive": true}]"#;
    for (tools_config, dir) in [("", named), (objects, None)] {
        let env =
            [("TOOLS_CONFIG".to_owned(), tools_config.to_owned()), ("HOME".to_owned(), "/home/x".to_owned())];
        let config = Config::from(&flags, &env.into()).unwrap();
        assert_eq!(config.tools.python.dir, dir, "{tools_config}");
    }
}

#[test]
fn tools_are_settings_like_the_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tools")).unwrap();
    std::fs::write(folder.path().join("tools/a.py"), "").unwrap();
    let file = folder.path().join("loquat.toml");
    std::fs::write(
        &file,
        "tools = [\"calculator\"]\n[tool.calculator]\nneeds_approval = true\n\
         [[mcp]]\nname = \"x\"\nurl = \"https://x.example/mcp\"\nbearer_token = \"${X_TOKEN}\"\n\
         [[openapi]]\nname = \"pets\"\ndocument = \"pets.json\"\n",
    )
    .unwrap();
    let flags = Flags { config: Some(file.clone()), ..Flags::default() };
    let env = |more: &[(&str, &str)]| {
        let base = [
            ("X_TOKEN", "hidden"),
            ("PATH", "/bin"),
            ("OTHER", "1"),
            ("AWS_REGION", "eu-west-1"),
            ("HOME", "/home/x"),
        ];
        base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let config = Config::from(&flags, &env(&[])).unwrap();
    assert_eq!(config.tools.python.dir, Some(folder.path().join("tools")));
    assert_eq!(config.tools.openapi[0].document, folder.path().join("pets.json").to_string_lossy());
    assert_eq!(config.tools.mcp[0].bearer_token.as_ref().unwrap().expose(), "hidden");
    assert_eq!(
        config.child_env,
        [("PATH".to_owned(), "/bin".to_owned()), ("HOME".to_owned(), "/home/x".to_owned())]
    );
    assert!(config.tools.python.env.is_empty());

    let objects = r#"[{"bucketName":"b","key":"a.py","isFile":true,"isZipArchive":false}]"#;
    let config =
        Config::from(&flags, &env(&[("TOOLS_CONFIG", objects), ("LOQUAT_TOOLS", "memory, current_time")]))
            .unwrap();
    assert_eq!(config.tools.python.objects.len(), 1);
    assert_eq!(config.tools.tools.len(), 2);
    // The reference's tools find their region; nothing else of ours.
    assert_eq!(config.tools.python.env.keys().collect::<Vec<_>>(), ["AWS_REGION"]);

    let error = Config::from(&flags, &env(&[("TOOLS_CONFIG", "{}")])).unwrap_err();
    assert!(error.place == "TOOLS_CONFIG" && error.expected.contains("bucketName"), "{error}");
    Config::from(&flags, &env(&[("LOQUAT_TOOLS", "shell")])).unwrap_err();
    std::fs::write(&file, "[[mcp]]\nname = \"x\"\n").unwrap();
    let error = Config::from(&flags, &env(&[])).unwrap_err();
    assert!(error.to_string().contains("mcp[0]") && error.to_string().contains("command or url"), "{error}");
}

#[test]
fn a_logo_goes_where_the_configuration_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loquat.toml");
    let flags = Flags { config: Some(path.clone()), ..Flags::default() };
    let logo = |written: &str| {
        std::fs::write(&path, format!("[page]\nlogo = \"{written}\"\n")).unwrap();
        Config::from(&flags, &BTreeMap::from([("HOME".into(), "/home/me".into())]))
            .map(|config| config.page.logo.unwrap())
            .map_err(|error| error.to_string())
    };
    std::fs::write(folder.path().join("logo.svg"), "<svg/>").unwrap();
    std::fs::write(folder.path().join("huge.png"), vec![0; 65_537]).unwrap();
    assert_eq!(logo("logo.svg").unwrap(), "data:image/svg+xml;base64,PHN2Zy8+");
    assert_eq!(logo("/logo.svg").unwrap(), "/logo.svg");
    assert_eq!(logo("data:image/png;base64,AA==").unwrap(), "data:image/png;base64,AA==");
    for (wrong, because) in [
        ("missing.svg", "No such file"),
        ("huge.png", "more than 65536"),
        ("loquat.toml", "no known kind"),
        ("https://example.com/logo.svg", "data:image/… URL"),
    ] {
        let error = logo(wrong).unwrap_err();
        assert!(error.contains(because), "{error}");
    }
}
