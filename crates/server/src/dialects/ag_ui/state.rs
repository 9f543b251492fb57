//! AG-UI 1.0: the agent's state, which tools tell by custom events: `state_snapshot` with the whole of it, `state_delta`
//! with a JSON Patch.

use loquat_agent::event::Event;

use super::events::Ev;
use crate::runs::log::{Entry, Log, Pace};

const SNAPSHOT: &str = "state_snapshot";
const DELTA: &str = "state_delta";

/// What an event says of the state, if it is of that kind.
pub(super) fn of(event: &Event) -> Option<Ev<'_>> {
    let Event::Custom { name, data } = event else { return None };
    match name.as_str() {
        SNAPSHOT => Some(Ev::StateSnapshot { snapshot: data }),
        DELTA if data.is_array() => Some(Ev::StateDelta { delta: data }),
        _ => None,
    }
}

/// The state as it was told up to event number `n`: its last snapshot, and every change since. Changes to a state that
/// only the client has are left out: told again, they would be made again.
pub(super) fn until(n: u64, log: &Log) -> Vec<Ev<'_>> {
    let mut told = Vec::new();
    log.read(0, Pace::Joined, |at, entry| {
        if let Entry::Other(event) = entry
            && at <= n
            && let Some(state) = of(event)
        {
            if matches!(state, Ev::StateSnapshot { .. }) {
                told.clear();
                told.push(state);
            } else if !told.is_empty() {
                told.push(state);
            }
        }
        at < n
    });
    told
}
