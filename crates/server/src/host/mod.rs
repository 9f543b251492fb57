//! Two ways to serve one router: a listener, and AWS Lambda's runtime API.

pub mod connections;
pub mod lambda;
pub mod listener;

tokio::task_local! {
    /// When the host can no longer carry the answer of the request at hand; absent where it always can. Readers of
    /// runs that are open then tell their clients where to go on.
    pub static ENDS: tokio::time::Instant;
}

/// Lets this process open as many files as it may. A stream takes two, and the limit that shells set (1 024, or 256 on
/// macOS) is for programs that use `select`, which nothing here does.
pub fn raise_file_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::debug!(files, "limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_of_open_files_is_the_hard_one() {
        super::raise_file_limit();
        let (soft, hard) = rlimit::Resource::NOFILE.get().unwrap();
        // macOS has a limit of its own below the hard one.
        assert!(soft == hard || (cfg!(target_os = "macos") && soft >= 10_240), "{soft} of {hard}");
    }
}
