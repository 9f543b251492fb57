//! The numbers themselves: counters and histograms in memory, and their Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use parking_lot::Mutex;

use super::names::{Description, Kind, METRICS, Metric};

/// Most series of one metric. What comes after is counted under `other`, so that no input can fill the memory of this
/// process or of whoever reads from it.
const MAX_SERIES: usize = 200;
/// The label value of what is over the limit.
const OTHER: &str = "other";

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    families: Vec<Mutex<BTreeMap<Vec<String>, Series>>>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    /// A counter's value, or a histogram's sum.
    sum: f64,
    /// How many values a histogram has seen.
    count: u64,
    /// How many of them fell into each bucket.
    buckets: Vec<u64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { families: METRICS.iter().map(|_| Mutex::default()).collect() }
    }
}

impl Metrics {
    /// Adds to a counter.
    pub fn add(&self, metric: Metric, labels: &[&str], value: f64) {
        self.with(metric, labels, |_, series| series.sum += value);
    }

    /// Adds one to a counter.
    pub fn count(&self, metric: Metric, labels: &[&str]) {
        self.add(metric, labels, 1.0);
    }

    /// Takes a value into a histogram.
    pub fn observe(&self, metric: Metric, labels: &[&str], value: f64) {
        self.with(metric, labels, |row, series| {
            let Kind::Histogram(bounds) = row.kind else { return };
            series.buckets.resize(bounds.len(), 0);
            if let Some(at) = bounds.iter().position(|bound| value <= *bound) {
                series.buckets[at] += 1;
            }
            series.sum += value;
            series.count += 1;
        });
    }

    /// The value of a counter, or the sum of a histogram; 0 for what was never counted.
    #[must_use]
    pub fn value(&self, metric: Metric, labels: &[&str]) -> f64 {
        let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        self.families[metric as usize].lock().get(&key).map_or(0.0, |series| series.sum)
    }

    fn with(&self, metric: Metric, labels: &[&str], change: impl FnOnce(&Description, &mut Series)) {
        let row = &METRICS[metric as usize];
        debug_assert_eq!(row.labels.len(), labels.len(), "{}", row.name);
        let key: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let mut family = self.families[metric as usize].lock();
        let full = family.len() >= MAX_SERIES && !family.contains_key(&key);
        let key = if full { vec![OTHER.to_owned(); labels.len()] } else { key };
        change(row, family.entry(key).or_default());
    }

    /// The Prometheus text of all metrics (exposition format 0.0.4).
    pub fn render(&self, out: &mut String) {
        for (row, family) in METRICS.iter().zip(&self.families) {
            head(out, row.name, if row.kind == Kind::Counter { "counter" } else { "histogram" }, row.help);
            let family = family.lock();
            // A counter without labels is there from the start: a rate needs its zero.
            let zero = (Vec::new(), Series::default());
            let from_start = row.labels.is_empty() && row.kind == Kind::Counter && family.is_empty();
            let shown = from_start.then_some((&zero.0, &zero.1)).into_iter().chain(family.iter());
            for (values, series) in shown {
                let labels: Vec<(&str, &str)> =
                    row.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
                match row.kind {
                    Kind::Counter => sample(out, row.name, &labels, series.sum),
                    Kind::Histogram(bounds) => histogram(out, row.name, &labels, bounds, series),
                }
            }
        }
    }
}

// Counts are far below 2^52.
#[allow(clippy::cast_precision_loss)]
fn histogram(out: &mut String, name: &str, labels: &[(&str, &str)], bounds: &[f64], series: &Series) {
    let bucket = format!("{name}_bucket");
    let mut below = 0;
    for (bound, count) in bounds.iter().zip(&series.buckets) {
        below += count;
        let bound = bound.to_string();
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
        sample(out, &bucket, &labels, below as f64);
    }
    let labels_inf: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
    sample(out, &bucket, &labels_inf, series.count as f64);
    sample(out, &format!("{name}_sum"), labels, series.sum);
    sample(out, &format!("{name}_count"), labels, series.count as f64);
}

/// The two lines before a metric's samples.
pub(crate) fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One line.
pub(crate) fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    out.push_str(name);
    for (n, (label, text)) in labels.iter().enumerate() {
        out.push(if n == 0 { '{' } else { ',' });
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{label}=\"{text}\"");
    }
    if !labels.is_empty() {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_add_up() {
        let metrics = Metrics::default();
        for value in [0.005, 0.3, 0.3, 500.0] {
            metrics.observe(Metric::ToolTime, &["clock"], value);
        }
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "loquat_tool_seconds_bucket{tool=\"clock\",le=\"0.01\"} 1",
            "loquat_tool_seconds_bucket{tool=\"clock\",le=\"0.16\"} 1",
            "loquat_tool_seconds_bucket{tool=\"clock\",le=\"0.32\"} 3",
            "loquat_tool_seconds_bucket{tool=\"clock\",le=\"+Inf\"} 4",
            "loquat_tool_seconds_sum{tool=\"clock\"} 500.605",
            "loquat_tool_seconds_count{tool=\"clock\"} 4",
            "loquat_resets_total 0",
        ] {
            assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        }
    }

    #[test]
    fn no_input_fills_the_memory() {
        let metrics = Metrics::default();
        for n in 0..10_000 {
            metrics.count(Metric::RunFailures, &[&format!("code {n}")]);
        }
        let mut text = String::new();
        metrics.render(&mut text);
        assert!(text.lines().count() < 400);
        let others: f64 = 10_000.0 - 200.0;
        assert!((metrics.value(Metric::RunFailures, &[OTHER]) - others).abs() < 0.5);
    }

    #[test]
    fn label_values_are_escaped() {
        let mut out = String::new();
        sample(&mut out, "m", &[("a", "x\"\\\ny")], 1.0);
        assert_eq!(out, "m{a=\"x\\\"\\\\\\ny\"} 1\n");
    }
}
