//! Strands tools, unchanged, with the package `strands-agents` and without it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loquat_agent::event::Event;
use loquat_agent::message::ToolContent;
use serde_json::{Value, json};

use crate::tools::config::{ToolsConfig, parse_tools_config};
use crate::tools::testing::{call, context, deps, find, names, state, until, venv_python, words};
use crate::tools::{SourceKind, SourceState, ToolDeps, Toolbox};

/// How the worker finds, or does not find, the package.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Strands {
    /// Installed beside the interpreter.
    Installed,
    /// Installed, but the shim is asked for.
    Ignored,
    /// Not there: another interpreter, which sees boto3 and nothing else of the environment.
    Absent,
}

const ALL: [Strands; 3] = [Strands::Installed, Strands::Ignored, Strands::Absent];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tools/tests/strands")
}

/// A folder with boto3 and what it needs, out of the test environment's packages.
fn only_boto3() -> tempfile::TempDir {
    let python = PathBuf::from(venv_python());
    let lib = python.parent().unwrap().join("../lib");
    let version = std::fs::read_dir(&lib).unwrap().flatten().next().unwrap().path();
    let folder = tempfile::tempdir().unwrap();
    for name in ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"] {
        let from = version.join("site-packages").join(name);
        assert!(from.exists(), "{}: run `cargo xtask test`", from.display());
        std::os::unix::fs::symlink(from.canonicalize().unwrap(), folder.path().join(name)).unwrap();
    }
    folder
}

struct Setup {
    toolbox: Toolbox,
    _boto3: tempfile::TempDir,
}

impl std::ops::Deref for Setup {
    type Target = Toolbox;
    fn deref(&self) -> &Toolbox {
        &self.toolbox
    }
}

fn start(strands: Strands, python: Value, deps: &ToolDeps) -> Setup {
    let boto3 = only_boto3();
    let mut config: ToolsConfig = serde_json::from_value(json!({
        "connect_wait_ms": 60_000,
        "python": {
            "command": if strands == Strands::Absent { "python3".to_owned() } else { venv_python() },
            "strands": if strands == Strands::Ignored { "shim" } else { "auto" },
            "env": {
                "LISTED": "yes",
                "PYTHONPATH": if strands == Strands::Absent { boto3.path().to_str().unwrap() } else { "" },
            },
        },
    }))
    .unwrap();
    let more: Value = python;
    if let Some(dir) = more.get("dir").and_then(Value::as_str) {
        config.python.dir = Some(dir.into());
    }
    if let Some(objects) = more.get("objects") {
        config.python.objects = parse_tools_config(&objects.to_string()).unwrap();
    }
    config.validate().unwrap();
    Setup { toolbox: Toolbox::start(&config, deps), _boto3: boto3 }
}

