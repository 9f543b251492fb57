//! `loquat doctor`.

use std::time::Duration;

use loquat_cloud::doctor::{self, Options, Severity};

use crate::terminal::block_on;

/// Examine a deployed agent from outside, and name what is wrong on the way to it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The address that /chat is under
    url: String,
    /// An id token of a user, to look at the stream
    #[arg(long, env = "AGENT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The page's origin, such as `https://chat.example.com`, to look at CORS
    #[arg(long)]
    origin: Option<String>,
    /// What to ask the agent
    #[arg(long, default_value = "Count from one to forty in words.")]
    message: String,
    /// The longest answer to wait for, in seconds
    #[arg(long, default_value_t = 120, value_name = "N")]
    wait: u64,
    /// How long the first byte may take, in seconds
    #[arg(long, default_value_t = 3.0, value_name = "N", value_parser = seconds)]
    slow: f64,
    /// How long the stream may be silent, in seconds: a heartbeat comes every ten
    #[arg(long, default_value_t = 12.0, value_name = "N", value_parser = seconds)]
    silence: f64,
}

/// A time in seconds, a part of one too.
fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(time) if !time.is_zero() => Ok(number),
        _ => Err("a number of seconds above 0".to_owned()),
    }
}

#[allow(clippy::print_stdout)]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let options = Options {
        token: args.token,
        origin: args.origin,
        message: args.message,
        wait: Duration::from_secs(args.wait),
        slow: Duration::from_secs_f64(args.slow),
        silence: Duration::from_secs_f64(args.silence),
        ..Options::default()
    };
    let report = block_on(async { Ok(doctor::examine(&args.url, &options).await) })?;
    for (name, value) in &report.measured {
        println!("{name:<18} {value}");
    }
    let mut faults = 0;
    for finding in &report.findings {
        let mark = if finding.severity == Severity::Fault { "FAULT" } else { "note" };
        faults += usize::from(finding.severity == Severity::Fault);
        println!("{mark:<6} {}: {}\n       {}", finding.code, finding.what, finding.fix);
    }
    if faults > 0 {
        anyhow::bail!("{faults} {} found", if faults == 1 { "fault" } else { "faults" });
    }
    println!("healthy");
    Ok(())
}
