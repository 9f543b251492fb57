//! A stack's events as they happen, and its end.

use std::collections::HashSet;

use super::{DeployError, POLL, explain};
use crate::{
    aws::{Aws, AwsError},
    ui::Ui,
};

/// The id of the newest event there is.
pub(super) async fn last_event(aws: &Aws, stack: &str) -> Result<String, AwsError> {
    Ok(aws.stack_events(stack).await?.into_iter().next().map(|event| event.event_id).unwrap_or_default())
}

/// Shows what happens to a stack after the event `after` until it has come to rest.
///
/// # Errors
/// When it came to rest where it was before, with the reasons.
pub(crate) async fn follow(aws: &Aws, stack: &str, after: &str, ui: &mut dyn Ui) -> Result<(), DeployError> {
    let Some(state) = aws.stack(stack).await? else { return Ok(()) };
    // A deleted stack answers to its id only.
    let id = if state.stack_id.is_empty() { stack.to_owned() } else { state.stack_id };
    let mut shown = HashSet::new();
    let mut reasons = Vec::new();
    loop {
        let Some(state) = aws.stack(&id).await? else { return Ok(()) };
        let mut fresh = match aws.stack_events(&id).await {
            Ok(events) => events,
            Err(error) if error.message().contains("does not exist") => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(end) = fresh.iter().position(|event| event.event_id == after) {
            fresh.truncate(end);
        }
        for event in fresh.into_iter().rev().filter(|event| shown.insert(event.event_id.clone())) {
            let mut line = format!(
                "  {:<28} {:<22} {}",
                event.resource_status, event.logical_resource_id, event.resource_type
            );
            if event.resource_status.ends_with("FAILED") {
                let reason = event.resource_status_reason.unwrap_or_default();
                // What was stopped because of another's failure explains nothing.
                if !reason.contains("cancelled") {
                    let plain = explain(&reason);
                    line = format!("{line}\n      {plain}");
                    reasons.push(format!("  {}: {plain}", event.logical_resource_id));
                }
            }
            ui.say(&line);
        }
        match state.stack_status.as_str() {
            "CREATE_COMPLETE"
            | "UPDATE_COMPLETE"
            | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            | "DELETE_COMPLETE" => {
                return Ok(());
            }
            status if status.ends_with("FAILED") || status.ends_with("ROLLBACK_COMPLETE") => {
                if reasons.is_empty() {
                    reasons.extend(state.stack_status_reason.map(|reason| format!("  {}", explain(&reason))));
                }
                return Err(DeployError::Failed {
                    stack: stack.to_owned(),
                    status: status.to_owned(),
                    reasons: reasons.join("\n"),
                });
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}