fn local(strands: Strands) -> Setup {
    start(strands, json!({"dir": fixtures()}), &deps())
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_load_and_run_with_and_without_the_package() {
    for strands in ALL {
        let toolbox = local(strands);
        let listed = names(&toolbox).await;
        for name in
            ["get_weather", "who_asks", "lookup", "sleeper", "steps", "by_convention", "plain", "nothing"]
        {
            assert!(
                listed.iter().any(|known| known == name),
                "{strands:?}: {name}: {listed:?} {:?}",
                toolbox.status()
            );
        }
        assert!(!listed.iter().any(|name| name.contains("never") || name == "not_a_tool"), "{listed:?}");

        // Modules that cannot be loaded are named with file and line.
        let status = toolbox.status().remove(0);
        assert_eq!((status.kind, status.state), (SourceKind::Python, SourceState::Ready));
        let problems = status.problems.join("\n");
        assert!(problems.contains("broken.py:5: SyntaxError"), "{strands:?}: {problems}");
        assert!(problems.contains("raises.py:3: KeyError"), "{strands:?}: {problems}");
        assert_eq!(status.problems.len(), 2, "{problems}");

        let spec = find(&toolbox, "get_weather").await.spec().clone();
        assert!(
            spec.description.starts_with("Get the weather forecast for a city.\n\nUse this"),
            "{}",
            spec.description
        );
        assert!(!spec.description.contains("The name of the city"));
        assert_eq!(spec.input_schema["required"], json!(["city"]));
        assert_eq!(
            spec.input_schema["properties"]["city"],
            json!({"type": "string", "description": "The name of the city,\nwith its country if it is ambiguous"})
        );

        // A structured result, and the events that were sent before it, in their order.
        let (cx, mut events) = context("w");
        let output = find(&toolbox, "get_weather").await.call(json!({"city": "Graz", "days": 30}), cx).await;
        assert_eq!(
            output.content,
            [ToolContent::Json(json!({"city": "Graz", "days": 30, "units": "metric", "detail": null}))],
            "{strands:?}"
        );
        let mut sent = Vec::new();
        while let Ok(Event::Custom { name, data }) = events.try_recv() {
            sent.push((name, data));
        }
        let mut expected = vec![("schema".to_owned(), json!({"data": ["Graz"]}))];
        expected.extend((0..30).map(|day| ("preview".to_owned(), json!({"day": day}))));
        assert_eq!(sent, expected, "{strands:?}");

        // Identity comes with the call; the environment is the listed one.
        let (mut cx, _events) = context("call-7");
        cx.user = Some("ada".into());
        let output = find(&toolbox, "who_asks").await.call(json!({"note": "n"}), cx).await;
        let said: Value = serde_json::from_str(&words(&output)).unwrap();
        assert_eq!(
            said,
            json!({"session": "session", "user": "ada", "note": "n", "call": "call-7", "secret": null, "listed": "yes"})
        );

        // An async function, a client made when the module was loaded, a helper module beside it.
        let found = call(&toolbox, "lookup", json!({"key": "k", "delay": 0.01})).await;
        assert_eq!((found.is_error, words(&found).as_str()), (false, "found k in eu-central-1"));
        assert_eq!(words(&call(&toolbox, "by_convention", json!({"n": 3})).await), "n=3");
        let stepped = call(&toolbox, "steps", json!({"n": 2})).await;
        assert!(
            matches!(stepped.content.as_slice(), [ToolContent::Text(text), ToolContent::Image(_)] if text == "done")
        );

        for (how, expected) in [
            ("value", "Error: not like this"),
            ("status", "it did not work"),
            ("exit", "SystemExit"),
            ("zero", "Error: ZeroDivisionError - division by zero"),
        ] {
            let output = call(&toolbox, "fails", json!({"how": how})).await;
            assert!(output.is_error && words(&output).contains(expected), "{strands:?} {how}: {output:?}");
        }
        assert!(words(&call(&toolbox, "fails", json!({"how": "object"})).await).contains("object"));
        toolbox.shutdown().await;
    }
}

/// The shim's schemas, descriptions and conversions are those of the package.
#[tokio::test(flavor = "multi_thread")]
async fn the_shim_describes_tools_as_the_package_does() {
    let mut all = Vec::new();
    for strands in ALL {
        let toolbox = local(strands);
        let mut specs: Vec<(String, String, Value)> = toolbox
            .tools()
            .await
            .iter()
            .map(|tool| tool.spec())
            .map(|spec| (spec.name.clone(), spec.description.clone(), spec.input_schema.clone()))
            .collect();
        specs.sort_by(|a, b| a.0.cmp(&b.0));
        let inputs = [
            ("plain", json!({"a": 1, "b": "b", "c": 2, "d": 3, "e": true, "f": {"x": 1}})),
            (
                "containers",
                json!({"a": [1], "b": ["x"], "c": {"k": 1}, "d": {}, "e": [1, 1], "f": [1, "x"], "g": [1, 2],
                "h": [{"a": 1}], "i": [1.5], "j": ["q"], "k": [1], "m": {"k": [1]}}),
            ),
            (
                "choices",
                json!({"a": "x", "b": 2, "c": "only", "d": 1, "e": "t", "f": null, "j": "blue", "k": "red", "m": 2}),
            ),
            (
                "special",
                json!({"a": "2026-01-02T03:04:05Z", "b": "2026-03-04", "c": "12345678-1234-5678-1234-567812345678",
                "d": "/tmp/x.txt", "e": "05:06:07"}),
            ),
            (
                "records",
                json!({"point": {"x": 1, "y_value": 2.0}, "box": {"width": 3}, "many": [{"x": 1, "y_value": 2.5}], "partial": {}}),
            ),
            ("annotated", json!({"a": "q"})),
            ("nothing", json!({})),
        ];
        let mut answers = Vec::new();
        for (name, input) in inputs {
            let output = call(&toolbox, name, input).await;
            assert!(!output.is_error, "{strands:?} {name}: {output:?}");
            answers.push((name, words(&output)));
        }
        // What the schema cannot say is refused by both.
        let wrong =
            call(&toolbox, "plain", json!({"a": 1, "b": 5, "c": "x", "d": 3, "e": true, "f": 1})).await;
        assert!(
            wrong.is_error && words(&wrong).contains("Validation failed for input parameters"),
            "{wrong:?}"
        );
        all.push((specs, answers));
        toolbox.shutdown().await;
    }
    for other in &all[1..] {
        for (shim, real) in other.0.iter().zip(&all[0].0) {
            assert_eq!(shim.2, real.2, "{}", real.0);
            assert_eq!(shim, real);
        }
        assert_eq!(other.1, all[0].1);
        assert_eq!(other.0.len(), all[0].0.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_run_side_by_side_and_a_killed_worker_comes_back() {
    let toolbox = local(Strands::Ignored);
    names(&toolbox).await;
    let began = tokio::time::Instant::now();
    let sleeps = (0..8).map(|_| call(&toolbox, "sleeper", json!({"seconds": 3.0})));
    let outputs = futures_util::future::join_all(sleeps).await;
    assert!(outputs.iter().all(|output| words(output) == "slept"), "{outputs:?}");
    // One after the other they would take 24 s.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());

    // A call that is stopped gives way at once, and the worker goes on.
    let (cx, _events) = context("s");
    let cancel = cx.cancel.clone();
    let tool = find(&toolbox, "sleeper").await;
    let task = tokio::spawn(async move { tool.call(json!({"seconds": 600.0}), cx).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    cancel.cancel();
    assert!(task.await.unwrap().is_error);
    assert_eq!(words(&call(&toolbox, "by_convention", json!({"n": 1})).await), "n=1");

    let output = call(&toolbox, "fails", json!({"how": "kill"})).await;
    assert!(output.is_error && words(&output).contains("outcome is unknown"), "{output:?}");
    until("it is back", async || {
        (words(&call(&toolbox, "by_convention", json!({"n": 2})).await) == "n=2").then_some(())
    })
    .await;
    toolbox.shutdown().await;
}

fn zip_of(files: &[(&str, &str)]) -> Bytes {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

fn bucket() -> ToolDeps {
    let read = |name: &str| std::fs::read_to_string(fixtures().join(name)).unwrap();
    let archive = zip_of(&[
        ("lookup.py", &read("lookup.py")),
        ("convention.py", &read("convention.py")),
        ("_shared.py", &read("_shared.py")),
    ]);
    let evil = zip_of(&[("../evil.py", "")]);
    let weather = Bytes::from(read("weather.py"));
    ToolDeps {
        objects: Some(Arc::new(move |bucket, key| {
            let found = match (bucket.as_str(), key.as_str()) {
                ("tools", "a/weather.py") => Ok(weather.clone()),
                ("tools", "two.zip") => Ok(archive.clone()),
                ("tools", "evil.zip") => Ok(evil.clone()),
                _ => Err("there is no such object".to_owned()),
            };
            Box::pin(async move { found })
        })),
        ..deps()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_of_the_references_configuration_are_downloaded() {
    let objects = json!([
        {"bucketName": "tools", "key": "a/weather.py", "isFile": true, "isZipArchive": false},
        {"bucketName": "tools", "key": "two.zip", "isFile": true, "isZipArchive": true},
        {"bucketName": "tools", "key": "evil.zip", "isFile": false, "isZipArchive": true},
        {"bucketName": "tools", "key": "gone.py", "isFile": true, "isZipArchive": false},
    ]);
    let toolbox = start(Strands::Absent, json!({"objects": objects}), &bucket());
    assert_eq!(
        names(&toolbox).await,
        ["by_convention", "fails", "get_weather", "lookup", "sleeper", "steps", "who_asks"],
        "{:?}",
        toolbox.status()
    );
    assert_eq!(words(&call(&toolbox, "lookup", json!({"key": "z"})).await), "found z in eu-central-1");
    let problems = toolbox.status()[0].problems.join("\n");
    assert!(problems.contains("s3://tools/evil.zip: \"../evil.py\" does not stay"), "{problems}");
    assert!(problems.contains("s3://tools/gone.py: there is no such object"), "{problems}");
    toolbox.shutdown().await;

    // Where nothing can be had the source is down, says why, and tries again.
    let only = json!([{"bucketName": "tools", "key": "gone.py", "isFile": true, "isZipArchive": false}]);
    let toolbox = start(Strands::Absent, json!({"objects": only}), &bucket());
    let status = state(&toolbox, "python", SourceState::Down).await;
    assert!(status.error.unwrap().contains("s3://tools/gone.py"));
    toolbox.shutdown().await;
}
