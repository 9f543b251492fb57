//! Each wrong setting stops the start with where it stands, its name, its value and what was expected.

use std::collections::BTreeMap;

use crate::support::binary;

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
