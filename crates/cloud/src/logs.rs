//! `loquat logs`: the function's log lines, and more of them as they come.

use std::{
    collections::VecDeque,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{agent::Agent, aws::Aws, deploy::DeployError, ui::Ui};

/// How often new lines are asked for.
const POLL: Duration = Duration::from_secs(2);

/// How many lines are remembered, so that none is shown twice.
const REMEMBERED: usize = 10_000;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    /// The agent's folder.
    pub folder: PathBuf,
    /// Go on with what comes.
    pub follow: bool,
    /// How far back to begin.
    pub since: Duration,
    /// CloudWatch's filter pattern.
    pub filter: Option<String>,
}

/// Shows log lines.
///
/// # Errors
/// When there is no stack, or AWS refuses.
pub async fn logs(options: &LogsOptions, ui: &mut dyn Ui) -> Result<(), DeployError> {
    let agent = Agent::read(&options.folder)?;
    let aws = Aws::load(agent.deploy.region.as_deref()).await?;
    let missing = || DeployError::NoStack(agent.deploy.name.clone(), aws.region().to_owned());
    let stack = aws.stack(&agent.deploy.name).await?.ok_or_else(missing)?;
    let group = stack.output("LogGroupName").ok_or_else(missing)?;
    let begin = SystemTime::now().checked_sub(options.since).unwrap_or(UNIX_EPOCH);
    let mut since =
        i64::try_from(begin.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(0);
    let mut seen: VecDeque<String> = VecDeque::new();
    loop {
        let mut token = None;
        loop {
            let (events, next) =
                aws.log_events(group, since, options.filter.as_deref(), token.as_deref()).await?;
            for event in events {
                since = since.max(event.timestamp);
                if seen.contains(&event.id) {
                    continue;
                }
                seen.push_back(event.id);
                if seen.len() > REMEMBERED {
                    seen.pop_front();
                }
                ui.say(event.message.trim_end());
            }
            token = next;
            if token.is_none() {
                break;
            }
        }
        if !options.follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}
