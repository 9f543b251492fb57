//! Sessions: conversations, kept so that nothing is lost and nobody reads another's.

pub mod blob;
pub mod blob_index;
#[cfg(test)]
mod conformance;
pub mod document;
pub mod ending;
pub mod index;
pub mod memory;
pub mod object;
pub mod repair;
pub mod service;
#[cfg(test)]
mod simulation;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod watched;

/// Up to `millis` milliseconds, other for every caller, so that those who met do not meet again.
pub(crate) fn jitter(millis: u32) -> std::time::Duration {
    let random = u64::from(uuid::Uuid::new_v4().as_u64_pair().1 as u32);
    std::time::Duration::from_millis((random * u64::from(millis)) >> 32)
}
