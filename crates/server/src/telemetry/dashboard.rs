//! Keeps Grafana's dashboard true: it asks for metrics that there are, by labels that they have, and for every one.

use serde_json::Value;

use super::names::{Kind, METRICS};
use super::spending::{COST_TODAY, TOP_USERS};

fn metrics_in(text: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c)).filter(|name| name.starts_with("loquat_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_asks_for_every_metric_and_for_no_other() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/loquat.json");
    let text = std::fs::read_to_string(path).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let asked: Vec<&str> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap())
        .collect();
    let asked_names: Vec<String> = asked.iter().flat_map(|expr| metrics_in(expr)).collect();
    for row in METRICS {
        let name = match row.kind {
            Kind::Counter => row.name.to_owned(),
            Kind::Histogram(_) => format!("{}_bucket", row.name),
        };
        assert!(asked_names.contains(&name), "{name} is in no panel");
    }
    for gauge in [COST_TODAY, TOP_USERS] {
        assert!(asked_names.iter().any(|name| name == gauge), "{gauge} is in no panel");
    }
    for name in &asked_names {
        let known = METRICS.iter().any(|row| name == row.name || *name == format!("{}_bucket", row.name));
        let gauges = ["loquat_runs_live", "loquat_draining", "loquat_build_info", COST_TODAY, TOP_USERS];
        assert!(known || gauges.contains(&name.as_str()), "there is no metric {name}");
    }
    // `by (…)` names labels.
    for expr in asked {
        for by in expr.split(" by (").skip(1) {
            for label in by.split(')').next().unwrap().split(',').map(str::trim) {
                let mut labels = METRICS.iter().flat_map(|row| row.labels).copied();
                let common = ["le", "instance", "version", "user"];
                assert!(labels.any(|own| own == label) || common.contains(&label), "{label} in {expr}");
            }
        }
    }
}

/// The guide's names of metrics, in its alarms and run books: of metrics that there are.
#[test]
fn the_guide_names_metrics_that_there_are() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let named = metrics_in(&text);
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let plain =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let known = METRICS.iter().any(|row| row.name == plain) || [COST_TODAY, TOP_USERS].contains(&plain);
        assert!(known, "there is no metric {name}");
    }
}
