//! Two ways to serve one router: a listener, and AWS Lambda's runtime API.

pub mod connections;
pub mod lambda;
pub mod listener;

tokio::task_local! {
    /// When the host can no longer carry the answer of the request at hand; absent where it always can. Readers of
    /// runs that are open then tell their clients where to go on.
    pub static ENDS: tokio::time::Instant;
}
