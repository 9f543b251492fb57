//! Figures of the process itself, under the names that Prometheus' own clients use.

use super::metrics::{head, sample};

/// Adds the process's figures; on systems without `/proc` only what is known everywhere.
pub fn render(out: &mut String, live_runs: usize, draining: bool) {
    head(out, "loquat_build_info", "gauge", "Which version runs.");
    sample(out, "loquat_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    head(out, "loquat_runs_live", "gauge", "Runs that are live in this process.");
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    sample(out, "loquat_runs_live", &[], live_runs as f64);
    head(
        out,
        "loquat_draining",
        "gauge",
        "Whether the process takes no new runs because it is about to stop.",
    );
    sample(out, "loquat_draining", &[], f64::from(u8::from(draining)));
    if let Some(bytes) = resident_bytes() {
        head(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
        sample(out, "process_resident_memory_bytes", &[], bytes);
    }
    if let Some(seconds) = cpu_seconds() {
        head(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
        sample(out, "process_cpu_seconds_total", &[], seconds);
    }
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, which may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    // Linux tells user space hundredths of a second on every architecture.
    Some(ticks / 100.0)
}
